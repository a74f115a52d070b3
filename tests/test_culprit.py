"""The path to what cannot be pickled."""

import threading

import pytest
from procession.culprit import explain, with_path


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
    error = with_path(TypeError("cannot pickle"), [LOCK], "task")
    assert type(error) is TypeError and str(error) == "cannot pickle (task[0]: lock)"
