"""The options of a pool, whoever takes them: `Pool`, contexts, the executor, the backend for joblib."""

from procession import _checks, _settings
from procession._children import math_threads
from procession._pool import cpus
from procession._pool.worker import Terms

__all__ = ["WorkerSettings", "pool_options"]


def pool_options(
    processes=None,
    initializer=None,
    initargs=(),
    maxtasksperchild=None,
    *,
    crew=None,
    max_tasks=None,
    max_age=None,
    max_memory=None,
    env=None,
    nice=None,
    cpu_affinity=None,
    forward_logs=True,
    capture_output=False,
    min_workers=None,
    max_workers=None,
    idle_timeout=None,
    finalizer=None,
    resources=None,
    resource_env=None,
    **further,
):
    """Check the options of a pool; what they mean is said at `procession.pool.Pool`. Those in `further` are options of
    its calls.

    Returns:
        The `Terms` of its workers.

    Raises:
        ValueError, TypeError: one makes no sense.
    """
    elastic = None
    if min_workers is not None or max_workers is not None or idle_timeout is not None:
        from procession._pool import size  # not before: most pools stay as they are

        processes, elastic = size.elastic(processes, min_workers, max_workers, idle_timeout)
    count = _checks.positive(cpus.budget() if processes is None else processes, "the number of processes")
    most = _checks.max_tasks(maxtasksperchild, max_tasks)
    terms = Terms(initializer, tuple(initargs), most, _checks.memory(max_memory), _checks.age(max_age))
    _check_callable("initializer", initializer)
    _check_callable("finalizer", finalizer)
    terms.finalizer = finalizer
    if crew is not None and not isinstance(crew, str):
        raise TypeError(f"crew must be the name of one, such as 'threads', not {crew!r}")
    terms.crew, terms.count, terms.elastic = crew, count, elastic
    if resources is not None or resource_env is not None:
        terms.resources = _resources(resources, resource_env)
    terms.settings = WorkerSettings(count if elastic is None else elastic.ceiling(), env, nice, cpu_affinity)
    terms.forward_logs = bool(forward_logs)
    if capture_output is not False:
        from procession._pool import output

        terms.on_line = output.target(capture_output)
    if further:
        from procession._pool.further import defaults

        terms.further = defaults(further)
    return terms


def _check_callable(name, function):
    """Raise TypeError for what is given as a function and is none."""
    if function is not None and not callable(function):
        raise TypeError(f"{name} must be a callable, not {function!r}")


def _resources(counts, variables):
    """Return what tasks may hold of a pool's own, and how it is shown to them."""
    from procession._pool.resources import Resources  # not before: most pools have none

    if counts is None:
        raise TypeError("resource_env= shows which of the resources= a task holds: give both")
    return Resources(counts, variables)


class WorkerSettings:
    """The settings of a pool's workers; each of the three may be a function of the worker's number, from 0.

    Args:
        count: how many workers there are.
        env: variables that are set, or removed where the value is None.
        nice: what is added to the priority's number.
        cpu_affinity: the numbers of the CPUs that may be used.

    Raises:
        TypeError, ValueError: one of them is not of its kind.
    """

    def __init__(self, count, env=None, nice=None, cpu_affinity=None):
        wishes = {"env": env, "nice": nice, "cpu_affinity": cpu_affinity}
        self._by_place = {name: wish for name, wish in wishes.items() if callable(wish)}
        self._common = _settings.check(**{name: wish for name, wish in wishes.items() if not callable(wish)})
        self.divide(count)

    def divide(self, count):
        """Have each of so many workers use its share of the CPUs."""
        self.cpus = max(1, cpus.budget() // count)
        self._threads = math_threads.variables(self.cpus)

    def of(self, place):
        """Return the settings of worker number `place`, for `Process`."""
        own = _settings.check(**{name: wish(place) for name, wish in self._by_place.items()})
        wanted = {**self._common, **own}
        return {**wanted, "env": self._variables(wanted)}

    def wished(self, place):
        """Return what was asked for worker number `place`, without what it gets beside that."""
        return {**self._common, **_settings.check(**{name: wish(place) for name, wish in self._by_place.items()})}

    def names(self):
        """Return the names of the settings that were asked for."""
        return [*self._by_place, *self._common]

    def limited(self):
        """Have this process use as few threads for numbers as a worker shall, while workers are forked."""
        if "env" in self._by_place or not math_threads.any_loaded():
            return math_threads.UNCHANGED
        return math_threads.limited(self._variables(self._common))

    def _variables(self, wanted):
        return {**math_threads.settable(self._threads), **wanted.get("env", {})}
