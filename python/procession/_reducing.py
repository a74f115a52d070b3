"""Pools whose values are pickled by reducers of their own: those of joblib, under `python -m procession`.

`joblib.pool.PicklingPool` gives its pool queues that pickle by a table of reducers, and `MemmappingPool` one by which
arrays in files go as such, and other large ones through a file. Ours has no such queues, so each value takes its
table along.
"""

import copyreg
import io
import pickle
from functools import partial

from procession.pool import Pool


def _same(value):
    return value


class _Sent:
    """A value that arrives as itself, pickled by a table of reducers: a dict of types and functions."""

    __slots__ = ("_reducers", "_value")

    def __init__(self, reducers, value):
        self._reducers, self._value = reducers, value

    def __reduce__(self):
        into = io.BytesIO()
        pickler = pickle.Pickler(into, pickle.HIGHEST_PROTOCOL)
        pickler.dispatch_table = {**copyreg.dispatch_table, **self._reducers}
        try:
            pickler.dump(self._value)
        except Exception:
            return _same, (self._value,)  # what only the pool can pickle, such as a lambda, or its error
        return pickle.loads, (into.getvalue(),)


class _Answering:
    """A function whose results are pickled by a table of reducers."""

    def __init__(self, function, forward, backward):
        self._function, self._forward, self._backward = function, forward, backward
        for name in ("__name__", "__qualname__"):  # by which tasks are named
            if isinstance(its := getattr(function, name, None), str):
                setattr(self, name, its)

    def __getstate__(self):
        return {**self.__dict__, "_function": _Sent(self._forward, self._function)}

    def __call__(self, *args, **kwargs):
        return _Sent(self._backward, self._function(*args, **kwargs))


class ReducingPool(Pool):
    """A pool with `_forward_reducers` for what tasks get, and `_backward_reducers` for what they return."""

    _forward_reducers: dict = {}
    _backward_reducers: dict = {}

    def _sent(self, value):
        return _Sent(self._forward_reducers, value)

    def _sent_all(self, args, kwds):
        return tuple(map(self._sent, args)), {name: self._sent(value) for name, value in kwds.items()}

    def _answering(self, function):
        if not callable(function):
            return function  # the pool says so
        return _Answering(function, self._forward_reducers, self._backward_reducers)

    def _items(self, items, star=False):
        """Return what to send for items, which stay as lazy, and as long, as they are."""
        send = partial(map, self._sent) if star else self._sent
        sent = (tuple(send(item)) for item in items) if star else map(send, items)
        return list(sent) if hasattr(items, "__len__") else sent

    def apply(self, func, args=(), kwds={}, **wanted):  # noqa: B006
        """Do what `Pool.apply` does."""
        return super().apply(self._answering(func), *self._sent_all(args, kwds), **wanted)

    def apply_async(self, func, args=(), kwds={}, *callbacks, **wanted):  # noqa: B006
        """Do what `Pool.apply_async` does."""
        return super().apply_async(self._answering(func), *self._sent_all(args, kwds), *callbacks, **wanted)

    def _map(self, func, iterable, chunksize, star, *others):
        return super()._map(self._answering(func), self._items(iterable, star), chunksize, star, *others)

    def _map_async(self, func, iterable, chunksize, star, *others):
        return super()._map_async(self._answering(func), self._items(iterable, star), chunksize, star, *others)

    def _imap(self, kind, func, iterable, *others):
        return super()._imap(kind, self._answering(func), map(self._sent, iterable), *others)
