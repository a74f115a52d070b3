"""The standard library's `multiprocessing`, for the places where the two must understand each other.

Some of its parts are used beside ours: `concurrent.futures` has its queue, programs catch its exceptions.
They are looked up here, because under its name `sys.modules` may have ours: see `drop_in.py`.
"""

import sys

# The standard modules by their names, once ours stand in `sys.modules` under these.
kept: dict = {}


def is_replaced():
    """Return whether `multiprocessing` is ours in this process."""
    return bool(kept)


def loaded(name):
    """Return the module `multiprocessing.<name>` of the standard library if it is loaded, else None."""
    return (kept or sys.modules).get(f"multiprocessing.{name}")


def _chores(process_obj, parent):
    """Return the calls that tell the standard modules, in a child, who runs and that what they knew is the parent's."""
    chores: list = []
    process = loaded("process")
    if process is not None:
        # Logs and queues ask for the current process.
        known = vars(process)
        names = {"_current_process": process_obj, "_parent_process": parent, "_children": set()}
        names["_inherited"] = [known[name] for name in names]  # see `process._inherited`
        chores.append((known.update, (names,)))
    util = loaded("util")
    if util is not None:
        chores += [(util._finalizer_registry.clear, ()), (util._run_after_forkers, ())]
    return chores


def end():
    """Let the standard modules finish, such as the thread of a queue that still has items to send."""
    util = loaded("util")
    if util is not None:
        util._exit_function()


def spawning(popen):
    """Tell the standard modules which process object is being pickled."""
    context = loaded("context")
    if context is not None:
        context.set_spawning_popen(popen)


def reducers():
    """Return what was registered with the standard `ForkingPickler`."""
    reduction = loaded("reduction")
    return {} if reduction is None else reduction.ForkingPickler._extra_reducers
