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


@pytest.mark.parametrize("kind", KINDS)
def test_a_thread_that_a_task_has_left_does_not_hold_its_pool(context, kind, warned):
    pool = context.Pool(1)
    assert pool.map(leave_thread, ["none", "none", kind, "none"]) == ["none", "none", kind, "none"]
    pool.close()
    pool.join()
    (text,) = warned()
    assert "'endless" in text and "leave_thread[2]" in text and "PoolWorker-" in text


def test_a_thread_that_an_initializer_has_left_does_not_hold_its_pool(context, warned):
    pool = context.Pool(1, leave_thread, ("thread",))
    assert pool.apply(square, (3,)) == 9
    pool.close()
    pool.join()
    (text,) = warned()
    assert "'endless' (started by the initializer)" in text


def test_workers_that_are_replaced_do_not_stay_for_their_threads(context, warned):
    pool = context.Pool(1, maxtasksperchild=1)
    assert [pool.apply(leave_thread, ("thread",)) for _ in range(3)] == ["thread"] * 3
    pool.close()
    pool.join()
    assert sorted(text[text.index("leave_thread[") :][:15] for text in warned()) == [
        f"leave_thread[{number}]" for number in range(3)
    ]


def test_an_executor_can_be_shut_down_whose_calls_have_left_threads(context, warned):
    with ProcessPoolExecutor(1, context) as executor:
        assert executor.submit(leave_thread, "executor").result(LIMIT_S) == "executor"
    assert len(warned()) == 1


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


def test_an_exit_function_of_such_a_worker_still_runs(context, warned, tmp_path):
    pool = context.Pool(1, touch_at_exit, (tmp_path / "exited",))
    pool.apply(leave_thread, ("thread",))
    pool.close()
    pool.join()
    assert (tmp_path / "exited").exists() and len(warned()) == 1


def touch_at_exit(path):
    import atexit

    atexit.register(path.touch)


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
