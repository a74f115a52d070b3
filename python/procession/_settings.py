"""What a process may be given of its own: environment, directory, priority, CPUs, a limit of memory."""

import os

from procession._procession import set_variables

__all__ = ["apply", "check", "names"]

names = frozenset(("env", "cwd", "nice", "cpu_affinity", "max_memory"))


def check(env=None, cwd=None, nice=None, cpu_affinity=None, max_memory=None):
    """Check settings where they are given, not in the child.

    Args:
        env: variables that are set, or removed where the value is None; the others are the parent's.
        cwd: the working directory.
        nice: what is added to the priority's number; more is kinder to others.
        cpu_affinity: the numbers of the CPUs that may be used.
        max_memory: bytes of private memory; more is a MemoryError in the child.

    Returns:
        A dictionary of those that are not None; names and values of variables are bytes.

    Raises:
        TypeError, ValueError: one of them is not of its kind.
    """
    settings: dict = {}
    if env is not None:
        settings["env"] = dict(map(_variable, env.items()))
    if cwd is not None:
        settings["cwd"] = os.fspath(cwd)
    if nice is not None:
        settings["nice"] = _whole("nice", nice)
    if cpu_affinity is not None:
        settings["cpu_affinity"] = sorted({_whole("cpu_affinity", cpu) for cpu in cpu_affinity})
        if not settings["cpu_affinity"]:
            raise ValueError("cpu_affinity names no CPU")
    if max_memory is not None:
        settings["max_memory"] = _whole("max_memory", max_memory)
        if settings["max_memory"] <= 0:
            raise ValueError(f"max_memory must be positive, not {max_memory}")
    return settings


def _variable(pair):
    name, value = pair
    encoded = os.fsencode(name)
    if not encoded or b"=" in encoded or b"\0" in encoded:
        raise ValueError(f"env: {name!r} cannot be the name of a variable")
    if value is None:
        return encoded, None
    content = os.fsencode(value)
    if b"\0" in content:
        raise ValueError(f"env: the value of {name!r} has a null byte")
    return encoded, content


def _whole(name, number):
    if not isinstance(number, int):
        raise TypeError(f"{name} needs int, not {type(number).__name__}")
    return number


def apply(settings, is_worker=False):
    """Give this process its settings, and its control group if a pool has made one for it.

    Args:
        settings: of `check`.
        is_worker: whether it is a worker of a pool, which tells that of what the system refuses.

    Raises:
        OSError: the system refuses one of them, such as a directory that is not there; not in a worker.
    """
    for do, arguments in _chores(settings, is_worker):
        do(*arguments)


def _give(name, value, do, *arguments):
    """Give a process a setting; the error for what the system refuses says which it was."""
    try:
        do(*arguments)
    except Exception as error:
        error.add_note(f"the process could not be given {name}={value!r}")
        raise


refused: tuple = ()  # in a worker: the error for what the system refuses it, and what that was


def _attempt(name, value, do, *arguments):
    """Give a worker a setting; what the system refuses is told to the pool, once there is a way to."""
    global refused
    try:
        do(*arguments)
    except Exception as error:
        refused = refused or (error, f"{name}={value!r}")


def refusal():
    """Return the exception that a worker sends its pool when it was refused a setting; None when it was not."""
    if not refused:
        return None
    from procession._late_exceptions import WorkerDied

    error, what = refused
    died = WorkerDied(
        f"a worker of the pool could not be given {what}: {type(error).__name__}: {error}. "
        "Leave it out, or run as a user who may have it"
    )
    died._cause = died.__cause__ = error  # the one attribute travels, the other is for the traceback
    return died


def _chores(settings, is_worker=False):
    """Return the calls, as function and arguments, that give a process that is forked next its settings."""
    chores: list = []

    def add(name, do, *arguments):
        chores.append((_attempt if is_worker else _give, (name, settings[name], do, *arguments)))

    if "group" in settings:
        from procession._procession import enter_group

        # Where the system refuses after all, the pool weighs its worker all the same.
        chores.append((enter_group, (settings["group"],)))
    if "env" in settings:
        chores += _variable_chores(settings["env"])
    if "cwd" in settings:
        add("cwd", os.chdir, settings["cwd"])
    if "nice" in settings:
        add("nice", os.nice, settings["nice"])
    if "cpu_affinity" in settings:
        add("cpu_affinity", os.sched_setaffinity, 0, settings["cpu_affinity"])
    if "max_memory" in settings:
        import resource

        # DATA counts what is private and writable; AS would also count shared and merely reserved memory.
        limits = (settings["max_memory"], settings["max_memory"])
        add("max_memory", resource.setrlimit, resource.RLIMIT_DATA, limits)
    return chores


def _variable_chores(changes):
    """Return the calls that set and remove variables of a process that has just begun: see `set_variables`."""
    known = getattr(os.environ, "_data", None)
    if not isinstance(os.environ, os._Environ) or not isinstance(known, dict):
        return [(_set_one_by_one, (changes,))]
    chores: list = [(set_variables, (changes,))]
    chores += [(known.pop, (name, None)) for name, value in changes.items() if value is None]
    chores.append((known.update, ({name: value for name, value in changes.items() if value is not None},)))
    return chores


def _set_one_by_one(changes):
    for name, value in changes.items():
        if value is None:
            os.environ.pop(os.fsdecode(name), None)
        else:
            os.environ[os.fsdecode(name)] = os.fsdecode(value)
