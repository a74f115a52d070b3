"""The option `resume`: a map keeps its results in a journal, and the same call goes on where it was."""

import os
import threading
from bisect import bisect_right
from collections import deque
from time import monotonic

from procession._pool import attention
from procession._pool.current import as_informed
from procession._pool.digests import function_digest, item_digest, item_digests
from procession._pool.further import Around
from procession._pool.informed import Starred
from procession._pool.journal import Journal
from procession._pool.texts import function_name

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Fsync", "OnMismatch", "take"]

_RAISE, _RESTART = "raise", "restart"


def take(call, path):
    """Have the results of a map kept in the file `path`, and those that are there already not computed again; None:
    not.

    Raises:
        TypeError: it is no path, or the call is no map.
        OSError: the file cannot be opened, or another map has it.
        ValueError: it is the journal of another call, or no journal.
    """
    if path is None:
        return
    if call.order == "apply":
        raise TypeError("resume is for maps: the call of one task has nothing to go on with")
    path = os.fsdecode(path)
    restarts = OnMismatch.checked(call.options.get("on_mismatch", _RAISE))
    description = _description(call)
    journal = Journal(path, description, Fsync.checked(call.options.get("fsync", False)))
    call.ended.append(journal.close)
    if why := _other_call(journal.description, description):
        if not restarts:
            raise ValueError(_mismatch(path, why))
        journal.restart(description)
    resume = _lazily if call.order in ("imap", "imap_unordered") else _whole
    resume(call, journal, restarts, description)


def _description(call):
    import sys
    from time import gmtime, strftime

    function, informed = call.function, as_informed(call.function)
    seed = None if informed is None else informed.seed
    if informed is not None and not (informed.args or informed.keywords):
        function = informed.func
    is_star = isinstance(function, Starred)
    if is_star:
        function = function.func
    return {
        "function": function_name(function),
        "digest": function_digest(function),
        "star": is_star or call.order == "starmap",
        "seed": None if seed is None else seed.text,
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "begun": strftime("%Y-%m-%dT%H:%M:%SZ", gmtime()),
    }


def _other_call(there, here):
    """Return in what the call of a journal differs from one, None if in nothing."""
    if there.get("function") != here["function"]:
        return f"its function is {there.get('function')}, and not {here['function']}"
    if there.get("digest") != here["digest"]:
        python = there.get("python")
        if python not in (None, here["python"]):  # whose compiler makes something else of the same text
            return f"its function {here['function']} was that of Python {python}, and this is {here['python']}"
        return f"its function {here['function']} had other code, defaults or arguments"
    if there.get("star") != here["star"]:
        return "one of the two is a starmap"
    if there.get("seed") != here["seed"]:
        return f"its seed is {there.get('seed')}, and not {here['seed']}"
    return None


def _mismatch(path, why):
    return (
        f"the journal {path!r} is of another call: {why}. Give the map a file of its own, remove this one, or have it "
        f'begun anew by on_mismatch="restart"'
    )


def _other_item(journal, place):
    return ValueError(_mismatch(journal.path, f"the item at place {place} is another one"))


class OnMismatch:
    """The option `on_mismatch`."""

    @staticmethod
    def checked(value):
        """Return whether a journal of another call is begun anew.

        Raises:
            ValueError: there is no such choice.
        """
        if value not in (_RAISE, _RESTART):
            raise ValueError(f"on_mismatch must be 'raise' or 'restart', not {value!r}")
        return value == _RESTART

    @staticmethod
    def take(call, value):
        """Look at the value; `resume` heeds it."""
        OnMismatch.checked(value)
        _needs_resume(call, "on_mismatch")


class Fsync:
    """The option `fsync`."""

    @staticmethod
    def checked(value):
        """Return whether results are on the disk before they count.

        Raises:
            TypeError: it is no truth value.
        """
        if not isinstance(value, bool):
            raise TypeError(f"fsync must be True or False, not {value!r}")
        return value

    @staticmethod
    def take(call, value):
        """Look at the value; `resume` heeds it."""
        Fsync.checked(value)
        _needs_resume(call, "fsync")


def _needs_resume(call, name):
    if call.options.get("resume") is None:
        raise ValueError(f"{name} is about the file of resume=: give that, too")


class Places:
    """The places that are not among some others, in order: as a sequence without an end.

    Args:
        others: sorted places.
    """

    def __init__(self, others=()):
        # How many places there are below each of the others, and how many others up to it.
        self._below = [place - number for number, place in enumerate(others)]

    def __getitem__(self, number):
        return number + bisect_right(self._below, number)

    def __reduce__(self):
        return _places, (self._below,)


def _places(below):
    made = Places()
    made._below = below
    return made


# -- maps whose items are all there ---------------------------------------------------------------------------------


def _whole(call, journal, restarts, description):
    items = call.items if isinstance(call.items, list | tuple | range) else list(call.items)
    known = sorted(place for place in journal.results if place < len(items))
    there = item_digests([items[place] for place in known])
    wrong = next(
        (place for place, digest in zip(known, there, strict=True) if journal.results[place][2] != digest), None
    )
    if wrong is not None:
        if not restarts:
            raise _other_item(journal, wrong)
        journal.restart(description)
        known = []
    rest = None
    if known:
        before = set(known)
        rest = [place for place in range(len(items)) if place not in before]
        call.inform(places=Places(known))
    call.items = items if rest is None else [items[place] for place in rest]
    call.is_over = bool(items) and rest == []

    def told(news):
        if rest is not None:
            news = [(rest[item], value) for item, value in news]
        places, results = zip(*news, strict=True)
        journal.record(places, item_digests([items[place] for place in places]), results)

    def merged(values):
        if rest is not None:
            whole = [None] * len(items)
            for place in sorted(known, key=journal.results.__getitem__):  # each frame is read once
                whole[place] = journal.value(place)
            for place, value in zip(rest, values, strict=True):
                whole[place] = value
            values = whole
        journal.close()
        return values

    call.collect(told=told)
    call.values.append(merged)
    if not call.waits:
        callback, error_callback = call.callbacks or (None, None)

        def failed(error):
            journal.close()
            if error_callback is not None:
                error_callback(error)

        call.callbacks = callback, failed
    call.around.append(lambda job: _Closing(job, journal))


class _Closing(Around):
    """A map whose journal is to be closed when it has failed."""

    def __init__(self, job, journal):
        super().__init__(job)
        self._journal = journal

    def value(self):
        try:
            return self.job.value()
        except BaseException:
            self._journal.close()
            raise

    def cancel(self, why):
        is_cancelled = self.job.cancel(why)
        self._journal.close()
        return is_cancelled


# -- lazy maps ------------------------------------------------------------------------------------------------------


def _lazily(call, journal, restarts, description):
    known = sorted(journal.results)
    if known:
        call.inform(places=Places(known))
    lazy = _Source(journal, Places(known), call.order == "imap")
    call.items = lazy.items(call.items)
    call.collect(told=lazy.told)
    call.around.append(lambda job: _Lazy(job, lazy))


class _Source:
    """The items of a lazy map of which some have their results.

    Attributes:
        journal: where those are.
        seen: how many items were taken.
        found: places of items that were taken and have their results, unless they are asked for in order.
        places: those of the others.
        endings: the errors for an item that is another one, or results that cannot be kept, of which threads may meet
            several: nothing comes behind the one that is raised.
    """

    def __init__(self, journal, places, ordered):
        self.journal = journal
        self.seen = 0
        self.found: deque = deque()
        self.ordered = ordered
        self.places = places
        self.endings: list[BaseException] = []
        self._digests = {}

    def items(self, source):
        """Give the items without a result."""
        known = self.journal.results
        source = iter(source)
        try:
            for place, item in enumerate(source):
                digest = item_digest(item)
                if place in known:
                    if known[place][2] != digest:
                        self.endings.append(_other_item(self.journal, place))
                        raise self.endings[-1]
                    if not self.ordered:
                        self.found.append(place)
                    self.seen = place + 1
                else:
                    self._digests[place] = digest
                    self.seen = place + 1
                    yield item
        finally:
            if hasattr(source, "throw"):
                source.close()

    def told(self, news):
        """Keep results."""
        places = [self.places[item] for item, _ in news]
        try:
            self.journal.record(places, [self._digests.pop(place) for place in places], [value for _, value in news])
        except BaseException as error:
            self.endings.append(error)
            raise


class _Lazy(Around):
    """A lazy map, with the results of its journal among those that are computed."""

    def __init__(self, job, source):
        super().__init__(job)
        self._source = source
        self._lock = threading.RLock()
        self._at = 0  # the next place, in order
        self._live: Any = None  # an outcome that has come before its turn: whether it succeeded, and what it is
        self._over = False
        self._asked = False

    def next(self, timeout):
        """Return the next outcome's value in a tuple, or raise its exception; None after `timeout` seconds without."""
        self._asked = True
        until = None if timeout is None else monotonic() + timeout
        if not attention.acquire(self._lock, timeout):
            return None
        try:
            read = self._next_in_order if self._source.ordered else self._next_of_all
            return read(until)
        except StopIteration:
            self.job.finish()  # until all that was computed is kept
            self._source.journal.close()
            raise
        finally:
            self._lock.release()

    def _next_of_all(self, until):
        source = self._source
        while True:
            if source.found:
                return (source.journal.value(source.found.popleft()),)
            if self._over:
                raise StopIteration
            self._take(until)
            if self._live is not None:
                return self._give_live()
            if not self._over and not source.found:
                return None

    def _next_in_order(self, until):
        source = self._source
        while True:
            if self._at in source.journal.results and self._at < source.seen:
                self._at += 1
                return (source.journal.value(self._at - 1),)
            if self._live is not None:  # the one for this place, or what its iterator raised
                self._at += 1
                return self._give_live()
            if self._over:
                raise StopIteration
            self._take(until)
            if self._live is None and not self._over:
                return None

    def _take(self, until):
        """Wait for an outcome that is computed; the end, too, is one."""
        try:
            found = self.job.next(None if until is None else max(0.0, until - monotonic()))
        except StopIteration:
            self._over = True
            return
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._live = False, error
        else:
            self._live = found and (True, found[0])

    def _give_live(self):
        (success, value), self._live = self._live, None
        if not success:
            if any(value is ending for ending in self._source.endings):
                self._source.journal.close()
            raise value
        return (value,)

    def close(self):
        """End the map."""
        self.job.close()
        self._source.journal.close()

    def forsake(self):
        """End the map, as nobody reads it any more; one that nobody has read goes on and keeps its results."""
        self.job.forsake()
        if self._asked:
            self._source.journal.close()
