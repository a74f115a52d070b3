"""What goes with the functions of a pool or a process, so that workers can compare: see `variables.py`."""

import sys

from procession._objects import generators, reads, variables

__all__ = ["VariableWatch", "of_process"]

_MOST_TARGETS = 1000  # that are remembered
_MOST_MET = 2000  # functions of a pool


def expected(function, known, method, spared, with_generators):
    """Return the `Expected` of a function; None where nothing can differ.

    Args:
        function: what is called.
        known: its `reads.Reads`.
        method: the start method.
        spared: variables, and names of attributes, of which nothing is said.
        with_generators: whether those are of interest.
    """
    with_generators = with_generators and not known.names & _SEEDING
    marks, held = {}, []
    for place in known.places.keys() - spared - known.written - known.changed:
        module, name = place
        there = vars(sys.modules[module]) if module in sys.modules else {}
        if name not in there:
            continue
        value = there[name]
        if method != "fork" and (marked := variables.mark(value)) is not None:
            marks[place] = marked
        if with_generators and generators.holds_generator(value):
            held.append(place)
    if with_generators:
        held += [place for place in known.held if place[1].rpartition(".")[2] not in spared | known.attributes[0]]
    if not marks and not held:
        return None
    function, _ = reads.plain(function)
    code = getattr(function, "__code__", None)
    place = (code.co_filename, code.co_firstlineno) if code else (sys.modules[function.__module__].__file__, 1)
    return variables.Expected(function.__qualname__, place, marks, held, method)


# A program that calls one of these gives a generator a state of its own.
_SEEDING = frozenset(("seed", "setstate", "set_state", "manual_seed", "spawn", "jumped", "advance"))


class VariableWatch:
    """What is sent with the functions of a pool.

    Args:
        method: its start method.
        initializer: what its workers call first, or None.
        alone: whether there is one worker only, so that no two draw random numbers.
    """

    def __init__(self, method, initializer, alone):
        self._method = method
        self._alone = alone
        self.met = {}  # the codes of functions that were sent, by their numbers: functions may hold much
        self._spared = set()
        self._nothing_known = False
        self.of_initializer = None
        if initializer is not None:
            known = reads.of_function(initializer)
            if known is not None:
                self.of_initializer = self._expected(initializer, known)
                self._nothing_known = bool(known.names & reads.SETTING_ANY)
                self._spared |= known.written | known.places.keys() | known.attributes[0]

    def sent(self, function, by_value):
        """Return what is to be pickled in the place of a function; False for the function itself.

        Args:
            function: what is sent.
            by_value: whether its variables travel with it, so that they are what they are here.
        """
        plain, _ = reads.plain(function)
        key = getattr(plain, "__code__", plain)
        if plain is None or id(key) in self.met or len(self.met) >= _MOST_MET:
            return False
        self.met[id(key)] = key
        known = reads.of_function(function)
        if known is None or self._nothing_known:
            return False
        what = self._expected(function, known)
        self._spared |= known.written | known.changed | known.attributes[0]
        if what is None:
            return False
        if by_value or self._method == "fork":
            if what.generators:
                variables.tell_of_generators(what)
            return False
        return _Accompanied(function, what)

    def _expected(self, function, known):
        return expected(function, known, self._method, self._spared, not self._alone)


class _Accompanied:
    """A function, in whose pickle is what it reads; it arrives as the function."""

    def __init__(self, *parts):
        self._parts = parts

    def __reduce__(self):
        return variables.arrive, self._parts


_of_targets: dict = {}  # by the number of a target's code: that, and what was last sent with it


def of_process(process_obj, method):
    """Return the `Expected` of what a process is about to run; None when it was told to an earlier one, or is nothing.

    One process that draws from a generator does no harm; a second one draws the same numbers.
    """
    target = process_obj._target or type(process_obj).run
    plain, _ = reads.plain(target)
    known = reads.of_function(target)
    if known is None:
        return None
    key = getattr(plain, "__code__", plain)
    _, before = _of_targets.get(id(key), (None, None))
    what = expected(target, known, method, set(), before is not None)
    if len(_of_targets) >= _MOST_TARGETS:
        _of_targets.clear()
    told = what and (what.marks, what.generators)
    _of_targets[id(key)] = key, told or ()
    if told == before or what is None:
        return None
    if method != "fork":
        return what
    variables.tell_of_generators(what)
    return None
