"""The file of results of a map: what stays of it whatever happens to it, and what is no journal."""

import fcntl
import io
import os
import pickle
import struct
import subprocess
import sys

import numpy
import procession
import pytest
from procession._pool import digests, journal
from procession._pool.journal import Journal, NoJournal, scan

CALL = {"function": "f", "digest": "d"}


def keep(opened, *news):
    """Append results: of each its place, the digest of its item, and itself."""
    opened.record(*zip(*news, strict=True))


def results_of(path):
    """What a journal gives whoever opens it next."""
    opened = Journal(path, CALL)
    try:
        return {place: opened.value(place) for place in sorted(opened.results)}
    finally:
        opened.close()


@pytest.fixture
def written(tmp_path):
    """A journal of three frames, and where each ends."""
    path = str(tmp_path / "run.journal")
    with_header = Journal(path, CALL)
    ends = [os.path.getsize(path)]
    for number in range(3):
        keep(with_header, (number * 2, 7, [number]), (number * 2 + 1, 8, "x" * number))
        ends.append(os.path.getsize(path))
    with_header.close()
    return path, ends


WHOLE = {place: [place // 2] if place % 2 == 0 else "x" * (place // 2) for place in range(6)}


def test_a_journal_that_was_cut_off_anywhere_has_all_complete_frames_and_goes_on(written):
    path, ends = written
    with open(path, "rb") as file:
        data = file.read()
    assert results_of(path) == WHOLE
    for length in [*range(0, len(data), 7), *ends, *(end - 1 for end in ends)]:
        with open(path, "wb") as file:
            file.write(data[:length])
        complete = sum(end <= length for end in ends) - 1
        found = scan(path)
        assert len(found.frames) == max(0, complete) and (found.description == CALL) == (length >= ends[0])
        assert results_of(path) == {place: value for place, value in WHOLE.items() if place < 2 * complete}
        # What comes next stands behind the last complete frame.
        again = Journal(path, CALL)
        keep(again, (9, 1, "after"))
        again.close()
        assert results_of(path).get(9) == "after" and len(scan(path).frames) == max(0, complete) + 1


def test_a_damaged_byte_costs_what_comes_from_it_on_and_no_more(written):
    path, ends = written
    with open(path, "rb") as file:
        data = file.read()
    for at in range(len(journal.MAGIC), len(data)):
        with open(path, "wb") as file:
            file.write(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        complete = sum(end <= at for end in ends) - 1
        assert len(scan(path).frames) == max(0, complete), at


def test_what_is_no_journal_is_left_as_it_is(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("what I must not forget")
    for use in (scan, lambda path: Journal(path, CALL)):
        with pytest.raises(NoJournal, match="notes.txt"):
            use(path)
    assert path.read_text() == "what I must not forget"
    os.mkfifo(tmp_path / "pipe")
    for other in (os.devnull, str(tmp_path / "pipe")):
        with pytest.raises(NoJournal, match="no regular file"):
            Journal(other, CALL)
    with pytest.raises(FileNotFoundError):
        scan(tmp_path / "missing")
    (tmp_path / "empty").touch()
    assert scan(tmp_path / "empty").description is None and results_of(tmp_path / "empty") == {}


def test_frames_that_make_no_sense_end_what_counts(written):
    path, ends = written
    for body in (b"", b"X", b"R", b"R\xff\xff\xff\xff\xff\xff\xff\xff", b"D[]"):
        with open(path, "r+b") as file:
            file.truncate(ends[-1])
            file.seek(0, os.SEEK_END)
            file.write(journal._framed(body))
        assert scan(path).valid == ends[-1] and results_of(path) == WHOLE, body


def test_large_parts_lie_beside_and_are_mapped(tmp_path):
    path = str(tmp_path / "run.journal")
    first = Journal(path, CALL, fsync=True)
    arrays = [numpy.full(50_000 + number, number, "f8") for number in range(3)]
    keep(first, (0, 1, {"a": arrays[0], "b": arrays[1]}), (1, 1, numpy.ones(3)))
    keep(first, (2, 1, arrays[2]))
    first.close()
    assert os.path.getsize(path) < 2000 and os.path.getsize(path + ".data") >= sum(a.nbytes for a in arrays)
    again = Journal(path, CALL)
    found = again.value(0)
    assert (found["a"] == arrays[0]).all() and (found["b"] == arrays[1]).all() and again.value(1).tolist() == [1] * 3
    last = again.value(2)
    last[0] = 5  # it is as a result that was computed: it may be changed, here alone
    assert not found["a"].flags.owndata and last.ctypes.data % 64 == 0
    keep(again, (3, 1, arrays[2]))
    again.close()
    assert last[0] == 5 and results_of(path)[2][0] == 2 and (results_of(path)[3] == arrays[2]).all()
    # Where the machine went down, what lies beside may be missing: then the frame counts for nothing.
    os.truncate(path + ".data", arrays[0].nbytes + 64)
    assert sorted(results_of(path)) == []
    os.unlink(path + ".data")
    assert sorted(results_of(path)) == []
    restarted = Journal(path, CALL)
    restarted.restart({"function": "g"})
    restarted.close()
    assert results_of(path) == {} and scan(path).description == {"function": "g"}


LOCKED = """
import sys
from procession._pool.journal import Journal
journal = Journal(sys.argv[1], {})
print("open", flush=True)
sys.stdin.read()
"""


def flip(path, at):
    """Change a bit of a file."""
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


def test_a_large_part_that_was_damaged_is_computed_again_and_no_other(tmp_path, monkeypatch):
    path = str(tmp_path / "run.journal")
    first = Journal(path, CALL)
    arrays = [numpy.arange(150_000 + number, dtype="f8") for number in range(3)]
    for place, array in enumerate(arrays):
        keep(first, (place, 1, array))
    first.close()
    spots = [frame.parts[0][0] for frame in scan(path).frames]
    for damaged, start in enumerate(spots):
        for at in (start, start + 1_000_000, start + arrays[damaged].nbytes - 1):
            flip(path + ".data", at)
            assert sorted(results_of(path)) == [place for place in range(3) if place != damaged], at
            flip(path + ".data", at)
    assert all((results_of(path)[place] == array).all() for place, array in enumerate(arrays))
    # What lies between the parts is nobody's. Journals from before there were sums are taken as they are.
    flip(path + ".data", spots[2] - 1)
    assert sorted(results_of(path)) == [0, 1, 2]
    monkeypatch.setattr(journal, "_SUMMED", b"R")
    monkeypatch.setitem(journal._PARTS, b"R", Unsummed())
    old = Journal(str(tmp_path / "old.journal"), CALL)
    keep(old, (0, 1, arrays[0]), (1, 1, 5))
    old.close()
    monkeypatch.undo()
    assert scan(tmp_path / "old.journal").frames[0].parts == [(0, arrays[0].nbytes, None)]
    found = results_of(tmp_path / "old.journal")
    assert (found[0] == arrays[0]).all() and found[1] == 5


class Unsummed:
    """Packs parts as they were before they had sums."""

    @staticmethod
    def pack(offset, size, _):
        return struct.pack("<QQ", offset, size)


def test_a_journal_belongs_to_one_map_at_a_time_and_to_nobody_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "_LOCK_PATIENCE_S", 0.05)
    path = str(tmp_path / "run.journal")
    mine = Journal(path, CALL)
    with pytest.raises(BlockingIOError, match="another one of this program"):
        Journal(path, CALL)
    mine.close()
    command = [sys.executable, "-c", LOCKED, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(BlockingIOError, match="another program"):
            Journal(path, CALL)
        other.kill()
    Journal(path, CALL).close()


def test_a_copy_in_a_forked_child_leaves_a_journal_to_its_program(tmp_path):
    path = str(tmp_path / "run.journal")
    mine = Journal(path, CALL)
    child = procession.get_context("fork").Process(target=mine.close)
    with mine._lock:  # as a thread that writes, which stays behind
        child.start()
    child.join(60)
    assert child.exitcode == 0
    with open(path, "rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    keep(mine, (0, 1, "kept"))
    mine.close()
    assert results_of(path) == {0: "kept"}


def test_what_cannot_be_written_leaves_no_half_of_a_frame(written, monkeypatch):
    path, ends = written
    opened = Journal(path, CALL)
    real = os.pwrite

    def full(descriptor, data, at):
        if len(data) > 5:
            return real(descriptor, bytes(data)[:5], at)
        raise OSError(28, "No space left on device")

    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        keep(opened, (1, 1, io.StringIO), (2, 1, open), (3, 1, (n for n in ())))
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space.*run.journal"):
        keep(opened, (7, 1, "lost" * 5))
    monkeypatch.undo()
    assert os.path.getsize(path) == ends[-1]
    keep(opened, (8, 1, "kept"))
    opened.close()
    assert results_of(path) == {**WHOLE, 8: "kept"}


class Holder:
    def __init__(self, value):
        self.value = value


DIGESTS = """
from procession._pool.digests import function_digest, item_digest
from tests import test_journal
print(item_digest(("a", {"b": {"x", "yy", "z"}, "c": frozenset("abc")})), item_digest(test_journal.Holder({"q", "r"})))
print(function_digest(test_journal.results_of), function_digest(lambda x, y={"k", "l"}: x in {"m", "n"}))
"""


def test_digests_are_equal_in_each_run_and_differ_for_what_differs():
    runs = set()
    for seed in "12":
        command = [sys.executable, "-c", DIGESTS]
        runs.add(subprocess.check_output(command, env={**os.environ, "PYTHONHASHSEED": seed}, text=True))
    assert len(runs) == 1, runs
    itself = []
    itself.append(itself)
    for numbers in ([0, 5, -7], [2**30, 1], [True, 0], [1, "a"], []):
        assert digests.item_digests(numbers) == [digests.item_digest(number) for number in numbers]
    items = [0, 1, True, "", "a", b"a", 1.5, None, (), [], ("a", "a"), ("a", "b"), ["a", "b"], {"a": 1}, {1, 2}, {1, 3}]
    items += [frozenset((1, 2)), itself, 2**40, ("a", "b", [])]
    items += [numpy.zeros(100_000), numpy.ones(100_000), Holder(1), Holder(2), lambda: 1, lambda: 2]
    assert len({digests.item_digest(item) for item in items}) == len(items)
    assert digests.item_digest(("ab", "ab")) == digests.item_digest(("ab", "".join(["a", "b"])))
    assert digests.item_digest(n for n in ()) == 0  # what cannot be pickled is not compared

    def made(value, other=1):
        return lambda x, y=other: (x, value)

    functions = [made(1), made(2), made(1, 2), abs, len, Holder, Holder(1).__init__, pickle.dumps, made]
    assert len({digests.function_digest(function) for function in functions}) == len(functions)
    assert digests.function_digest(made(1)) == digests.function_digest(made(1))
