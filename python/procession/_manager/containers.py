"""The proxy classes of lists, dictionaries and sets.

Operators that change in place return the proxy itself, as the operators of the plain types do.
"""

from collections.abc import MutableMapping, MutableSequence, MutableSet

from procession._manager.proxy import MakeProxyType

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Set as AbstractSet
    from typing import Any, Self

    from procession._typed.containers import _K, _T, _V, _DictProxy, _ListProxy, _SetProxy
else:
    _T = _K = _V = None
    _ListProxy = MakeProxyType(
        "_ListProxy",
        (
            "__add__",
            "__contains__",
            "__delitem__",
            "__getitem__",
            "__imul__",
            "__len__",
            "__mul__",
            "__reversed__",
            "__rmul__",
            "__setitem__",
            "append",
            "clear",
            "copy",
            "count",
            "extend",
            "index",
            "insert",
            "pop",
            "remove",
            "reverse",
            "sort",
        ),
    )
    _DictProxy = MakeProxyType(
        "_DictProxy",
        (
            "__contains__",
            "__delitem__",
            "__getitem__",
            "__ior__",
            "__iter__",
            "__len__",
            "__or__",
            "__reversed__",
            "__ror__",
            "__setitem__",
            "clear",
            "copy",
            "fromkeys",
            "get",
            "items",
            "keys",
            "pop",
            "popitem",
            "setdefault",
            "update",
            "values",
        ),
    )
    _SetProxy = MakeProxyType(
        "_SetProxy",
        (
            "__and__",
            "__contains__",
            "__iand__",
            "__ior__",
            "__isub__",
            "__iter__",
            "__ixor__",
            "__len__",
            "__or__",
            "__rand__",
            "__ror__",
            "__rsub__",
            "__rxor__",
            "__sub__",
            "__xor__",
            "__ge__",
            "__gt__",
            "__le__",
            "__lt__",
            "__eq__",
            "__ne__",
            "add",
            "clear",
            "copy",
            "difference",
            "difference_update",
            "discard",
            "intersection",
            "intersection_update",
            "isdisjoint",
            "issubset",
            "issuperset",
            "pop",
            "remove",
            "symmetric_difference",
            "symmetric_difference_update",
            "union",
            "update",
        ),
    )


class ListProxy(_ListProxy[_T]):
    """A list in the server."""

    def __iadd__(self, value: "Iterable[_T]") -> "Self":
        self._callmethod("extend", (value,))
        return self

    def __imul__(self, value: int) -> "Self":
        self._callmethod("__imul__", (value,))
        return self


class DictProxy(_DictProxy[_K, _V]):
    """A dictionary in the server; `keys`, `values` and `items` return lists."""

    _method_to_typeid_ = {"__iter__": "Iterator"}

    def __ior__(self, value: "Any") -> "Self":
        self._callmethod("__ior__", (value,))
        return self

    def __reversed__(self) -> "Iterator[_K]":
        return iter(self._callmethod("keys")[::-1])


class SetProxy(_SetProxy[_T]):
    """A set in the server."""

    _method_to_typeid_ = {"__iter__": "Iterator"}

    def __ior__(self, value: "AbstractSet[Any]") -> "Self":  # type: ignore[misc]
        self._callmethod("__ior__", (value,))
        return self

    def __iand__(self, value: "AbstractSet[Any]") -> "Self":
        self._callmethod("__iand__", (value,))
        return self

    def __ixor__(self, value: "AbstractSet[Any]") -> "Self":  # type: ignore[misc]
        self._callmethod("__ixor__", (value,))
        return self

    def __isub__(self, value: "AbstractSet[Any]") -> "Self":
        self._callmethod("__isub__", (value,))
        return self

    # Equal proxies may change apart, so a proxy is not a key by its value.
    __hash__ = None  # type: ignore[assignment]


MutableSequence.register(ListProxy)
MutableMapping.register(DictProxy)
MutableSet.register(SetProxy)
