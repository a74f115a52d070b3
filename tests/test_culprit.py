"""The path to what cannot be pickled."""

import threading

import pytest
from procession import reduction
from procession._objects.culprit import with_path


class Node:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Slotted:
    __slots__ = ("held",)


def slotted(value):
    obj = Slotted()
    obj.held = value
    return obj


def closure(value):
    return lambda: value


LOCK = threading.Lock()


def explain(obj):
    """Return where the error of pickling an object says that the culprit is."""
    try:
        reduction.ForkingPickler.dumps(obj)
    except Exception as error:
        return str(error).rpartition(" (")[2].removesuffix(")")
    return ""


@pytest.mark.parametrize(
    "obj, where",
    [
        (LOCK, "object: lock"),
        ([1, [LOCK]], "[1][0]: lock"),
        ({"a": (1, LOCK)}, "['a'][1]: lock"),
        (Node(client=Node(inner=LOCK)), "client.inner: lock"),
        (Node(other=slotted(LOCK)), "other.held: lock"),
        (closure(LOCK), "<closure value>: lock"),
        (Node(call=closure({"k": LOCK})), "call.<closure value>['k']: lock"),
    ],
)
def test_the_path_leads_to_the_culprit(obj, where):
    assert explain(obj) == where


@pytest.mark.parametrize("obj", [1, [1, "a"], closure(1), Node(a=1)])
def test_what_pickles_has_no_culprit(obj):
    assert explain(obj) == ""


def test_a_cycle_ends():
    node = Node(lock=LOCK)
    node.own = node
    assert explain(node) == "lock: lock"


def test_the_error_keeps_its_type_and_gains_the_path():
    with pytest.raises(TypeError, match=r"cannot pickle '_thread.lock' object \(\[0\]: lock\)"):
        reduction.ForkingPickler.dumps([LOCK])
    # Nothing was pickled in vain since.
    error = TypeError("other")
    assert with_path(error, [LOCK], "task") is error and str(error) == "other"


class Computing:
    @property
    def __dict__(self):
        raise RuntimeError("computed in vain")

    def __reduce__(self):
        return list, ([LOCK],)


def test_an_object_whose_attributes_cannot_be_read_does_not_hide_the_error():
    assert explain([1, Computing()]) == "in list: lock"
