"""`finalizer=` and `current_worker()`: what a worker opens, keeps and closes."""

import os

import procession
import pytest
from procession.pool import Pool, Worker

from tests.tasks import living


def ends(directory):
    """The index and the number of tasks of each worker that has ended as planned."""
    path = directory / "ends"
    return [tuple(map(int, line.split())) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_worker_finishes_once_at_a_planned_end(context, tmp_path):
    life = {"initializer": living.begin, "initargs": (str(tmp_path),), "finalizer": living.end}
    with context.Pool(2, **life) as pool:
        assert set(pool.map(living.work, range(20), 1)) <= {0, 1}
        assert ends(tmp_path) == []
        pool.close()
        pool.join()
    assert sorted(index for index, _ in ends(tmp_path)) == [0, 1] and sum(done for _, done in ends(tmp_path)) == 20
    os.unlink(tmp_path / "ends")
    with context.Pool(1, max_tasks=5, **life) as pool:  # the one that replaces another has its index
        assert pool.map(living.work, range(10), 1) == [0] * 10
        pool.close()
        pool.join()
    assert [end for end in ends(tmp_path) if end[1]] == [(0, 5), (0, 5)]
    os.unlink(tmp_path / "ends")
    with context.Pool(1, **life) as pool, pytest.raises(procession.WorkerDied):
        pool.apply(os._exit, (1,))
    pool.join()
    assert [done for _, done in ends(tmp_path)] in ([], [0])  # that of the one which replaced it, at most


def test_what_a_finalizer_raises_is_printed_and_harms_nothing(context, capfd):
    with context.Pool(1, finalizer=living.end_badly) as pool:
        assert pool.map(abs, [-1]) == [1]
        pool.close()
        pool.join()
    assert "OSError: the end" in capfd.readouterr().err


def test_other_crews_have_workers_with_a_life_too(tmp_path):
    for number, (crew, count) in enumerate((("threads", 2), ("serial", 1))):
        directory = tmp_path / crew
        directory.mkdir()
        with Pool(count, living.begin, (str(directory),), crew=crew, finalizer=living.end) as pool:
            assert set(pool.map(living.work, range(20), 1)) <= set(range(count))
            assert set(pool.imap(living.work, range(4))) <= set(range(count))
            pool.close()
            pool.join()
        assert sorted(index for index, _ in ends(directory)) == list(range(count)), number
        assert sum(done for _, done in ends(directory)) == 24


def test_outside_of_workers_there_is_a_quiet_one():
    worker = procession.current_worker()
    assert type(worker) is Worker and worker.index is None and procession.current_worker() is worker
    worker.state.one = 1
    assert procession.current_worker().state.one == 1
    with pytest.raises(TypeError, match="finalizer must be a callable"):
        Pool(1, finalizer=3)
