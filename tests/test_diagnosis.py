"""What a pool tells about its workers: statistics, stacks, the last words of one that crashed."""

import ctypes
import os
import signal

import pytest
from procession.pool import WorkerDied
from tasks.limits import stuck_in_c, wait_for_file
from tasks.waiting import until

LIMIT_S = 60


def states(pool):
    return sorted(worker.state for worker in pool.stats().workers)


def test_statistics_tell_who_runs_what(context, tmp_path):
    with context.Pool(2) as pool:
        assert pool.map(abs, range(10)) == list(range(10))
        with pytest.raises(TypeError):
            pool.apply(abs, ("a",))
        path = str(tmp_path / "go")
        results = [pool.apply_async(wait_for_file, (path,)) for _ in range(5)]

        until(lambda: states(pool) == ["working", "working"])
        stats = pool.stats()
        assert {worker.task.function for worker in stats.workers} == {"wait_for_file"}
        assert {worker.place for worker in stats.workers} == {0, 1}
        assert sorted(worker.pid for worker in stats.workers) == sorted(process.pid for process in pool._pool)
        assert all(worker.rss > 1 << 20 and worker.age > 0 for worker in stats.workers)
        assert (stats.waiting, stats.done, stats.failed, stats.deaths) == (3, 10, 1, 0)
        assert sum(worker.done for worker in stats.workers) == 11
        open(path, "w").close()
        assert [result.get(LIMIT_S) for result in results] == [None] * 5
        with pytest.raises(WorkerDied):
            pool.apply(os._exit, (3,))
        stats = pool.stats()
        assert (stats.waiting, stats.running, stats.done, stats.failed, stats.deaths) == (0, 0, 15, 2, 1)
    pool.join()
    with pytest.raises(ValueError):
        pool.stats()


def test_who_works_has_a_task_and_who_is_idle_has_none(context):
    with context.Pool(2) as pool:
        jobs = [pool.map_async(abs, range(2000), chunksize=1) for _ in range(4)]
        seen = []
        while not all(job.ready() for job in jobs):
            seen += pool.stats().workers
        seen += pool.stats().workers
        assert {worker.state for worker in seen} <= {"starting", "idle", "working"}
        assert [worker for worker in seen if (worker.task is not None) != (worker.state == "working")] == []
    pool.join()


def test_stacks_of_workers_that_are_stuck_in_c_code(context, tmp_path):
    with context.Pool(2) as pool:
        path = tmp_path / "begun"
        stuck = pool.apply_async(stuck_in_c, (str(path),))
        until(lambda: path.exists() and states(pool) == ["idle", "working"])
        for _ in range(2):
            text = pool.dump_stacks(timeout=LIMIT_S)
            assert "runs stuck_in_c(" in text and "in stuck_in_c" in text and "has no task" in text
            assert all(str(process.pid) in text for process in pool._pool)
        stuck.cancel()
        assert pool.map(abs, range(4)) == [0, 1, 2, 3]
        with pytest.raises(ValueError):
            pool.dump_stacks(0)
    pool.join()


def test_a_stopped_worker_is_said_not_to_answer(context):
    with context.Pool(1) as pool:
        pool.apply(abs, (1,))
        os.kill(pool._pool[0].pid, signal.SIGSTOP)
        assert "no answer within 0.05 s" in pool.dump_stacks(0.05)
        os.kill(pool._pool[0].pid, signal.SIGCONT)
        assert pool.apply(abs, (-2,)) == 2
    pool.join()


@pytest.mark.parametrize("crash, words", [(os.abort, "Aborted"), (ctypes.string_at, "Segmentation fault")])
def test_what_a_worker_wrote_before_it_crashed_is_in_the_error(context, crash, words):
    with context.Pool(2) as pool:
        with pytest.raises(WorkerDied, match=crash.__name__) as caught:
            pool.apply(crash, () if crash is os.abort else (0,))
        assert words in str(caught.value.__cause__)
        assert pool.map(abs, range(4)) == [0, 1, 2, 3]
    pool.join()
