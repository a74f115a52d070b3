"""Maps of an executor with options that are about items: maps of its pool, as its own are calls, one for each chunk."""

import time

from procession._pool.further import OPTIONS
from procession._pool.informed import Starred

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["begin", "results"]

_KNOWN = {*OPTIONS, "timeout", "retries", "retry_on"}


def begin(pool, function, iterables, chunksize, buffersize, wanted):
    """Have a map run; return what is read by `results`.

    Args:
        pool: the `Pool`.
        function: what is called.
        iterables: what it gets an argument each of.
        chunksize, buffersize: those of the executor's `map`.
        wanted: options of the pool's maps.

    Raises:
        TypeError, ValueError: an option makes no sense.
    """
    if unknown := [name for name in wanted if name not in _KNOWN]:
        raise TypeError(f"map() got an unexpected keyword argument {unknown[0]!r}")
    is_star = len(iterables) != 1
    items: Any = zip(*iterables, strict=False) if is_star else iterables[0]
    if wanted.get("order") is not None or wanted.get("first_error") == "time":
        if buffersize is not None:
            what = "order=" if wanted.get("order") is not None else "first_error='time'"
            raise ValueError(f"{what} is for maps whose items are all known: leave buffersize={buffersize} out")
        call = pool.starmap_async if is_star else pool.map_async
        return call(function, list(items), chunksize, **wanted)
    if buffersize is None:  # all are taken now, as by an executor's other maps
        items = list(items)
        most = max(1, len(items))
    else:  # which counts tasks, that is chunks
        most = buffersize * chunksize
    return pool.imap(Starred(function) if is_star else function, items, chunksize, buffersize=most, **wanted)


def results(result, limit, told):
    """Give the results of a map.

    Args:
        result: what `begin` has returned.
        limit: until when they may come, by `time.monotonic()`, or None.
        told: makes of an exception what programs of executors know.

    Raises:
        TimeoutError: that time is over.
    """
    is_lazy = hasattr(result, "next")
    try:
        while True:
            left = None if limit is None else max(0.0, limit - time.monotonic())
            if is_lazy:
                try:
                    found = result._next(left)
                except StopIteration:
                    return
            else:
                found = result._value() if result._core.wait(left) else None
            if found is None:
                raise TimeoutError("the next result was not there in the time that the whole map had")
            yield from found
            if not is_lazy:
                return
    except Exception as error:
        other = told(error)
        if other is error:
            raise
        raise other from None
    finally:  # nobody can get what is left
        if is_lazy:
            result.close()
        else:
            result.cancel()
