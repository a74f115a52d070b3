"""Workers whose tasks leave threads: nobody waits for these for ever."""

import functools
import sys
import warnings

import procession
import pytest
from procession.futures import ProcessPoolExecutor
from tasks.interrupted import leave_thread, square, wait_for_executor

LIMIT_S = 60
KINDS = ["thread", "timer", "executor", "thread of a thread"]


@pytest.fixture
def warned():
    """What is warned of, as texts; after the pool has ended."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield lambda: [str(one.message) for one in caught if "went on" in str(one.message)]


def test_threads_that_were_left_hold_nobody(context, warned, tmp_path):
    """All at once, as each worker that has such a thread stays for some seconds."""
    by_kind = [context.Pool(1) for _ in KINDS]
    begun = context.Pool(1, leave_thread, ("thread",))
    replaced = context.Pool(1, maxtasksperchild=1)
    exits = context.Pool(1, touch_at_exit, (tmp_path / "exited",))
    for pool, kind in zip(by_kind, KINDS, strict=True):
        assert pool.map(leave_thread, ["none", "none", kind, "none"]) == ["none", "none", kind, "none"]
    assert begun.apply(square, (3,)) == 9
    assert [replaced.apply(leave_thread, ("thread",)) for _ in range(3)] == ["thread"] * 3
    exits.apply(leave_thread, ("thread",))
    with ProcessPoolExecutor(1, context) as executor:
        assert executor.submit(leave_thread, "executor").result(LIMIT_S) == "executor"
        pools = [*by_kind, begun, replaced, exits]
        for pool in pools:
            pool.close()
    for pool in pools:
        pool.join()
    texts = warned()
    assert all("'endless" in text and "Worker-" in text for text in texts), texts
    assert sum("'endless' (started by the initializer)" in text for text in texts) == 1, texts
    # The third of each kind and of replaced workers; the first of these, before the exit, and of the executor.
    assert [sum(f"leave_thread[{number}]" in text for text in texts) for number in range(4)] == [3, 1, 5, 0], texts
    assert len(texts) == 10 and (tmp_path / "exited").exists()


def touch_at_exit(path):
    import atexit

    atexit.register(path.touch)


def test_threads_that_end_are_waited_for_and_not_warned_of(context, warned, tmp_path):
    pool = context.Pool(2)
    assert pool.map(wait_for_executor, range(4)) == [0, 1, 4, 9]
    results = [pool.apply_async(functools.partial(write_soon, tmp_path / str(number))) for number in range(4)]
    assert [result.get(LIMIT_S) for result in results] == [None] * 4
    pool.close()
    pool.join()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "3"]
    assert not warned()


def write_soon(path):
    """Return before a thread has written the file."""
    import threading

    threading.Timer(0.2, path.touch).start()


def test_a_program_ends_whose_tasks_have_left_threads(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path.parent)!r})\n"
        "import threading\n"
        "import procession\n"
        "from procession.futures import ProcessPoolExecutor\n"
        "def leaves(number):\n"
        "    threading.Thread(target=threading.Event().wait, name='endless').start()\n"
        "    return number\n"
        "if __name__ == '__main__':\n"
        "    executor = ProcessPoolExecutor(1)\n"
        "    print(executor.submit(leaves, 7).result())\n"
    )
    import subprocess

    run = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=LIMIT_S)
    assert run.stdout == "7\n" and run.returncode == 0
    assert "'endless' (started by leaves[0])" in run.stderr


def test_a_process_waits_for_its_threads_as_in_the_standard_library(context, tmp_path):
    process = context.Process(target=write_soon, args=(tmp_path / "written",))
    process.start()
    process.join(LIMIT_S)
    assert process.exitcode == 0 and (tmp_path / "written").exists()


assert procession  # the fixture's contexts are its
