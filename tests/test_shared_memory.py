"""Named shared memory and the list in it."""

import os
import pickle
import stat
import struct
import subprocess
import sys

import procession
import pytest
from procession.shared_memory import ShareableList, SharedMemory

LIMIT = 60


def run(context, target, *args):
    child = context.Process(target=target, args=args)
    child.start()
    child.join(LIMIT)
    assert child.exitcode == 0


def write_into(name, text):
    block = SharedMemory(name)
    block.buf[: len(text)] = text
    block.close()


def test_a_block_stays_when_its_one_reader_ends(context):
    block = SharedMemory(create=True, size=100)
    try:
        run(context, write_into, block.name, b"hello")
        assert bytes(block.buf[:5]) == b"hello"
        again = SharedMemory(block.name)
        again.close()
    finally:
        block.close()
        block.unlink()
    with pytest.raises(FileNotFoundError):
        SharedMemory(block.name)


@pytest.mark.parametrize("item", [b"\0", b"a\0\0", "text\0", b"", "", b"\0" * 16, "y" * 12_000_000])
def test_texts_and_bytes_of_a_list_keep_the_zeros_at_their_end(context, item):
    shared = ShareableList([item, 1, item])
    try:
        run(context, expect_in_list, shared.shm.name, item)
        assert list(shared) == [item, 1, item]
        shared[2] = item[:1]
        assert shared[2] == item[:1] and shared[0] == item
    finally:
        shared.shm.close()
        shared.shm.unlink()


def expect_in_list(name, item):
    shared = ShareableList(name=name)
    try:
        assert list(shared) == [item, 1, item]
        shared[0] = item
        assert shared.count(item) == 2
    finally:
        shared.shm.close()


def test_a_block_is_for_its_user_alone():
    block = SharedMemory(create=True, size=1)
    try:
        assert stat.S_IMODE(os.stat(f"/dev/shm/{block.name}").st_mode) == 0o600
        with pytest.raises(FileExistsError):
            SharedMemory(block.name, create=True, size=1)
    finally:
        block.close()
        block.unlink()


@pytest.mark.parametrize("wrong", [{"create": True}, {"create": True, "size": -1}, {}])
def test_a_block_without_size_or_name_is_an_error(wrong):
    with pytest.raises(ValueError):
        SharedMemory(**wrong)


def test_what_a_killed_program_leaves_is_removed():
    program = (
        "import os, procession.shared_memory as s; b = s.SharedMemory(create=True, size=10);"
        "print(b.name, flush=True); os.kill(os.getpid(), 9)"
    )
    # The pipe ends when the tracker ends, which holds it too.
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=LIMIT)
    name = done.stdout.decode().strip()
    assert name and not os.path.exists(f"/dev/shm/{name}")


NAMES = ["a:b", ":", "a\nb", "\na\n", "a\\nb", "\\", "\\\n\\", " a ", "gr\u00fc\u00df\u4e2d", "\n" * 254, "x" * 254]
ANY_NAME = """
import os, sys
import procession.shared_memory as s
for name in eval(sys.argv[1]):
    block = s.SharedMemory(name[:254 - len(sys.argv[2])] + sys.argv[2], create=True, size=1)
    if sys.argv[3] == "unlink":
        block.close()
        block.unlink()
print(len([name for name in os.listdir("/dev/shm") if name.endswith(sys.argv[2])]), flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("end", ["unlink", "leave"])
@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}], ids=["", "C"])
def test_a_block_of_any_name_is_tracked(end, locale):
    suffix = f"-{os.getpid()}"
    command = [sys.executable, "-c", ANY_NAME, ascii(NAMES), suffix, end]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=os.environ | locale)
    assert int(done.stdout) == (len(NAMES) if end == "leave" else 0)
    assert not [name for name in os.listdir("/dev/shm") if name.endswith(suffix)]
    assert ("There appear to be 11 leaked" in done.stderr) if end == "leave" else not done.stderr
    assert len(done.stderr.splitlines()) == (end == "leave")


def test_a_block_that_cannot_be_tracked_is_not_left(monkeypatch):
    def fail(name, kind):
        raise OSError("no tracker")

    monkeypatch.setattr(procession.resource_tracker, "register", fail)
    name = f"procession-test-{os.getpid()}"
    with pytest.raises(OSError, match="no tracker"):
        SharedMemory(name, create=True, size=1)
    assert not os.path.exists(f"/dev/shm/{name}")


def test_a_list_holds_items_of_all_kinds():
    items = [1, -(1 << 60), 2.5, True, False, None, "text", "gr\u00fc\u00df", b"bytes", "", b""]
    shared = ShareableList(items)
    try:
        assert list(shared) == items
        again = pickle.loads(pickle.dumps(shared))
        again[0] = 99
        again[6] = "TEXT"
        again[5] = 7.5
        assert (shared[0], shared[6], shared[5]) == (99, "TEXT", 7.5)
        assert shared.count(True) == 1 and len(shared) == len(items)
        with pytest.raises(ValueError):
            shared[6] = "far too long for its place"
        with pytest.raises(IndexError):
            shared[len(items)]
        again.shm.close()
    finally:
        shared.shm.close()
        shared.shm.unlink()


def test_a_list_refuses_what_it_cannot_hold():
    with pytest.raises(TypeError):
        ShareableList([[]])
    assert procession.shared_memory.ShareableList[int]


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**70])
def test_an_integer_of_too_many_bits_is_refused_and_leaves_nothing(number):
    with pytest.raises(struct.error, match="integers of 64 bits"):
        ShareableList([1, number])
    numbers = ShareableList([2**63 - 1, -(2**63)])
    try:
        with pytest.raises(struct.error, match="integers of 64 bits"):
            numbers[0] = number
        assert list(numbers) == [2**63 - 1, -(2**63)]
    finally:
        numbers.shm.close()
        numbers.shm.unlink()


def test_a_list_that_cannot_be_written_leaves_no_memory(monkeypatch):
    made = []

    def fail(self, place, item, item_format):
        made.append(self.shm.name)
        raise ZeroDivisionError

    monkeypatch.setattr(ShareableList, "_write", fail)
    with pytest.raises(ZeroDivisionError):
        ShareableList([1])
    with pytest.raises(FileNotFoundError):
        SharedMemory(made[0])
