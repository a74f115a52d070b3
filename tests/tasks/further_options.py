"""Options of a pool's methods, made for tests: what an option's module holds, `take` and `check`."""

import functools

from procession._pool.further import Around


def check(value):
    if not isinstance(value, int):
        raise TypeError(f"added must be an integer, not {value!r}")


def take(call, value):
    """Add `value` to each result, in the workers, and leave a mark around the job."""
    check(value)
    call.function = functools.partial(_added, call.function, value)
    call.around.append(_Marked)


def _added(function, value, *args, **kwds):
    return function(*args, **kwds) + value


class _Marked(Around):
    def value(self):
        return [self.job.value()]

    def next(self, timeout):
        found = self.job.next(timeout)
        return None if found is None else ([found[0]],)
