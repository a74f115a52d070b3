"""What workers print comes as whole lines to their parent, with worker and task, also when they die."""

import os
import threading

import pytest
from procession import futures
from procession.pool import WorkerDied
from tasks.output import (
    begin_and_wait,
    close_and_say,
    flood,
    fork_in_task,
    greet,
    one_long_line,
    printf_and_die,
    say,
    speak_and_die,
    speak_every_way,
    unfinished,
)

LIMIT_S = 60


@pytest.fixture
def lines():
    return []


def texts(lines, stream="stdout", **wanted):
    chosen = [line for line in lines if line.stream == stream]
    return [line.text for line in chosen if all(getattr(line, name) == value for name, value in wanted.items())]


def test_lines_come_before_the_result_with_worker_and_task(context, lines):
    with context.Pool(2, capture_output=lines.append) as pool:
        names = {(process.name, process.pid) for process in pool._pool}
        assert pool.map(say, range(6), chunksize=1) == list(range(6))
        for number in range(6):
            assert texts(lines, task=f"say[{number}]") == [f"line one of {number}", "part and rest"]
            assert texts(lines, "stderr", task=f"say[{number}]") == [f"complaint {number}"]
        assert len(lines) == 18
        assert {(line.worker, line.pid) for line in lines} <= names
    pool.join()


def test_c_code_and_programs_that_a_task_starts_are_heard(context, lines):
    with context.Pool(1, capture_output=lines.append) as pool:
        assert pool.apply(speak_every_way, (7,)) == 7
        assert texts(lines) == [
            "by descriptor",
            "by printf 7",
            "without an endby a program",
            "bytes \\xff\u00e4 not all text",
        ]
        assert {line.task for line in lines} == {"speak_every_way[0]"}
    pool.join()


def test_the_end_of_a_task_ends_its_line(context, lines):
    with context.Pool(1, capture_output=lines.append) as pool:
        assert pool.map(unfinished, range(3)) == [0, 1, 2]
        assert [(line.text, line.task) for line in lines] == [(f"no end {n}", f"unfinished[{n}]") for n in range(3)]
    pool.join()


def test_what_a_worker_wrote_before_it_was_killed_arrives(context, lines):
    with context.Pool(2, capture_output=lines.append) as pool:
        for round_number in range(5):
            with pytest.raises(WorkerDied):
                pool.apply(speak_and_die, (round_number,))
            assert texts(lines, task=f"speak_and_die[{round_number}]") == [
                f"last words of {round_number}",
                "and half a",
            ]
            assert len({line.pid for line in lines}) == 1
            lines.clear()
        with pytest.raises(WorkerDied):
            pool.apply(printf_and_die, (0,))
        assert texts(lines) == ["printf before the end"]
        assert pool.map(say, range(4)) == [0, 1, 2, 3]
    pool.join()


def test_much_output_of_many_workers_arrives_whole_and_in_order(context, lines):
    with context.Pool(3, capture_output=lines.append) as pool:
        assert pool.map(flood, [5000] * 4, chunksize=1) == [5000] * 4
        for index in range(4):
            assert texts(lines, task=f"flood[{index}]") == [f"{number} {'x' * 80}" for number in range(5000)]
    pool.join()


def test_a_line_without_end_comes_in_pieces(context, lines):
    with context.Pool(1, capture_output=lines.append) as pool:
        assert pool.apply(one_long_line, (100_000,)) == 100_000
        assert "".join(texts(lines)) == "y\u00e4" * 100_000
        assert max(map(len, texts(lines))) <= 64 << 10
    pool.join()


def test_lines_come_while_the_task_runs_and_nobody_waits(context, tmp_path):
    heard, lines = threading.Event(), []

    def note(line):
        lines.append(line)
        heard.set()

    with context.Pool(1, capture_output=note) as pool:
        path = str(tmp_path / "go")
        result = pool.apply_async(begin_and_wait, (path,))
        assert heard.wait(LIMIT_S) and lines[0].text == "begun"
        open(path, "w").close()
        assert result.get(LIMIT_S) is None
    pool.join()


def test_without_a_callable_lines_go_to_the_streams_of_the_parent(context, capsys):
    with context.Pool(1, capture_output=True) as pool:
        (name,) = [process.name for process in pool._pool]
        assert pool.apply(say, (1,)) == 1
    pool.join()
    out, err = capsys.readouterr()
    assert out.splitlines() == [f"{name} say[0]: line one of 1", f"{name} say[0]: part and rest"]
    assert err == f"{name} say[0]: complaint 1\n"


def test_an_initializer_is_heard_and_a_worker_goes_on_without_streams(context, lines):
    with context.Pool(1, greet, capture_output=lines.append) as pool:
        assert pool.apply(close_and_say, (3,)) == 3
        assert pool.apply(abs, (-3,)) == 3
    pool.join()
    assert texts(lines, task="") == ["hello from the initializer"]


def test_a_child_of_a_task_is_heard(context, lines):
    with context.Pool(1, capture_output=lines.append) as pool:
        assert pool.apply(fork_in_task, (1,)) == 1
        assert texts(lines) == ["from a child", "from its parent"]
    pool.join()


def test_a_callable_that_raises_says_so_once_and_tasks_go_on(context, capsys):
    def refuse(line):
        raise LookupError(line.text)

    with context.Pool(1, capture_output=refuse) as pool:
        assert pool.map(say, range(3)) == [0, 1, 2]
    pool.join()
    assert capsys.readouterr().err.count("LookupError: ") == 1


def test_replaced_workers_leave_no_pipes_and_lose_no_lines(context, lines):
    with context.Pool(2, maxtasksperchild=1, capture_output=lines.append) as pool:
        assert pool.map(say, range(8), chunksize=1) == list(range(8))
        open_now = len(os.listdir("/proc/self/fd"))
        assert pool.map(say, range(8, 16), chunksize=1) == list(range(8, 16))
        assert len(os.listdir("/proc/self/fd")) < open_now + 8 * 2
    pool.join()
    assert sorted(texts(lines)) == sorted(["part and rest"] * 16 + [f"line one of {n}" for n in range(16)])


def test_the_executor_captures_too(context, lines):
    with futures.ProcessPoolExecutor(2, context, capture_output=lines.append) as executor:
        assert list(executor.map(say, range(4))) == [0, 1, 2, 3]
        assert len(texts(lines, "stderr")) == 4


@pytest.mark.parametrize("wish", [None, 1, "yes"])
def test_anything_else_is_refused(wish):
    import procession

    with pytest.raises(TypeError, match="capture_output must be"):
        procession.Pool(1, capture_output=wish)
    with pytest.raises(TypeError, match="capture_output must be"):
        futures.ProcessPoolExecutor(1, capture_output=wish)
