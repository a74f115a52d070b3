"""Named shared memory, which any process of this user can attach to."""

import errno
import mmap
import os
import secrets
import struct

from procession import resource_tracker
from procession._checks import whole
from procession._procession import above_streams, check_file_size, reserve_memory

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from procession._typed.shared import _V, Listed as _Listed
else:
    from procession._standard import Generic as _Listed

    _V = None

__all__ = ["ShareableList", "SharedMemory"]

try:
    import _posixshmem

    _open, _remove = _posixshmem.shm_open, _posixshmem.shm_unlink
except ImportError:

    def _open(name, flags, mode=0o600):
        return os.open("/dev/shm/" + name.lstrip("/"), flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode)

    def _remove(name):
        os.unlink("/dev/shm/" + name.lstrip("/"))


_USE_POSIX = True
_SHM_NAME_PREFIX = "/psm_"
_SHM_SAFE_NAME_LENGTH = 14


def _make_filename():
    """Return a name that is not in use, as far as chance can tell."""
    count = (_SHM_SAFE_NAME_LENGTH - len(_SHM_NAME_PREFIX)) // 2
    return _SHM_NAME_PREFIX + secrets.token_hex(count)


class SharedMemory:
    """A block of shared memory under a name.

    Args:
        name: its name; a new one is made up when it is None.
        create: whether to make a new block; otherwise attach to the one of that name.
        size: bytes of a new block.
        track: whether the resource tracker removes the block when the processes of this program are gone and nobody
            did. By default only those who create a block are answerable for it, not those who attach to it.

    Raises:
        ValueError: `size` is not positive for a new block, or there is no name to attach to.
        TypeError: `size` is no integer.
        FileExistsError, FileNotFoundError: there is a block of that name, or none.
        OSError: there is not enough memory, or the system refuses it.
    """

    _name: "Any" = None
    _fd = -1
    _mmap: "Any" = None  # as the next, None once it is closed
    _buf: "Any" = None
    _flags = os.O_RDWR
    _mode = 0o600
    _prepend_leading_slash = True
    _track = False

    def __init__(
        self, name: str | None = None, create: bool = False, size: int = 0, *, track: bool | None = None
    ) -> None:
        if whole(size, "'size'") < 0:
            raise ValueError(f"'size' must be a positive integer, not {size}")
        if create and size == 0:
            raise ValueError("'size' must be a positive number different from zero")
        if name is None and not create:
            raise ValueError("'name' can only be None if create=True")
        self._track = create if track is None else bool(track)
        if create:
            self._flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
        self._open_name(name)
        try:
            if create:
                _reserve(self._fd, size)
            size = os.fstat(self._fd).st_size
            self._mmap = mmap.mmap(self._fd, size)
            if self._track:
                resource_tracker.register(self._name, "shared_memory")
        except BaseException:
            if create:
                _remove(self._name)
            self.close()
            raise
        self._size = size
        self._buf = memoryview(self._mmap)

    def _open_name(self, name):
        if name is not None:
            self._name = "/" + name if self._prepend_leading_slash else name
            self._fd = above_streams(_open(self._name, self._flags, mode=self._mode))
            return
        while True:
            self._name = _make_filename()
            try:
                self._fd = above_streams(_open(self._name, self._flags, mode=self._mode))
                return
            except FileExistsError:
                continue

    _close_descriptor = staticmethod(os.close)  # at the interpreter's end `os` is gone before the last of these

    def __del__(self):
        try:
            self.close()
        except OSError:
            pass

    def __reduce__(self):
        return type(self), (self.name, False, self.size)

    def __repr__(self):
        return f"{type(self).__name__}({self.name!r}, size={self.size})"

    @property
    def buf(self) -> memoryview:
        """A memoryview of the bytes, None when closed."""
        return self._buf

    @property
    def name(self) -> str:
        """The name, for others to attach."""
        if self._prepend_leading_slash and self._name.startswith("/"):
            return self._name[1:]
        return self._name

    @property
    def size(self) -> int:
        """How many bytes it has; the system may give more than was asked for."""
        return self._size

    def close(self) -> None:
        """Let go of the block in this process; the block itself stays.

        Raises:
            BufferError: something still refers to its bytes.
        """
        if self._buf is not None:
            self._buf.release()
            self._buf = None
        if self._mmap is not None:
            self._mmap.close()
            self._mmap = None
        if self._fd >= 0:
            self._close_descriptor(self._fd)
            self._fd = -1

    def unlink(self) -> None:
        """Remove the name; the memory is freed when everybody has let go of it. For one process to call, once.

        Raises:
            FileNotFoundError: somebody has removed it.
        """
        if self._name:
            _remove(self._name)
            if self._track or resource_tracker._resource_tracker._fd is not None:
                # Nothing is left to remove, whoever of this program registered it, and even if nobody did.
                resource_tracker.register(self._name, "shared_memory")
                resource_tracker.unregister(self._name, "shared_memory")


def _reserve(fd, size):
    """Give a file its size and memory: too little is an OSError here and not a crash at first touch."""
    check_file_size(size)
    os.ftruncate(fd, size)
    try:
        reserve_memory(fd, size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise


_ENCODING = "utf8"
_BOX = 8  # texts and bytes have room for a multiple of so many

# How an item is read back: the numbers are part of the format.
_AS_IS, _TEXT, _BYTES, _NONE = range(4)


class ShareableList(_Listed[_V]):
    """A list of fixed length in shared memory, of int, float, bool, str, bytes and None.

    An item may be replaced by one that needs no more room. The memory holds the number of items, the offset where each
    ends, the format of each (of texts and bytes their length), how each is read back, and the items.

    Args:
        sequence: the items of a new list; with a name and None, the list of that name is attached to.
        name: the name of the shared memory.

    Raises:
        KeyError, TypeError: an item is of another type (one exception, of both kinds).
        struct.error: an integer has more than 64 bits.
        OSError: as of `SharedMemory`.
    """

    def __init__(self, sequence: "Iterable[_V] | None" = None, *, name: str | None = None) -> None:
        if sequence is None and name is not None:
            self.shm = SharedMemory(name)
            (self._list_len,) = struct.unpack_from("q", self.shm.buf, 0)
            self._ends = list(struct.unpack_from(f"{self._list_len}q", self.shm.buf, 8))
            return
        items = [] if sequence is None else list(sequence)
        formats = [self._room_for(item) for item in items]
        self._list_len = len(items)
        self._ends, end = [], 0
        for item_format in formats:
            end += struct.calcsize(item_format)
            end = -(-end // _BOX) * _BOX
            self._ends.append(end)
        self.shm = SharedMemory(name, create=True, size=self._data_start + max(end, 1))
        try:
            struct.pack_into(f"q{self._list_len}q", self.shm.buf, 0, self._list_len, *self._ends)
            for place, (item, item_format) in enumerate(zip(items, formats, strict=True)):
                self._write(place, item, item_format)
        except BaseException:  # nobody has it, to remove it
            self.shm.close()
            self.shm.unlink()
            raise

    @staticmethod
    def _room_for(item):
        """Return the format of a new item; texts and bytes get room to grow a little."""
        if isinstance(item, (str, bytes)):
            length = len(item.encode(_ENCODING) if isinstance(item, str) else item)
            return f"{_BOX * max(len(item) // _BOX + 1, -(-length // _BOX))}s"
        return ShareableList._number_format(item)

    @staticmethod
    def _number_format(item):
        if isinstance(item, int) and not -(2**63) <= item < 2**63:
            raise struct.error(f"a ShareableList holds integers of 64 bits, not {item}")
        for kind, item_format in ((bool, "xxxxxxx?"), (int, "q"), (float, "d"), (type(None), "xxxxxx?x")):
            if isinstance(item, kind):
                return item_format
        from procession._exceptions import Unshareable

        raise Unshareable(f"a ShareableList holds no {type(item).__name__}: only int, float, bool, str, bytes and None")

    @property
    def _formats_start(self):
        return 8 + 8 * self._list_len

    @property
    def _kinds_start(self):
        return self._formats_start + 8 * self._list_len

    @property
    def _data_start(self):
        return -(-(self._kinds_start + self._list_len) // _BOX) * _BOX

    def _place(self, index):
        place = index + self._list_len if index < 0 else index
        if not 0 <= place < self._list_len:
            raise IndexError("index out of range")
        return place

    def _start(self, place):
        return self._data_start + (self._ends[place - 1] if place else 0)

    def _room(self, place):
        return self._data_start + self._ends[place] - self._start(place)

    def _get_packing_format(self, place):
        if self._kind(place) in (_TEXT, _BYTES):
            return f"{self._room(place)}s"
        return bytes(self.shm.buf[self._formats_start + 8 * place :][:8]).rstrip(b"\0").decode(_ENCODING)

    def _kind(self, place):
        return self.shm.buf[self._kinds_start + place]

    def _write(self, place, item, item_format):
        kind = _TEXT if isinstance(item, str) else _BYTES if isinstance(item, bytes) else _AS_IS
        value = item.encode(_ENCODING) if kind == _TEXT else item
        if item is None:
            kind, value = _NONE, False
        struct.pack_into(item_format, self.shm.buf, self._start(place), value)
        described = item_format.encode(_ENCODING) if kind in (_AS_IS, _NONE) else struct.pack("q", len(value))
        struct.pack_into("8s", self.shm.buf, self._formats_start + 8 * place, described)
        self.shm.buf[self._kinds_start + place] = kind

    def __getitem__(self, index: int) -> "_V":
        return self._item(self._place(index))

    def _item(self, place: int) -> "Any":
        kind = self._kind(place)
        if kind == _NONE:
            return None
        start = self._start(place)
        if kind == _AS_IS:
            return struct.unpack_from(self._get_packing_format(place), self.shm.buf, start)[0]
        (length,) = struct.unpack_from("q", self.shm.buf, self._formats_start + 8 * place)
        # Another process may be replacing the item: what is read stays within the item's room.
        value = bytes(self.shm.buf[start : start + min(max(length, 0), self._room(place))])
        return value.decode(_ENCODING) if kind == _TEXT else value

    def __setitem__(self, index: int, item: "_V") -> None:
        place = self._place(index)
        if isinstance(item, (str, bytes)):
            length = len(item.encode(_ENCODING) if isinstance(item, str) else item)
            if length > self._room(place):
                raise ValueError("bytes/str item exceeds available storage")
            item_format = f"{self._room(place)}s"
        else:
            item_format = self._number_format(item)
        self._write(place, item, item_format)

    def __reduce__(self):
        return _attach_list, (type(self), self.shm.name)

    def __len__(self) -> int:
        return self._list_len

    def __repr__(self):
        return f"{type(self).__name__}({list(self)}, name={self.shm.name!r})"

    @property
    def format(self) -> str:
        """The formats of all items, as `struct` has them."""
        return "".join(self._get_packing_format(place) for place in range(self._list_len))

    def count(self, value: object) -> int:
        """Return how many items equal a value."""
        return sum(value == item for item in self)

    def index(self, value: object) -> int:
        """Return the place of the first item that equals a value.

        Raises:
            ValueError: there is none.
        """
        for place, item in enumerate(self):
            if value == item:
                return place
        raise ValueError("ShareableList.index(x): x not in list")


def _attach_list(cls, name):
    return cls(name=name)
