"""What a tool puts around children is around each of them, however it is started, and is told of its end."""

import contextlib
import functools
import os

import procession
import pytest
from procession._pool import crew
from procession.managers import SyncManager
from procession.process import around_child

LIMIT_S = 60


@contextlib.contextmanager
def noting(directory, name="around"):
    """Leave a file for each child that has begun, with what happened there."""
    note(directory, f"{name} begins")
    yield
    note(directory, f"{name} ends")


class Broken:
    """A tool that cannot begin, or end."""

    def __init__(self, when):
        self.when = when

    def __enter__(self):
        if self.when == "enter":
            raise RuntimeError("a tool that cannot begin")

    def __exit__(self, *error):
        assert error == (None, None, None)
        raise RuntimeError("a tool that cannot end")


def note(directory, text):
    with open(os.path.join(directory, str(os.getpid())), "a") as file:
        file.write(f"{text}\n")


def notes(directory):
    """Return what the children wrote, by their ids."""
    return {int(path.name): path.read_text().splitlines() for path in directory.iterdir()}


@pytest.fixture
def around(tmp_path, monkeypatch):
    monkeypatch.setattr(crew, "TOOLS_GRACE_S", LIMIT_S)  # to come to an end, on whatever machine
    take_back = around_child(functools.partial(noting, str(tmp_path)))
    yield tmp_path
    take_back()


def work(directory):
    import atexit

    atexit.register(note, directory, "exit function")
    note(directory, f"work of {procession.current_process().name}")


def start_another(directory, method):
    process = procession.get_context(method).Process(target=work, args=(directory,), name="inner")
    process.start()
    process.join(LIMIT_S)
    assert process.exitcode == 0


def fail():
    raise ValueError("of the target")


def own_id(_):
    return os.getpid()


def hang(event):
    event.set()
    while True:
        pass


def test_a_process_lives_within_it_with_its_exit_functions(context, around):
    process = context.Process(target=work, args=(str(around),), name="outer")
    process.start()
    process.join(LIMIT_S)
    assert process.exitcode == 0
    assert notes(around) == {process.pid: ["around begins", "work of outer", "exit function", "around ends"]}


def test_a_target_that_fails_is_within_it_to_the_end(context, around, capfd):
    process = context.Process(target=fail)
    process.start()
    process.join(LIMIT_S)
    assert process.exitcode == 1
    assert "of the target" in capfd.readouterr().err
    assert notes(around) == {process.pid: ["around begins", "around ends"]}


def test_children_of_children_live_within_it(context, around):
    process = context.Process(target=start_another, args=(str(around), context.get_start_method()))
    process.start()
    process.join(LIMIT_S)
    assert process.exitcode == 0
    lives = notes(around)
    assert len(lives) == 2 and lives.pop(process.pid) == ["around begins", "around ends"]
    assert list(lives.values()) == [["around begins", "work of inner", "exit function", "around ends"]]


def test_idle_workers_of_a_pool_that_is_terminated_come_to_its_end(context, around):
    with context.Pool(2) as pool:
        workers = set(pool.map(own_id, range(8), 1))
    lives = notes(around)
    assert workers <= lives.keys()
    assert all(lives[worker] == ["around begins", "around ends"] for worker in workers)


def test_a_busy_worker_of_a_pool_that_is_terminated_does_not_hold_it_up(context, around):
    with context.Manager() as manager:
        begun = manager.Event()
        with context.Pool(1) as pool:
            result = pool.apply_async(hang, (begun,))
            assert begun.wait(LIMIT_S)
        assert result.ready()


def test_an_executor_and_a_manager_live_within_it(context, around):
    from procession.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1, mp_context=context) as executor:
        worker = executor.submit(own_id, 0).result(LIMIT_S)
    with SyncManager(ctx=context, shutdown_timeout=LIMIT_S) as manager:
        server = manager._process.pid
        manager.dict()
    assert notes(around) == dict.fromkeys((worker, server), ["around begins", "around ends"])


def test_several_are_within_each_other_in_their_order(context, tmp_path):
    taken_back = [around_child(functools.partial(noting, str(tmp_path), name)) for name in ("first", "second")]
    try:
        process = context.Process()
        process.start()
        process.join(LIMIT_S)
    finally:
        for take_back in taken_back:
            take_back()
    assert notes(tmp_path) == {process.pid: ["first begins", "second begins", "second ends", "first ends"]}


def test_what_is_taken_back_is_around_no_child_any_more(context, tmp_path):
    take_back = around_child(functools.partial(noting, str(tmp_path)))
    take_back()
    process = context.Process()
    process.start()
    process.join(LIMIT_S)
    assert process.exitcode == 0 and notes(tmp_path) == {}


@pytest.mark.parametrize("when", ["enter", "exit"])
def test_a_tool_that_fails_is_told_of_in_the_child(context, when, capfd):
    take_back = around_child(functools.partial(Broken, when))
    try:
        process = context.Process()
        process.start()
        process.join(LIMIT_S)
    finally:
        take_back()
    assert process.exitcode == 1
    assert f"a tool that cannot {'begin' if when == 'enter' else 'end'}" in capfd.readouterr().err


@pytest.mark.parametrize("factory", [None, 5, lambda: contextlib.nullcontext()], ids=["None", "number", "lambda"])
def test_what_children_could_not_import_is_refused(factory):
    with pytest.raises(TypeError, match="around_child needs"):
        around_child(factory)


def test_a_function_that_a_tool_puts_around_the_start_of_children_is_called(tmp_path, monkeypatch):
    before = procession.process.BaseProcess._bootstrap

    def bootstrap(self, *args, **kwargs):
        note(str(tmp_path), "bootstrap")
        return before(self, *args, **kwargs)

    monkeypatch.setattr(procession.process.BaseProcess, "_bootstrap", bootstrap)
    process = procession.get_context("fork").Process(target=fail)
    process.start()
    process.join(LIMIT_S)
    assert process.exitcode == 1
    assert notes(tmp_path) == {process.pid: ["bootstrap"]}
