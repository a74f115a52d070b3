"""What the workers of a trip do: they take a value, give one, and tell what arrived and what memory it took."""

from benches.travel.facts import facts
from benches.travel.values import by_pickle, make

_made = {}
_begun = {}


def prepare(name, mib):
    """Make the value that the worker gives away; return what plain pickle makes of it, in facts."""
    _made["value"] = make(name, mib)
    return facts(by_pickle(_made["value"]))


def take(value):
    """Take a value and do nothing with it."""


def give():
    """Give the value that was made."""
    return _made["value"]


def tell(value):
    """Tell what arrived."""
    return facts(value)


def begin():
    """Begin to watch this process's memory: how much it has, and from now on the most that it had."""
    with open("/proc/self/clear_refs", "w") as control:
        control.write("5")  # forgets the most that it had
    _begun["now"] = _memory()


def taken(shared_too):
    """Return by how many bytes memory has grown at most since `begin`.

    Args:
        shared_too: with the memory that is shared with others: for the sender, who has made it.
    """
    now = _memory()
    grown = now["VmHWM"] - _begun["now"]["VmRSS"]
    return max(0, grown if shared_too else grown - max(0, now["RssShmem"] - _begun["now"]["RssShmem"]))


def _memory():
    with open("/proc/self/status") as status:
        lines = (line.split() for line in status)
        return {line[0][:-1]: int(line[1]) << 10 for line in lines if line[0] in ("VmHWM:", "VmRSS:", "RssShmem:")}
