"""What the workers of a node run for a pool of a cluster: they alone open what a program has sent."""

import types

from procession import _exceptions
from procession._cluster import keys
from procession._cluster.packing import Raised, Sealed, is_plain, seal
from procession._objects import failures
from procession._pool import current, worker
from procession._pool.jobs import stopped

__all__ = ["Again", "Begin", "Call", "Failed", "Star", "Whole", "is_fixed"]

# Functions that nothing can have changed since they were opened, by their pickles.
_kept: dict = {}
_MOST_KEPT = 64


class Failed(Exception):
    """A task has failed; what it raised is told as bytes.

    Args:
        raised: a `Raised`.
    """

    def __init__(self, raised):
        super().__init__()
        self.raised = raised

    def __reduce__(self):
        return type(self), (self.raised,)


class Again(Failed):
    """A failure by an exception for which the task is to be tried again."""


class Begin:
    """The initializer of a node's workers.

    Args:
        sealed: the pickle of the program's own, and of its arguments; None for none.
        key: the `keys.Key` of the program.
        places: which of the program's pool the workers are.
    """

    def __init__(self, sealed, key, places):
        self._sealed = sealed
        self._key = key
        self._places = places

    def __call__(self):
        keys.adopt(self._key)
        worker._place = self._places[worker._place]
        if self._sealed is None:
            return
        function, arguments = self._sealed.open()
        function(*arguments)


class _Opened(current.Knowing):
    """Opens a function, once for all calls that this object is used for.

    Args:
        sealed: its pickle.
        retry_on: the pickle of a tuple of exceptions that are tried again, or None.
        title: the name of the function, for people.
        places: the places in the program's map of the items of this one; of a single call its number, alone.
    """

    def __init__(self, sealed, retry_on, title, places):
        self.__qualname__ = title
        self._sealed = sealed
        self._retry_on = retry_on
        self._places = places
        self._function = None

    def __reduce__(self):
        return type(self), (self._sealed, self._retry_on, self.__qualname__, self._places)

    def place_of(self, item):
        """Return the place of an item in the program's map."""
        return self._places[item]

    def task_of(self, item, call):
        """Return the index, and the seed, of a task in the program's map."""
        return self._known(self.place_of(item))

    def _known(self, place):
        informed = current.as_informed(self._function)
        return (place, None) if informed is None else informed.of(place)

    def _open(self):
        sealed = self._sealed
        function = None if sealed.parts else _kept.get(sealed.data)
        if function is None:
            function = sealed.open()
            if not sealed.parts and is_fixed(function):
                if len(_kept) >= _MOST_KEPT:
                    _kept.clear()
                _kept[sealed.data] = function
        self._function = function
        return function

    def _told(self, error):
        return _told(error, self._function or "a function that this node cannot load", self._retry_on)


class Call(_Opened):
    """The function of a map: opens it, and its items, and seals what it returns."""

    star = False

    def __call__(self, item):
        current.begin()
        try:
            function = self._function or self._open()
            given = item.open() if type(item) is Sealed else item
            value = function(*given) if self.star else function(given)
        except BaseException as error:
            raise self._told(error) from None
        return _sealed_value(value)

    def placed(self):
        """Return the same for pairs of a place and an item, which returns such of a place and an outcome."""
        return Placed(*self.__reduce__()[1])


class Star(Call):
    """A `Call` whose items are tuples of arguments."""

    star = True


class Placed(Call):
    """A `Call` whose items are pairs of a place and an item."""

    def __call__(self, pair):
        place, item = pair
        try:
            return place, super().__call__(item)
        except Failed as failed:
            failed.raised.place = place
            raise


class Whole(_Opened):
    """The function of a single call."""

    def place_of(self, item):
        """Return the place of a single call in its job: it is alone there."""
        return 0

    def task_of(self, item, call):
        """Return the number of the call, and its seed."""
        (number,) = self._places
        return number, self._known(0)[1]

    def __call__(self, given):
        current.begin()
        try:
            function = self._function or self._open()
            args, kwds = given.open() if type(given) is Sealed else (given, {})
            value = function(*args, **kwds)
        except BaseException as error:
            raise self._told(error) from None
        return _sealed_value(value)


def _sealed_value(value):
    if is_plain(value):
        return value
    try:
        return seal(value)
    except BaseException as error:
        raise Failed(Raised(failures.unsendable(error, value))) from None


def _told(error, function, retry_on):
    """Return what a worker raises in the place of what the user's function did."""
    if isinstance(error, KeyboardInterrupt) or type(error) is _exceptions.TaskTimeout:
        return error  # it was given up from outside, or is to look so
    if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
        error.__traceback__ = error.__traceback__.tb_next  # without the call here
    if isinstance(error, StopIteration):
        error = stopped(function)
    again = retry_on is not None and isinstance(error, retry_on.open())
    return (Again if again else Failed)(Raised.by(error))


def is_fixed(function):
    """Return whether a function is the same after any number of calls."""
    if type(function) is not types.FunctionType:
        return isinstance(function, types.BuiltinFunctionType | type)
    return not (function.__closure__ or function.__defaults__ or function.__kwdefaults__ or function.__dict__)
