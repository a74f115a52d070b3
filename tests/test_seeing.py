"""Pools that are looked at from outside: found, read, and not changed by it."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import procession
import pytest
from procession._procession import Look
from procession.cli import stacks, table
from procession.cli.survey import Survey, belonging
from procession.pool import WorkerDied
from tasks.seeing import crash, fork_and_say, held, held_too, named, nap, raise_odd, say, use
from tasks.waiting import until
from test_other_users import as_nobody

LIMIT_S = 60


def pools_of(pid, look=None):
    return [pool for pool in (look or Look()).around()[0] if pool["pid"] == pid]


def running(pool):
    return [worker for worker in pool["workers"] if worker["task"] is not None and worker["state"] == "running"]


@pytest.fixture
def holding(context):
    """A pool of two whose tasks wait for an event, and that, in a list, as what a fixture gave is kept for long."""
    go = context.Event()
    with context.Pool(2, initializer=use, initargs=(go,)) as pool:
        both = [pool, go]
        yield both
        both.clear()
        go.set()
    pool.join()


def test_a_pool_is_found_with_its_jobs_and_workers(holding, context):
    pool, go = holding
    result = pool.map_async(held, range(6), chunksize=1)
    (seen,) = until(lambda: [one for one in pools_of(os.getpid()) if len(running(one)) == 2], "two tasks that run")
    assert (seen["start_method"], seen["processes"], seen["deaths"]) == (context.get_start_method(), 2, 0)
    (job,) = seen["jobs"]
    assert (job["function"], job["method"], job["total"], job["done"], job["ended"]) == ("held", "map", 6, 0, None)
    stats = pool.stats()
    assert {(w["place"], w["pid"], w["task"]["index"]) for w in seen["workers"]} == {
        (w.place, w.pid, w.task.index) for w in stats.workers
    }
    assert all(worker["task"]["function"] == "held" and worker["rss"] > 0 for worker in seen["workers"])
    go.set()
    result.get(LIMIT_S)
    (job,) = pools_of(os.getpid())[0]["jobs"]
    assert (job["done"], job["failed"], job["ended"] is not None) == (6, 0, True)


def test_workers_are_named_for_those_who_list_processes(pool):
    def names():
        return {Path(f"/proc/{process.pid}/comm").read_text().strip() for process in pool._pool}

    until(lambda: names() == {"procession:w0", "procession:w1"}, "both workers have begun")


def test_what_fails_and_what_is_lazy_is_counted(pool):
    results, outcomes = pool.imap_unordered(raise_odd, iter(range(10))), 0
    while True:
        try:
            next(results)
        except ValueError:
            pass
        except StopIteration:
            break
        outcomes += 1
    (job,) = pools_of(os.getpid())[0]["jobs"]
    assert (outcomes, job["total"], job["done"], job["failed"], job["method"]) == (10, 10, 5, 5, "imap_unordered")


def test_calls_of_one_function_are_one_line_and_each_has_its_number(holding):
    pool, go = holding
    results = [pool.apply_async(held, (number,)) for number in range(5)]
    (seen,) = until(lambda: [one for one in pools_of(os.getpid()) if len(running(one)) == 2], "two calls that run")
    (job,) = seen["jobs"]
    assert (job["function"], job["method"], job["total"]) == ("held", "apply", 5)
    assert sorted(worker["task"]["index"] for worker in seen["workers"]) == [0, 1]
    go.set()
    assert [result.get(LIMIT_S) for result in results] == list(range(5))


def test_what_runs_has_its_name_and_number_however_many_jobs_wait(holding):
    """Calls of two functions by turns, and maps, each a job with a line of its own: more than are shown."""
    pool, go = holding
    results = [pool.apply_async((held, held_too)[n % 2], (n,)) for n in range(200)]
    maps = [pool.map_async(held_too, range(2), 1) for _ in range(5)]
    (seen,) = until(lambda: [one for one in pools_of(os.getpid()) if len(running(one)) == 2], "two tasks that run")
    tasks = sorted((worker["task"]["index"], worker["task"]["function"]) for worker in running(seen))
    assert tasks == [(0, "held"), (1, "held_too")]
    assert [(job["function"], job["ended"]) for job in seen["jobs"][:2]] == [("held", None), ("held_too", None)]
    go.set()
    assert [result.get(LIMIT_S) for result in results] == list(range(200))
    assert [result.get(LIMIT_S) for result in maps] == [[0, 1]] * 5
    jobs = pools_of(os.getpid())[0]["jobs"]
    assert [(job["function"], job["method"], job["done"], job["total"]) for job in jobs[-5:]] == [
        ("held_too", "map", 2, 2)
    ] * 5
    assert all(job["ended"] is not None and job["done"] == job["total"] for job in jobs)


def test_what_long_tasks_were_given_is_shown(context):
    go = context.Event()
    with context.Pool(1, initializer=use, initargs=(go,)) as pool:
        result = pool.map_async(nap, ["one", "two", "last"], chunksize=1)
        seen = until(
            lambda: [
                one for one in pools_of(os.getpid()) if any(w["task"]["arguments"] == "'last'" for w in running(one))
            ],
            "the argument of the last task",
        )
        assert seen[0]["workers"][0]["task"]["function"] == "nap"
        go.set()
        assert result.get(LIMIT_S) == ["one", "two", "last"]
    pool.join()


def test_a_task_says_how_far_it_is(holding):
    pool, go = holding
    result = pool.map_async(say, [5], chunksize=1)
    (task,) = until(
        lambda: [w["task"] for one in pools_of(os.getpid()) for w in running(one) if w["task"]["progress"]], "its word"
    )
    assert (task["function"], task["index"], task["progress"]) == ("say", 0, (3.0, 9.0, "loss 0.5"))
    go.set()
    assert result.get(LIMIT_S) == [(True, "say", 0, "<task say[0]>")]


def test_where_no_task_runs_its_function_does_all_the_same():
    assert say(1) == (False, "", None, "<no task>")
    with pytest.raises(ValueError):
        procession.current_task().progress("much")


def test_what_a_task_forks_is_not_the_task(pool):
    assert pool.map(fork_and_say, range(4), chunksize=1) == [0] * 4
    assert pool.apply(fork_and_say, (1,)) == 0


def test_a_pool_that_a_thread_makes_is_found_and_one_that_has_ended_is_not():
    made, end = threading.Event(), threading.Event()

    def run():
        with procession.Pool(1) as pool:
            pool.apply(abs, (1,))
            made.set()
            end.wait(LIMIT_S)
        pool.join()

    thread = threading.Thread(target=run)
    thread.start()
    assert made.wait(LIMIT_S)
    look = Look()
    assert len(pools_of(os.getpid(), look)) == 1
    end.set()
    thread.join(LIMIT_S)
    until(lambda: not pools_of(os.getpid(), look), "the pool to go")


PROGRAM = """
import sys, time
import procession
from tasks.seeing import held, use

if __name__ == "__main__":
    context = procession.get_context(sys.argv[1])
    go = context.Event()
    pool = context.Pool(2, initializer=use, initargs=(go,))
    result = pool.map_async(held, range(4), chunksize=1)
    print("begun", flush=True)
    result.get(600)
"""


@pytest.fixture
def other_program(context, tmp_path):
    """Another program with a pool of two that waits."""
    (tmp_path / "thumbs.py").write_text(PROGRAM)
    here = os.path.dirname(__file__)
    program = subprocess.Popen(
        [sys.executable, str(tmp_path / "thumbs.py"), context.get_start_method()],
        env={**os.environ, "PYTHONPATH": here},
        stdout=subprocess.PIPE,
    )
    try:
        assert program.stdout.readline() == b"begun\n"
        until(lambda: [one for one in pools_of(program.pid) if len(running(one)) == 2], "its tasks to run")
        yield program
    finally:
        program.kill()
        program.wait()
        program.stdout.close()


def test_the_pool_of_another_program_is_seen_and_goes_with_it_however_it_ends(other_program):
    look = Look()
    (pool,) = pools_of(other_program.pid, look)
    assert pool["program"] == "thumbs.py"
    workers = {worker["pid"] for worker in pool["workers"]}
    other_program.send_signal(signal.SIGKILL)
    other_program.wait()
    until(lambda: not pools_of(other_program.pid, look), "the pool to go")
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers), "its workers to end")


def command(*arguments, **options):
    code = "import sys; from procession.cli import main; main(sys.argv[1:])"
    env = {**os.environ, "COLUMNS": "100", **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
        **options,
    )


def test_top_prints_a_table_where_nobody_could_press_a_key(other_program):
    told = command("top", other_program.pid)
    assert told.returncode == 0 and "\x1b" not in told.stdout and "\r" not in told.stdout
    assert "thumbs.py" in told.stdout and "0/4" in told.stdout and "held[" in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 100


def test_top_prints_a_document_for_programs(other_program):
    (pool,) = json.loads(command("top", other_program.pid, "--json").stdout)["pools"]
    assert pool["program"] == "thumbs.py" and len(pool["workers"]) == 2
    worker = pool["workers"][0]
    assert {"place", "pid", "state", "task", "rss", "done", "cpu_percent", "in_line_percent"} <= set(worker)
    assert set(worker["task"]) == {"function", "index", "arguments", "seconds", "progress"}


def test_top_says_so_where_there_is_nothing():
    told = command("top", "--once", 1)
    assert told.returncode == 1 and "No pool " in told.stdout and "process 1" in told.stderr


@pytest.mark.parametrize("arguments", [["top", "--interval", "0"], ["top", "x"], ["stacks", "--timeout", "-1"]])
def test_what_makes_no_sense_is_refused(arguments):
    told = command(*arguments)
    assert told.returncode == 2 and "usage:" in told.stderr


def test_stacks_tell_where_workers_are_and_the_program_goes_on(other_program):
    for _ in range(2):
        told = command("stacks", other_program.pid)
        assert told.returncode == 0 and told.stdout.count("in held") == 2
        assert told.stdout.count("of thumbs.py runs held[") == 2
    (pool,) = pools_of(other_program.pid)
    assert len(running(pool)) == 2 and pool["deaths"] == 0
    one = pool["workers"][0]["pid"]
    assert command("stacks", one).stdout.count(f"(pid {one})") == 1


def test_ctrl_c_ends_the_wait_for_stacks(other_program):
    (pool,) = pools_of(other_program.pid)
    one = pool["workers"][0]["pid"]
    os.kill(one, signal.SIGSTOP)
    code = "import sys; from procession.cli import main; main(sys.argv[1:])"
    asking = subprocess.Popen(
        [sys.executable, "-c", code, "stacks", "--timeout", "600", str(one)], stderr=subprocess.PIPE
    )
    try:
        until(lambda: pending(one), "the worker to be asked")
        asking.send_signal(signal.SIGINT)
        _, said = asking.communicate(timeout=60)
        assert asking.returncode != 0 and b"KeyboardInterrupt" in said or asking.returncode in (130, -signal.SIGINT)
    finally:
        asking.kill()
        asking.wait()
        asking.stderr.close()
        os.kill(one, signal.SIGCONT)


def pending(pid):
    """The signals that a process has got and not taken yet."""
    with open(f"/proc/{pid}/status") as status:
        return any(int(line.split()[1], 16) for line in status if line.startswith(("SigPnd", "ShdPnd")))


def test_what_was_written_for_who_looked_is_not_among_the_last_words(context):
    with context.Pool(1) as pool:
        pool.apply(abs, (1,))
        (seen,) = pools_of(os.getpid())
        assert "in work" in stacks.stacks(seen, seen["workers"][0], LIMIT_S)
        with pytest.raises(WorkerDied) as died:
            pool.apply(crash, (1,))
        assert "Fatal Python error" in str(died.value.__cause__)
        assert str(died.value.__cause__).count("most recent call first") == 1
    pool.join()


def test_what_does_not_write_stacks_is_not_told_to(context):
    with context.Pool(1) as pool:
        pool.apply(abs, (1,))
        (seen,) = pools_of(os.getpid())
        # A process without the handler would be ended by the signal.
        other = subprocess.Popen(["sleep", "60"])
        try:
            worker = {**seen["workers"][0], "pid": other.pid}
            assert "does not write stacks" in stacks.stacks(seen, worker, 1.0)
            assert other.poll() is None
        finally:
            other.kill()
            other.wait()
    pool.join()


def test_who_is_looked_at_does_nothing_for_it():
    def counts():
        found = []
        for process in pool._pool:
            with open(f"/proc/{process.pid}/status") as file:
                found += [line for line in file if "ctxt_switches" in line]
            with open(f"/proc/{process.pid}/io") as file:
                found += [line for line in file if line.startswith("sysc")]
        return found

    def is_left_alone():
        before, look = counts(), Look()
        for _ in range(50):
            look.around()
        return counts() == before

    with procession.Pool(2) as pool:  # by each start method a worker's loop is the same
        pool.map(abs, range(4))
        # Workers that have nothing to do go to sleep for good after a while; then who looks changes nothing.
        until(is_left_alone, "workers that nothing wakes")


def test_a_name_gives_no_orders_to_a_terminal(pool):
    orders = "\x1b]0;x\x07\u202e"
    assert pool.map(named(orders), [1]) == [1]
    survey = Survey().look()
    text = table.plain(table.lines_of(belonging(survey, [os.getpid()]), survey, 100))
    assert "]0;x" in text and all(c.isprintable() for c in text.replace("\n", ""))
    worker = worker_dict(
        task={"function": orders, "index": 0, "arguments": orders, "seconds": 1.0, "progress": (1.0, None, orders)}
    )
    job = {
        "function": orders,
        "method": orders,
        "total": 1,
        "done": 0,
        "failed": 0,
        "retried": 0,
        "age": 1.0,
        "ended": None,
    }
    job |= {"rate": 1.0, "left": None}
    pool_of = {
        "pid": 1,
        "program": orders,
        "start_method": orders,
        "processes": 1,
        "age": 1.0,
        "deaths": 0,
        "max_memory": None,
    }
    worker |= {"cpu_percent": 0.0, "in_line_percent": 0.0, "note": ""}
    text = table.plain(table.lines_of([{**pool_of, "jobs": [job], "workers": [worker]}], survey, 120))
    assert all(c.isprintable() for c in text.replace("\n", ""))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_sees_nothing(pool):
    pool.map(abs, range(4))
    assert len(pools_of(os.getpid())) == 1
    assert as_nobody(lambda: Look().around()[0]) == "[]"


def worker_dict(**given):
    """A worker as a survey has it."""
    task = {"function": "f", "index": 3, "arguments": "", "seconds": 2.0, "progress": (3.0, 9.0, "loss 0.5")}
    return {
        "place": 0, "pid": 77, "number": 5, "state": "running", "age": 10.0, "done": 812, "cpu_seconds": 1.0,
        "ran_seconds": 1.0, "in_line_seconds": 0.0, "kernel_state": "S", "rss": 10 << 20, "task": task, **given,
    }  # fmt: skip


@pytest.mark.parametrize(
    "given, note",
    [
        ({"kernel_state": "T"}, "stopped"),
        ({"in_line_seconds": 9.0, "cpu_seconds": 0.5}, "in line for a CPU"),
        ({"kernel_state": "D"}, "in the disk"),
        ({"cpu_seconds": 0.0, "ran_seconds": 0.0}, "waits, for no CPU"),
        ({"rss": 950}, "over 90 % of max_memory"),
        ({}, ""),
        ({"task": None, "in_line_seconds": 9.0}, ""),
    ],
)
@pytest.mark.parametrize("width", [40, 80, 120])
def test_what_is_odd_is_said(given, note, width):
    survey, worker = Survey(), worker_dict(**given)
    pool = {
        "pid": 1,
        "serial": 1,
        "program": "p",
        "start_method": "fork",
        "processes": 1,
        "age": 10.0,
        "deaths": 1,
        "jobs": [],
    }
    pool |= {"workers": [worker], "max_memory": 1000 if note.startswith("over") else None}
    survey._of_worker(worker, pool, 100.0, {})
    assert worker["note"] == note
    text = table.plain(table.lines_of([pool], survey, width))
    assert (note if width == 120 else table._BRIEFLY.get(note, "running")) in text
    assert max(map(len, text.splitlines())) <= width
    if worker["task"]:
        assert ("f[3] 3/9 loss 0.5" if width == 120 else "f[3] 3/9") in text


def test_what_has_no_room_is_left_out_whole():
    groups = [[("pools", "")], [(" · load", "")], [(" 12:00", "dim")]]
    for width, text in ((18, "pools · load 12:00"), (17, "pools · load"), (11, "pools"), (4, "poo…")):
        assert table.plain(table.cut_lines([table.fitted(groups, (2, 1), width)], width)) == text
    job = {"function": "a_function", "method": "imap_unordered", "total": 1000, "done": 10, "failed": 3}
    job |= {"ended": None, "left": 50.0, "rate": 1234.5}
    for width in (80, 120):
        text = table.plain([table._job(job, [1.0] * 20, width)])
        assert len(text) <= width and "3 failed" in text and "50.0 s left" in text and "a_function" in text
        assert ("by imap_unordered" in text) == (width == 120)


@pytest.mark.parametrize("width", [20, 40, 80])
def test_where_nothing_is_to_be_seen_all_of_that_is_said(width):
    survey = Survey()
    words = " ".join(table.plain(table.lines_of([], survey, width)).splitlines()[2:])
    assert words == table.NOTHING
    survey.pools = [{"pid": 1}]
    text = table.plain(table.lines_of([], survey, width))
    assert "1 other runs." in " ".join(text.splitlines()) and max(map(len, text.splitlines())) <= width


NAMES = """
import os
import procession
from procession.cli import main


def keep(event):
    global kept
    kept = event


def zähle(waits):
    return kept.wait(60) if waits else None


if __name__ == "__main__":
    event = procession.Event()
    with procession.recording("run.procession"), procession.Pool(1, keep, (event,)) as pool:
        pool.map(zähle, [False] * 3, resume="run.journal")
        main(["journal", "run.journal"])
        waiting = pool.map_async(zähle, [True])
        while not pool.stats().workers[0].task:
            pass
        main(["stacks", str(os.getpid())])
        event.set()
        waiting.get(60)
    main(["report", "run.procession"])
"""


def test_commands_print_to_an_output_that_knows_few_characters(tmp_path):
    (tmp_path / "program.py").write_text(NAMES, encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for line in ("function: z?hle", "runs z?hle", "4 tasks on 1 workers", "page: run.html"):
        assert line in done.stdout
