"""What is asked of objects that are given, and what those have that are returned."""

from typing import Any, Protocol, TypeVar


class HasFileno(Protocol):
    """Has a descriptor."""

    def fileno(self) -> int: ...


class Writer(Protocol):
    """Takes bytes."""

    def write(self, data: Any, /) -> object: ...


class Detaching(Protocol):
    """Stands for a descriptor on its way."""

    def detach(self) -> int: ...


class Open:
    """The base class that checkers see of a namespace, which has what attributes the program gives it."""

    def __getattr__(self, name: str, /) -> Any: ...
    def __setattr__(self, name: str, value: Any, /) -> None: ...


_Waitable = TypeVar("_Waitable", bound=HasFileno | int)
