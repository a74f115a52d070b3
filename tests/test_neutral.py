"""What programs of other languages share with Python: the neutral form, its queues and slices, and Rust programs."""

import array
import contextlib
import json
import os
import queue
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy
import procession
import pytest
from procession import _procession as engine, neutral
from procession._report.file import read
from procession._report.functions import summaries
from procession._report.page import page
from procession._report.trace import trace

ROOT = Path(__file__).parent.parent
LIMIT_S = 100
BUILD_LIMIT_S = 1200
OF_RUST = pytest.mark.timeout(BUILD_LIMIT_S + 2 * LIMIT_S)  # the first of them has the programs built


def again(value):
    """The value that arrives."""
    data, descriptors = engine.neutral_dumps(value)
    return engine.neutral_loads(data, descriptors)


# -- the form -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63),
        2**64,
        -(2**127),
        0.5,
        "é\0",
        b"\0\xff",
        [],
        [1, [None]],
        (),
        (1, "a"),
        {"a": {1: (b"",)}},
    ],
    ids=repr,
)
def test_plain_values_arrive_as_they_are(value):
    arrived = again(value)
    assert (type(arrived), arrived) == (type(value), value)


def test_values_of_derived_classes_arrive_as_what_they_derive_from():
    point = type("Point", (tuple,), {})((1, 2))
    assert again([point, bytearray(b"a"), signal.SIGINT, numpy.float64(0.5), numpy.int16(3), numpy.float32(0.5)]) == [
        (1, 2),
        b"a",
        2,
        0.5,
        3,
        0.5,
    ]


@pytest.mark.parametrize("kind", ["?", "b", "B", "h", "H", "i", "I", "q", "Q", "e", "f", "d", "F", "D"])
def test_arrays_of_each_kind_arrive_in_their_shape_and_order(kind):
    whole = numpy.arange(24).astype(kind).reshape(2, 3, 4)
    for one in (whole, numpy.asfortranarray(whole), whole[:, ::2, 1:], whole[0, :, 0], whole[:0]):
        arrived = again(one)
        assert arrived.dtype == one.dtype and arrived.shape == one.shape and (arrived == one).all()
    assert again(numpy.asfortranarray(whole)).flags.f_contiguous
    assert again(whole).flags.writeable


def test_other_buffers_of_numbers_are_arrays():
    assert again(array.array("h", [1, -2])).tolist() == [1, -2]
    assert again(memoryview(b"ab")).tolist() == [97, 98]


def test_the_bytes_are_those_of_the_documentation():
    data, _ = engine.neutral_dumps((-2, "é", numpy.array([[1, 2]], dtype="u2")))
    words = [9, 3, 3, -2, 6, 2, "é".encode(), 11, b"u", 2, 0, 2, 1, 2, 1, 2]
    assert data == struct.pack("<BQ Bq BQ2s BcBBB QQ HH", *words)
    assert engine.neutral_loads(data)[:2] == (-2, "é")


@pytest.mark.parametrize(
    "value, category, text",
    [
        (object(), TypeError, "object has no neutral form"),
        ({1, 2}, TypeError, "set has no neutral form"),
        (2**128, OverflowError, "128 bits"),
        ("\ud800", UnicodeEncodeError, "surrogates"),
        (numpy.array([1], dtype=">i4"), TypeError, "no neutral form"),
        (numpy.array([object()]), TypeError, "no neutral form"),
    ],
    ids=["object", "set", "int", "text", "order", "objects"],
)
def test_what_has_no_neutral_form_is_refused_at_the_call(value, category, text):
    for whole in (value, [value], {"key": value}):
        with pytest.raises(category, match=text):
            engine.neutral_dumps(whole)


def test_a_value_that_contains_itself_is_refused():
    endless: list = []
    endless.append(endless)
    with pytest.raises(ValueError, match="contains itself"):
        engine.neutral_dumps(endless)


def test_damaged_bytes_are_refused():
    data, _ = engine.neutral_dumps([{"a": 1.5}, numpy.arange(3)])
    for size in range(len(data)):
        with pytest.raises(OSError, match=r"cut off|unknown"):
            engine.neutral_loads(data[:size])
    with pytest.raises(OSError, match="behind"):
        engine.neutral_loads(data + b"\0")


WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None
from procession import _procession as engine
view = engine.neutral_loads(bytes.fromhex(sys.argv[1]))
print(view.format, view.shape, view.tolist())
"""


def test_an_array_is_a_memoryview_where_there_is_no_numpy():
    data, _ = engine.neutral_dumps(numpy.array([[1, 2], [3, 4]], dtype="i4"))
    command = [sys.executable, "-c", WITHOUT_NUMPY, data.hex()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.stdout == "i (2, 2) [[1, 2], [3, 4]]\n", done.stderr


# -- queues and slices between Python processes ---------------------------------------------------------------------


def test_a_neutral_queue_has_the_limits_of_a_queue():
    few = neutral.Queue(1)
    few.put({"a": 1})
    assert (few.qsize(), few.full(), few.empty()) == (1, True, False)
    with pytest.raises(queue.Full):
        few.put(2, timeout=0.01)
    with pytest.raises(queue.Full):
        few.put_nowait(2)
    assert few.get() == {"a": 1}
    with pytest.raises(queue.Empty):
        few.get_nowait()
    with pytest.raises(queue.Empty):
        few.get(timeout=0.01)
    with pytest.raises(TypeError, match="arguments of"):
        few.put(procession.Lock())
    with pytest.raises(TypeError, match="no neutral form"):
        few.put(object())
    assert few.empty()


def test_what_is_shared_is_found_again_by_its_descriptor():
    numbers, lock, event, semaphore = (
        neutral.SharedSlice("d", 3),
        procession.Lock(),
        procession.Event(),
        procession.Semaphore(2),
    )
    words: neutral.Queue = neutral.Queue()
    other = again({"all": [numbers, lock, event, semaphore, words]})["all"]
    other[0][1] = 2.5
    assert numbers[1] == 2.5 and numpy.asarray(other[0]).sum() == 2.5
    with lock:
        assert not other[1].acquire(block=False)
    event.set()
    assert other[2].is_set() and other[3].acquire() and semaphore.get_value() == 1
    words.put("a")
    assert other[4].get() == "a"
    for refused in (procession.RLock(), procession.Condition(), procession.Queue()):
        with pytest.raises(TypeError, match="no neutral form"):
            engine.neutral_dumps(refused)


def test_a_shared_slice_says_what_it_cannot_be():
    with pytest.raises(ValueError, match="one of bBhHiIqQfd"):
        neutral.SharedSlice("l", 1)
    with pytest.raises(ValueError, match="-1"):
        neutral.SharedSlice("d", -1)
    assert (len(neutral.SharedSlice("d", 0)), neutral.SharedSlice("B", b"ab")[0:2]) == (0, [97, 98])


def add(numbers, words):
    with numbers:
        numbers[0] += 1
    words.put(("added", numpy.asarray(numbers)))


def test_queues_and_slices_go_to_children_by_each_start_method(context):
    numbers, words = neutral.SharedSlice("i", [1, 2]), neutral.Queue()
    child = context.Process(target=add, args=(numbers, words))
    child.start()
    text, whole = words.get(timeout=LIMIT_S)
    assert (text, whole.tolist(), numbers[0]) == ("added", [2, 2], 2)
    child.join()


# -- Rust programs --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def examples():
    """The paths of two of the crate's examples, by their names. They are built for the first test that asks for one."""
    cargo = [os.environ.get("CARGO", "cargo"), "build", "-q", "-p", "procession", "--all-features"]
    path = os.pathsep.join([os.environ.get("PATH", ""), str(Path.home() / ".cargo/bin")])
    done = subprocess.run(
        [*cargo, "--example", "conversation", "--example", "dice", "--message-format", "json"],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=BUILD_LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    built = [json.loads(line) for line in done.stdout.splitlines()]
    return {one["target"]["name"]: one["executable"] for one in built if one.get("executable")}


@pytest.fixture(scope="module")
def program(examples):
    return examples["conversation"]


@contextlib.contextmanager
def conversation(program):
    given = {
        "orders": neutral.Queue(),
        "answers": neutral.Queue(),
        "lock": procession.Lock(),
        "numbers": neutral.SharedSlice("d", [1, 2]),
        "holds": procession.Event(),
        "permits": procession.Semaphore(1),
    }
    child = neutral.Program(program, given)
    child.start()
    try:
        yield child, given
    finally:
        child.kill()
        child.join()
        child.close()


@OF_RUST
def test_a_rust_program_is_handed_queues_locks_and_numbers(program):
    with conversation(program) as (child, given):
        whole = numpy.arange(6.0).reshape(2, 3)
        given["orders"].put({"Double": whole})
        (doubled,) = given["answers"].get(timeout=LIMIT_S).values()
        assert doubled.dtype == float and (doubled == 2 * whole).all()
        with given["lock"]:
            given["orders"].put({"Add": {"number": 1}})
            with pytest.raises(queue.Empty):
                given["answers"].get(timeout=0.05)
        assert given["answers"].get(timeout=LIMIT_S) == {"Added": [2.0, 3.0]}
        assert given["numbers"][:] == [2.0, 3.0] and given["permits"].acquire(timeout=LIMIT_S)
        given["orders"].put("Stop")
        child.join(LIMIT_S)
        assert child.exitcode == 0


@OF_RUST
def test_a_lock_of_a_rust_program_that_was_killed_is_given_on(program):
    with conversation(program) as (child, given):
        given["orders"].put("Hold")
        assert given["holds"].wait(LIMIT_S)
        assert not given["lock"].acquire(block=False)
        child.kill()
        child.join(LIMIT_S)
        assert child.exitcode == -signal.SIGKILL
        with pytest.warns(procession.OwnerDied):
            assert given["lock"].acquire(timeout=LIMIT_S)
        given["lock"].release()


@OF_RUST
def test_a_rust_program_that_is_given_something_else_says_so(program, capfd):
    for given, text in [
        (None, "what this program was given is no"),
        ({"orders": 1}, "an int"),
        ({"orders": procession.Lock()}, "a lock where a queue is expected"),
    ]:
        child = neutral.Program([program], given)
        child.start()
        child.join(LIMIT_S)
        assert child.exitcode == 1 and text in capfd.readouterr().err
        child.close()
    with pytest.raises(FileNotFoundError):
        neutral.Program("no-such-program-anywhere").start()
    with pytest.raises(ValueError, match="empty"):
        neutral.Program([])
    for command in (3, ["echo", 3]):
        with pytest.raises(TypeError, match="a program and its arguments, all texts"):
            neutral.Program(command)
    with pytest.raises(TypeError, match="no neutral form"):
        neutral.Program(program, object()).start()


@OF_RUST
def test_a_rust_program_draws_as_numpy_does_and_its_recording_is_read_as_any_other(examples, tmp_path):
    path = tmp_path / "dice.procession"
    done = subprocess.run([examples["dice"], "7", path], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    drawn = int(done.stdout.splitlines()[1])
    assert drawn == numpy.random.SeedSequence(7).spawn(4)[3].generate_state(1, "uint64")[0]
    run = read(path)
    (throws,) = [one for one in summaries(run) if one.function.endswith("::throw")]
    assert (throws.tasks, throws.failed, run.is_whole, len(run.pools)) == (13, 1, True, 2)
    assert [failure.text for failure in run.failures if "no dice to throw" in failure.text]
    assert run.program == "dice" and "<html" in page(run) and "Rust" in page(run) and trace(run)["traceEvents"]


# What a program of another version would have written of itself, before the one that reads it begins.
OTHER_VERSION = """
import os, sys
os.pwrite(3, (99).to_bytes(4, "little"), 8)
os.execv(sys.argv[1], sys.argv[1:])
"""


@OF_RUST
def test_a_program_or_a_queue_of_another_version_is_refused_with_both_versions(program, capfd):
    both = f"version 99.* version {engine.WIRE_VERSION}"
    child = neutral.Program([sys.executable, "-c", OTHER_VERSION, program], {"orders": neutral.Queue()})
    child.start()
    child.join(LIMIT_S)
    assert child.exitcode == 1 and re.search(both, capfd.readouterr().err, re.DOTALL)
    child.close()
    data, descriptors = engine.neutral_dumps(neutral.Queue())
    os.pwrite(descriptors[0], (99).to_bytes(4, "little"), 296)
    with pytest.raises(OSError, match=both):
        engine.neutral_loads(data, descriptors)


PARENT = """
import sys, time
import procession
from procession import neutral

given = {
    "orders": neutral.Queue(), "answers": neutral.Queue(), "lock": procession.Lock(),
    "numbers": neutral.SharedSlice("d", 1), "holds": procession.Event(), "permits": procession.Semaphore(1),
}
child = neutral.Program(sys.argv[1], given)
child.start()
given["orders"].put("Hold")
given["holds"].wait()
print(child.pid, flush=True)
time.sleep(1000)
"""


def ends(pid):
    """Whether a process that is not this one's child ends."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            return bool(procession.connection.wait([descriptor], LIMIT_S))
        finally:
            os.close(descriptor)
    return True


@OF_RUST
def test_a_rust_program_ends_with_the_python_program_that_was_killed(program):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, program], stdout=subprocess.PIPE, text=True)
    with parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    assert ends(pid)


@OF_RUST
def test_the_python_workers_of_a_rust_program_end_when_it_is_killed(program):
    environment = {**os.environ, "PROCESSION_PYTHON": sys.executable}
    parent = subprocess.Popen(
        [program, "pool"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    with parent:
        line = parent.stdout.readline()
        sizes, _, workers = line.partition("] ")
        assert sizes == "[1, 2, 3"
        parent.kill()
    assert all(ends(pid) for pid in json.loads(workers))
