"""The proxy classes of lists, dictionaries and sets.

Operators that change in place return the proxy itself, as the operators of the plain types do.
"""

from collections.abc import MutableMapping, MutableSequence, MutableSet

from procession._manager.proxy import BaseProxy, MakeProxyType

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Set as AbstractSet
    from typing import Any, Self, TypeVar, overload

    _T = TypeVar("_T")
    _K = TypeVar("_K")
    _V = TypeVar("_V")

    class _ListProxy(BaseProxy, MutableSequence[_T]):
        def __len__(self) -> int: ...
        @overload
        def __getitem__(self, index: int, /) -> _T: ...
        @overload
        def __getitem__(self, index: slice, /) -> list[_T]: ...
        @overload
        def __setitem__(self, index: int, value: _T, /) -> None: ...
        @overload
        def __setitem__(self, index: slice, value: Iterable[_T], /) -> None: ...
        def __delitem__(self, index: int | slice, /) -> None: ...
        def insert(self, index: int, value: _T, /) -> None: ...
        def sort(self, *, key: Callable[[_T], Any] | None = None, reverse: bool = False) -> None: ...
        def copy(self) -> list[_T]: ...

    class _DictProxy(BaseProxy, MutableMapping[_K, _V]):
        def __len__(self) -> int: ...
        def __iter__(self) -> Iterator[_K]: ...
        def __getitem__(self, key: _K, /) -> _V: ...
        def __setitem__(self, key: _K, value: _V, /) -> None: ...
        def __delitem__(self, key: _K, /) -> None: ...
        def copy(self) -> dict[_K, _V]: ...

    class _SetProxy(BaseProxy, MutableSet[_T]):
        def __len__(self) -> int: ...
        def __iter__(self) -> Iterator[_T]: ...
        def __contains__(self, value: object, /) -> bool: ...
        def add(self, value: _T, /) -> None: ...
        def discard(self, value: _T, /) -> None: ...
        def update(self, *others: Iterable[_T]) -> None: ...
        def copy(self) -> set[_T]: ...

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
