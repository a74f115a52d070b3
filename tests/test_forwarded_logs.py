"""Log records and warnings of workers, in the handlers of their parent."""

import logging
import warnings

import pytest
from tasks.logs import be_patient, configure, log, log_much, warn

LIMIT_S = 60


class Kept(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def kept():
    handler, logger = Kept(), logging.getLogger("app")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.records
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def test_records_reach_the_parent_before_the_result_with_worker_and_task(context, kept):
    with context.Pool(2) as pool:
        assert pool.map(log, range(4)) == [0, 1, 2, 3]
        assert sorted(record.getMessage() for record in kept) == [f"item {n} of work" for n in range(4)]
        assert {record.task for record in kept} == {f"log[{n}]" for n in range(4)}
        names = {process.name for process in pool._pool}
        assert {record.processName for record in kept} <= names
        assert all("ZeroDivisionError" in record.exc_text for record in kept)
    pool.join()


def test_the_levels_of_the_parent_hold(context, kept):
    logging.getLogger("app").setLevel(logging.ERROR)
    with context.Pool(1) as pool:
        assert pool.apply(log, (1,)) == 1
    pool.join()
    assert [record.levelname for record in kept] == []


def test_a_worker_with_handlers_of_its_own_keeps_its_records(context, kept, tmp_path):
    path = tmp_path / "log"
    with context.Pool(1, configure, (str(path),)) as pool:
        assert pool.apply(log, (1,)) == 1
    pool.join()
    assert kept == [] and "item 1 of work" in path.read_text()


def test_nothing_is_forwarded_to_who_does_not_want_it(context, kept):
    with context.Pool(1, forward_logs=False) as pool:
        assert pool.apply(log, (1,)) == 1
    pool.join()
    assert kept == []


def test_warnings_reach_the_parent_with_worker_and_task(context):
    with context.Pool(1) as pool, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert pool.map(warn, [5]) == [5]
        (warning,) = [warning for warning in caught if "odd number 5" in str(warning.message)]
        assert warning.category is RuntimeWarning and warning.filename.endswith("logs.py")
        assert "PoolWorker" in str(warning.message) and "warn[0]" in str(warning.message)
    pool.join()


def test_more_records_than_the_socket_holds_block_nobody(context, kept):
    with context.Pool(2, be_patient) as pool:
        assert pool.map(log_much, [2000] * 2, chunksize=1) == [2000] * 2
    pool.join()
    assert len(kept) > 2000
