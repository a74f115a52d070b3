"""The file in which the results of a map are kept, so that the map goes on where it was after the end of its program.

The file only grows. It begins with a line that says what it is; frames follow, each of them complete or worth nothing:

    length of the body    8 bytes, little endian
    digest of the body    8 bytes, BLAKE2b
    body                  the first: "D", JSON that describes the call
                          all others: "S", how many results (4 bytes) and large parts (4 bytes) follow; the places of
                          the results (8 bytes each), the digests of their items (4 bytes each); where each large part
                          lies in the file beside, how long it is (8 bytes each), its CRC-32 (4 bytes); a pickle of the
                          list of results. "R", of journals that were written before, is the same without those sums

What a program that was killed had begun to write is cut off when the next one opens the file. Large parts lie in
`NAME.data`, and are there before the frame that names them. Who opens the file compares their sums: a result of which a
part is damaged is as one that is not there.
"""

import fcntl
import hashlib
import json
import mmap
import os
import pickle
import stat
import struct
import threading
import zlib
from time import monotonic, sleep

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

__all__ = ["Journal", "NoJournal", "Scan", "scan"]

MAGIC = b"procession journal 1\n"
_HEAD = struct.Struct("<Q8s")
_COUNTS = struct.Struct("<II")
_PLACE, _DIGEST = 8, 4
# Where a large part lies, and its sum; in frames of the older kind there is none.
_PARTS = {b"S": struct.Struct("<QQI"), b"R": struct.Struct("<QQ")}
_SUMMED = b"S"
# Parts of so many bytes lie beside the journal, where they can be mapped.
LARGE = 1 << 16
# Where they begin there: what numpy and others like best.
_ALIGNED = 64
_PROTOCOL = 5
# How long to wait for the journal of a program that is about to end.
_LOCK_PATIENCE_S = 5.0
# How much of a part is read at once to sum it up.
_STEP = 1 << 20


class NoJournal(ValueError):
    """A file is no journal."""


class Frame:
    """A frame with results: where their pickle is, their places, the digests of the items, and its large parts, each
    with its sum, None where that was not written."""

    __slots__ = ("digests", "parts", "places", "size", "start")

    def __init__(
        self,
        start: int,
        size: int,
        places: tuple[int, ...],
        digests: tuple[int, ...],
        parts: list[tuple[int, int, int | None]],
    ) -> None:
        self.start = start
        self.size = size
        self.places = places
        self.digests = digests
        self.parts = parts


class Scan:
    """What is in a journal.

    Attributes:
        description: what its first frame says of the call, None where not even that is complete.
        frames: those with results.
        valid: up to which byte the file is complete.
        size: how long it is.
    """

    def __init__(self) -> None:
        self.description: dict[str, Any] | None = None
        self.frames: list[Frame] = []
        self.valid = 0
        self.size = 0


def scan(path: "str | os.PathLike[str]") -> Scan:
    """Read what is in a journal, without its results. Of a damaged file everything before the damage counts.

    Raises:
        OSError: the file cannot be read.
        NoJournal: it is something else.
    """
    found = Scan()
    with open(path, "rb") as file:
        found.size = os.fstat(file.fileno()).st_size
        if not found.size:
            return found
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            head = data[: len(MAGIC)]
            if not MAGIC.startswith(head):
                raise NoJournal(f"{os.fspath(path)!r} is no journal of procession")
            if head == MAGIC:
                found.valid = len(MAGIC)
                for start, size in _bodies(data, len(MAGIC)):
                    if not _take(found, data[start : start + size], start, size):
                        break
                    found.valid = start + size
    return found


def _bodies(data, at) -> "Iterator[tuple[int, int]]":
    """Give where the bodies of complete frames are."""
    while at + _HEAD.size <= len(data):
        size, digest = _HEAD.unpack_from(data, at)
        start = at + _HEAD.size
        if size > len(data) - start or _digest(data[start : start + size]) != digest:
            return
        yield start, size
        at = start + size


def _take(found, body, start, size):
    """Add a body to what was found; False for one that makes no sense."""
    kind, head = body[:1], body[1:]
    if found.description is None:
        try:
            found.description = json.loads(head) if kind == b"D" else None
        except ValueError:
            return False
        return isinstance(found.description, dict)
    try:
        count, parts = _COUNTS.unpack_from(head)
        digests_at = _COUNTS.size + count * _PLACE
        places_end = digests_at + count * _DIGEST
        layout = _PARTS.get(kind)
        parts_end = places_end + parts * (layout.size if layout else 0)
        if layout is None or parts_end > len(head):
            return False
        places = struct.unpack_from(f"<{count}Q", head, _COUNTS.size)
        digests = struct.unpack_from(f"<{count}I", head, digests_at)
        where = [(part + (None,))[:3] for part in layout.iter_unpack(head[places_end:parts_end])]
    except struct.error:
        return False
    found.frames.append(Frame(start + 1 + parts_end, size - 1 - parts_end, places, digests, where))
    return True


def _digest(body):
    return hashlib.blake2b(body, digest_size=8).digest()


# Who has a file in this process, as `id` tells them, by the file. There is no lock, which a fork, or a journal that is
# collected meanwhile, would meet.
_open_here: dict[tuple[int, int], int] = {}


class Journal:
    """A journal that this process writes, and nobody else meanwhile.

    Args:
        path: its file, which is made if it is not there.
        description: what is written of the call, if it is new.
        fsync: whether each frame is on the disk before the next results count; else it survives the end of the program,
            not that of the machine.

    Attributes:
        description: what the file says of the call.
        results: of each place its frame, its number there, and the digest of its item.

    Raises:
        OSError: it cannot be opened, or another program has it.
        NoJournal: the file is something else.
    """

    def __init__(self, path: "str | os.PathLike[str]", description: "dict[str, Any]", fsync: bool = False) -> None:
        self.path = os.fspath(path)
        self.results: dict[int, tuple[int, int, int]] = {}
        self._frames: list[Frame] = []
        self._fsync = fsync
        self._end = 0
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._data: int | None = None
        self._data_end = 0
        self._loaded: tuple[int, list[Any]] | None = None
        self._map: mmap.mmap | None = None
        self._key: tuple[int, int] | None = None
        # Not to wait for a reader, should it be a pipe.
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
        try:
            self._claim()
            self._read(description)
        except BaseException:
            self.close()
            raise

    def _claim(self):
        state = os.fstat(self._file)
        if not stat.S_ISREG(state.st_mode):
            raise NoJournal(f"{self.path!r} is no regular file, so it cannot be a journal")
        key = state.st_dev, state.st_ino
        text = f"the journal {self.path!r} is in use: each map that runs needs one of its own"
        if _open_here.setdefault(key, id(self)) != id(self):
            raise BlockingIOError(f"{text}; another one of this program has it")
        self._key = key
        until = monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                # Not by `lockf`, which ends when anybody of this process closes the file. Workers that were forked have
                # this lock, too, and end with their parent.
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if monotonic() > until:
                    raise BlockingIOError(f"{text}; another program has it") from None
            sleep(0.01)

    def _read(self, description):
        found = scan(self.path)
        if found.description is None:  # new, or its program was killed at once
            self._begin(description)
            return
        self.description = found.description
        os.ftruncate(self._file, found.valid)
        self._end = found.valid
        ends = [offset + size for frame in found.frames for offset, size, _ in frame.parts]
        if ends:
            # A machine that went down may have kept the frame and not what lies beside.
            there = os.fstat(self._open_data()).st_size
            self._data_end = min(max(ends), there)
        for number, frame in enumerate(found.frames):
            if all(self._is_whole(*part) for part in frame.parts):
                for at, (place, digest) in enumerate(zip(frame.places, frame.digests, strict=True)):
                    self.results[place] = number, at, digest
        self._frames = found.frames

    def _is_whole(self, offset, size, there):
        """Whether a large part is there, with the sum that it had when it was written."""
        if offset + size > self._data_end:
            return False
        if there is None:
            return True
        found, room = 0, bytearray(min(size, _STEP))
        for start in range(offset, offset + size, _STEP):
            view = memoryview(room)[: min(_STEP, offset + size - start)]
            if os.preadv(self._open_data(), [view], start) != len(view):
                return False
            found = zlib.crc32(view, found)
        return found == there

    def _begin(self, description):
        self.description = description
        os.ftruncate(self._file, 0)
        self._end = 0
        try:
            os.unlink(self._data_path)
        except FileNotFoundError:
            pass
        self._append(MAGIC + _framed(b"D" + json.dumps(description).encode()))

    def restart(self, description: "dict[str, Any]") -> None:
        """Forget all that is in it, and begin anew."""
        with self._lock:
            self.results.clear()
            self._frames, self._loaded, self._map, self._data_end = [], None, None, 0
            if self._data is not None:
                os.close(self._data)
                self._data = None
            self._begin(description)

    @property
    def _data_path(self):
        return self.path + ".data"

    def _open_data(self) -> int:
        if self._data is None:
            self._data = os.open(self._data_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        return self._data

    def record(self, places: "Sequence[int]", digests: "Sequence[int]", values: "Sequence[Any]") -> None:
        """Append results, by their places, the digests of their items, what was returned. A closed journal takes none.

        Raises:
            OSError: they cannot be written; what was written before counts.
            Exception: one cannot be pickled.
        """
        parts: list[pickle.PickleBuffer] = []

        def is_small(buffer):
            if buffer.raw().nbytes < LARGE:
                return True
            parts.append(buffer)
            return False

        pickled = pickle.dumps(list(values), _PROTOCOL, buffer_callback=is_small)
        with self._lock:
            if self._file < 0:
                return
            try:
                where = self._append_parts([part.raw() for part in parts])
                count = len(places)
                heads = struct.pack(f"<{count}Q{count}I", *places, *digests)
                beside = [_PARTS[_SUMMED].pack(*spot) for spot in where]
                self._append(_framed(b"".join([_SUMMED, _COUNTS.pack(count, len(beside)), heads, *beside, pickled])))
            except OSError as error:
                if error.filename is None:  # for who has to make room
                    error.filename = self.path
                raise

    def _append_parts(self, parts):
        where = []
        if parts:
            data = self._open_data()
            for part in parts:
                at = -(-self._data_end // _ALIGNED) * _ALIGNED
                _write_all(data, part, at)
                where.append((at, part.nbytes, zlib.crc32(part)))
                self._data_end = at + part.nbytes
            if self._fsync:
                os.fdatasync(data)
        return where

    def _append(self, data):
        try:
            _write_all(self._file, data, self._end)
        except BaseException:
            os.ftruncate(self._file, self._end)  # no half of a frame stands before the next one
            raise
        self._end += len(data)
        if self._fsync:
            os.fdatasync(self._file)

    def value(self, place: int) -> "Any":
        """Return the result for a place. Large parts of it are mapped: they take memory when they are read, and what is
        changed in them stays in this process."""
        number, at, _ = self.results[place]
        with self._lock:
            if self._loaded is None or self._loaded[0] != number:
                self._loaded = number, self._load(self._frames[number])
            return self._loaded[1][at]

    def _load(self, frame):
        parts = []
        if frame.parts:
            if self._map is None:
                assert self._data is not None
                # Whatever is appended from now on is nobody's who reads what was there.
                self._map = mmap.mmap(self._data, self._data_end, access=mmap.ACCESS_COPY)
            view = memoryview(self._map)
            parts = [view[offset : offset + size] for offset, size, _ in frame.parts]
        return pickle.loads(os.pread(self._file, frame.size, frame.start), buffers=parts)

    def __del__(self) -> None:
        if getattr(self, "_key", None) is not None:
            self.close()

    def close(self) -> None:
        """Write no more. Large parts of results that were read stay as they are."""
        if self._pid == os.getpid():
            with self._lock:
                if self._file >= 0 and self._key is not None:
                    fcntl.flock(self._file, fcntl.LOCK_UN)
                self._let_go()
        else:  # a copy: whoever had its lock is not here, and the file is still the parent's
            self._let_go()

    def _let_go(self):
        self._loaded = self._map = None
        for descriptor in (self._file, self._data):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
        self._file, self._data = -1, None
        if self._key is not None:
            _open_here.pop(self._key, None)
            self._key = None


def _framed(body):
    return _HEAD.pack(len(body), _digest(body)) + body


def _write_all(descriptor, data, at):
    view = memoryview(data).cast("B")
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written
