"""Shared memory in pieces: anonymous files that travel to children by descriptor, cut into blocks."""

import bisect
import mmap
import os
import threading
import weakref

from procession import _procession as engine, process, reduction

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["BufferWrapper"]

_ALIGNMENT = 16
_PAGE = mmap.PAGESIZE
_SMALLEST_ARENA = 4 * _PAGE
_DOUBLE_UP_TO = 4 << 20

# The arenas of this process by file, so that those which came from elsewhere are mapped once.
_arenas = weakref.WeakValueDictionary()


def _key(fd):
    stat = os.fstat(fd)
    return stat.st_dev, stat.st_ino


class Arena:
    """An anonymous memory file and its mapping; children get the descriptor.

    Args:
        size: bytes.
        fd: the descriptor of a file that is there already; it is taken over.

    Raises:
        OSError: there is not so much memory.
    """

    def __init__(self, size, fd=-1):
        self.size = size
        if fd == -1:
            # Reserved now: no memory is an error here and not a crash later. And what is mapped stays there, whatever
            # another process does with the file.
            fd = engine.memory_file("procession-heap", max(size, 1))
        self.fd = fd
        weakref.finalize(self, os.close, fd)
        self.buffer = mmap.mmap(fd, size)
        # The engine's view of the same memory; at once, as the descriptor may be closed by the program later.
        self.memory = engine.Memory(engine.duplicate_above(fd, 0))
        _arenas[_key(fd)] = self

    def __reduce__(self):
        process.assert_spawning(self)
        return _rebuild_arena, (self.size, reduction.DupFd(self.fd))


def _rebuild_arena(size, descriptor):
    fd = descriptor.detach()
    known = _arenas.get(_key(fd))
    if known is None:
        return Arena(size, fd)
    if known.fd != fd:  # the same number may come several times
        os.close(fd)
    return known


class Heap:
    """Blocks of memory, cut from arenas: the smallest free one that is large enough.

    A block is an arena with the places where it starts and stops. Blocks that were handed out before a fork are never
    used again by the child, which starts with arenas of its own.

    Args:
        size: bytes of the first arena.
    """

    def __init__(self, size=_SMALLEST_ARENA):
        self._next_size = size
        self._reset()

    def _reset(self):
        self._pid = os.getpid()
        # Reentrant: the collector may free a block while another is handed out.
        self._lock = threading.RLock()
        self._lengths = []
        self._len_to_seq = {}
        self._by_start = {}
        self._by_stop = {}
        self._allocated_blocks = {}
        self._pending_free_blocks = []
        self._arenas = []
        self._n_mallocs = self._n_frees = 0

    def malloc(self, size: int) -> "Any":
        """Return a block of at least `size` bytes.

        Raises:
            ValueError: a negative size.
            OSError: there is not so much memory.
        """
        if size < 0:
            raise ValueError(f"Size {size:n} out of range")
        if self._pid != os.getpid():
            self._reset()
        size = -(-max(size, 1) // _ALIGNMENT) * _ALIGNMENT
        with self._lock:
            self._free_pending()
            arena, start, stop = self._find(size)
            if stop - start > size:
                self._add_free((arena, start + size, stop))
            block = (arena, start, start + size)
            self._allocated_blocks.setdefault(arena, set()).add((start, start + size))
            self._n_mallocs += 1
            return block

    def free(self, block: "Any") -> None:
        """Take a block back."""
        if self._pid != os.getpid():
            return  # it is the parent's to use again
        # Appending is safe even when the collector calls this in the middle of `malloc`.
        self._pending_free_blocks.append(block)
        if self._lock.acquire(blocking=False):
            try:
                self._free_pending()
            finally:
                self._lock.release()

    def _find(self, size):
        place = bisect.bisect_left(self._lengths, size)
        if place == len(self._lengths):
            length = -(-max(self._next_size, size) // _PAGE) * _PAGE
            if self._next_size < _DOUBLE_UP_TO:
                self._next_size *= 2
            self._arenas.append(arena := Arena(length))
            return arena, 0, length
        length = self._lengths[place]
        blocks = self._len_to_seq[length]
        block = blocks[-1]
        self._remove_free(block)
        return block

    def _free_pending(self):
        while self._pending_free_blocks:
            arena, start, stop = self._pending_free_blocks.pop()
            taken = self._allocated_blocks.get(arena)
            if taken is None:
                continue  # handed out before a fork, by the parent
            taken.remove((start, stop))
            self._n_frees += 1
            before = self._by_stop.get((arena, start))
            if before is not None:
                self._remove_free(before)
                start = before[1]
            after = self._by_start.get((arena, stop))
            if after is not None:
                self._remove_free(after)
                stop = after[2]
            if taken:
                self._add_free((arena, start, stop))
            else:
                # Nothing is left in it: the memory goes back to the system.
                del self._allocated_blocks[arena]
                self._arenas.remove(arena)

    def _add_free(self, block):
        arena, start, stop = block
        length = stop - start
        if length not in self._len_to_seq:
            bisect.insort(self._lengths, length)
        self._len_to_seq.setdefault(length, []).append(block)
        self._by_start[arena, start] = self._by_stop[arena, stop] = block

    def _remove_free(self, block):
        arena, start, stop = block
        length = stop - start
        blocks = self._len_to_seq[length]
        blocks.remove(block)
        if not blocks:
            del self._len_to_seq[length]
            self._lengths.remove(length)
        del self._by_start[arena, start], self._by_stop[arena, stop]


class BufferWrapper:
    """A block of shared memory, given back when nothing refers to it any more.

    Args:
        size: bytes.
    """

    _heap = Heap()

    def __init__(self, size):
        if size < 0:
            raise ValueError(f"Size {size:n} out of range")
        block = self._heap.malloc(size)
        self._state = block, size
        weakref.finalize(self, self._heap.free, block).atexit = False

    def create_memoryview(self) -> memoryview:
        """Return the bytes of the block."""
        (arena, start, _), size = self._state
        return memoryview(arena.buffer)[start : start + size]

    def numbers(self, code: str, count: int) -> "engine.Numbers":
        """Return the first `count` numbers of the block, of the type with this letter, as the engine reaches them."""
        (arena, start, stop), _ = self._state
        return engine.Numbers(arena.memory, start, stop - start, code, count)
