import pickle
import socket
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from typing_extensions import Buffer

from procession.connection import Connection

__all__ = ["DupFd", "ForkingPickler", "HAVE_SEND_HANDLE", "dump", "recv_handle", "register", "send_handle"]

_T = TypeVar("_T")

class _Writer(Protocol):
    def write(self, data: Any, /) -> object: ...

class _Detaching(Protocol):
    def detach(self) -> int: ...

HAVE_SEND_HANDLE: bool

class ForkingPickler(pickle.Pickler):
    @classmethod
    def register(cls, type: type[_T], reduce: Callable[[_T], str | tuple[Any, ...]]) -> None: ...
    @classmethod
    def dumps(cls, obj: object, protocol: int | None = None) -> memoryview: ...
    @staticmethod
    def loads(
        data: Buffer,
        /,
        *,
        fix_imports: bool = True,
        encoding: str = "ASCII",
        errors: str = "strict",
        buffers: Iterable[Any] | None = (),
    ) -> Any: ...

class InheritedFd:
    fd: int
    def __init__(self, fd: int) -> None: ...
    def detach(self) -> int: ...

def register(type: type[_T], reduce: Callable[[_T], str | tuple[Any, ...]]) -> None: ...
def dump(obj: object, file: _Writer, protocol: int | None = None) -> None: ...
def DupFd(fd: int) -> _Detaching: ...
def send_handle(conn: Connection, handle: int, destination_pid: int | None, timeout: float | None = None) -> None: ...
def recv_handle(conn: Connection) -> int: ...
def sendfds(sock: socket.socket, fds: Iterable[int]) -> None: ...
def recvfds(sock: socket.socket, size: int) -> list[int]: ...
