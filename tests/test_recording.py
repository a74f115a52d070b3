"""Recordings of real pools: what ran is in the file, whoever was killed when."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter

import procession
import pytest
from procession._procession import start_recording, stop_recording
from procession._report.file import read
from procession._report.run import DIED, RAISED, RETURNED, UNFINISHED
from procession.cli import main
from tasks.recording import die_at_three, fail_at_seven, fail_untold, held, keep, same, spin
from tasks.waiting import until

LIMIT_S = 60


def counts(run):
    """How many tasks of each function came to which outcome."""
    sums = Counter()
    for row in run.rows:
        sums[run.jobs[row.job].function, row.outcome] += row.count
    return dict(sums)


def test_what_a_pool_ran_is_in_the_recording(context, tmp_path):
    """One pool for all of it: made before, used, with a worker that dies and tasks that never end."""
    file = tmp_path / "run.procession"
    event = context.Event()
    with procession.recording(file) as recording, context.Pool(2, initializer=keep, initargs=(event,)) as pool:
        pool.map(same, range(100_000))
        took = pool.map(spin, [0.02] * 20, chunksize=1)
        with pytest.raises(ValueError, match="seven"):
            pool.map(fail_at_seven, range(20))
        assert [pool.apply(same, (number,)) for number in range(50)] == list(range(50))
        with pytest.raises(procession.WorkerDied):
            pool.map(die_at_three, range(8), chunksize=1)
        waiting = pool.map_async(held, "ab", chunksize=1)
        until(lambda: [w.task for w in pool.stats().workers if w.task and w.task.function == "held"][1:], "both run")
        recording.stop()
        event.set()
        waiting.get(LIMIT_S)
    run = read(file)
    assert run.is_whole
    assert counts(run) == {
        ("same", RETURNED): 100_050,
        ("spin", RETURNED): 20,
        ("fail_at_seven", RETURNED): 19,
        ("fail_at_seven", RAISED): 1,
        ("die_at_three", RETURNED): 7,
        ("die_at_three", DIED): 1,
        ("held", UNFINISHED): 2,
    }
    busy = sum(row.busy for row in run.rows if run.jobs[row.job].function == "spin")
    assert sum(took) <= busy <= 1.5 * sum(took) + 0.1
    raised, died = run.failures
    assert (raised.item, raised.text) == (7, "ValueError: seven </script>")
    assert (died.item, died.outcome) == (3, DIED) and "SIGABRT" in died.text
    assert len(run.lanes) == 2 and len(run.lives) == 3 and sum(not life.is_expected for life in run.lives) == 1
    assert run.pools[0].method == context.get_start_method() and run.pools[0].workers == 2
    for life in range(3):
        of_life = sorted((row for row in run.rows if row.life == life), key=lambda row: row.start)
        assert all(before.end <= after.start + 1e-9 for before, after in zip(of_life, of_life[1:], strict=False))
    recording.save(tmp_path / "page.html")
    assert "fail_at_seven" in (tmp_path / "page.html").read_text()
    recording.trace(tmp_path / "trace.json")
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {summary.function for summary in recording.functions()} == {name for name, _ in counts(run)}
    assert isinstance(recording.findings(), list)


def test_a_pool_that_is_there_already_is_recorded_and_only_while_it_is_asked_for(pool):
    pool.map(same, range(10))
    recording = procession.recording()
    for count in (100, 20):
        with recording:
            pool.map(same, range(count))
        assert counts(read(recording.path)) == {("same", RETURNED): count}
        pool.map(same, range(10))
    path = recording.path
    del recording
    assert not os.path.exists(path)


def test_a_signal_that_comes_while_the_text_of_a_failure_is_asked_for_is_not_lost(tmp_path):
    with procession.get_context("fork").Pool(1) as pool, procession.recording(tmp_path / "run"):
        with pytest.raises(KeyboardInterrupt):
            pool.apply(fail_untold, (os.getpid(),))
        assert pool.apply(same, (3,)) == 3


def test_very_many_tasks_take_little_room(tmp_path):
    with procession.recording(tmp_path / "a") as recording, procession.Pool(2) as pool:
        pool.map(same, range(1_000_000))
        jobs = [pool.apply_async(same, (1,)) for _ in range(5000)]
        assert all(job.get(LIMIT_S) for job in jobs)
    assert [summary.tasks for summary in recording.functions()] == [1_005_000]
    assert os.path.getsize(tmp_path / "a") < 3 << 20


def test_a_file_is_readable_whoever_was_killed_when(tmp_path):
    code = "import procession, os, time, tasks.recording as t\nif __name__ == '__main__':\n"
    code += " with procession.recording('a'), procession.Pool(2) as pool:\n"
    code += "  pool.map(t.spin, [0.001] * 2000, chunksize=1); print('ready', flush=True); time.sleep(60)\n"
    (tmp_path / "program.py").write_text(code)
    here = os.path.dirname(__file__)
    command = [sys.executable, "program.py"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": here}
    ) as child:
        child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    whole = (tmp_path / "a").read_bytes()
    run = read(tmp_path / "a")
    assert not run.is_whole and 0 < run.tasks <= 2000
    for size in range(len(whole) - 200, len(whole), 7):
        (tmp_path / "cut").write_bytes(whole[:size])
        assert read(tmp_path / "cut").jobs
    (tmp_path / "cut").write_bytes(whole[:3000] + b"\xff" * 3000 + whole[6000:])
    assert read(tmp_path / "cut").jobs


@pytest.mark.parametrize("content", [b"", b"procession recording 9 {}\n", b"procession recording 1 {\n", b"\xff" * 50])
def test_what_is_no_recording_is_refused(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match="recording"):
        read(tmp_path / "a")
    with pytest.raises(SystemExit, match="recording"):
        main(["report", str(tmp_path / "a")])


def test_a_recording_at_a_time_and_arguments_that_make_sense(tmp_path):
    with procession.recording(tmp_path / "a"), pytest.raises(ValueError, match="already"):
        procession.recording().start()
    with pytest.raises(TypeError, match="resolution"):
        procession.recording(resolution="1 ms")
    with pytest.raises(ValueError, match="resolution"):
        procession.recording(resolution=0)
    with pytest.raises(OSError), procession.recording(tmp_path / "missing" / "a"):
        pass
    assert not stop_recording()


def test_a_disk_that_is_full_ends_the_recording_and_nothing_else():
    start_recording("/dev/full", None, 1e-4)
    with procession.Pool(1) as pool:
        assert pool.map(same, range(1000)) == list(range(1000))
    with pytest.raises(OSError, match="No space"):
        stop_recording()


PROGRAM = """\
import sys
from multiprocessing import Pool
from tasks.recording import pool_within, same
if __name__ == "__main__":
    with Pool(2) as pool:
        pool.map(same, range(100))
        print(pool.apply(pool_within, (10,)), file=sys.stderr)
"""


@pytest.mark.parametrize("way", ["run", "run=", "environment"])
def test_an_unchanged_program_is_recorded_with_the_pools_of_its_children(tmp_path, way):
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    arguments = ["-m", "procession", *(["--record"] if way == "run" else ["--record=x.procession"]), "program.py"]
    if way == "environment":
        environment["PROCESSION_RECORD"] = "x.procession"
        arguments = ["-m", "procession", "program.py"]
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, timeout=LIMIT_S
    )
    (file,) = tmp_path.glob("*.procession")
    assert f"report: procession report {file.name} --open" in done.stderr.decode()
    run = read(file)
    assert counts(run) == {("same", RETURNED): 110, ("pool_within", RETURNED): 1}
    assert len(run.pools) == 2 and run.program == "program.py"


def test_who_is_recorded_already_is_told_so(tmp_path):
    environment = {**os.environ, "PROCESSION_RECORD": "x.procession"}
    arguments = [sys.executable, "-m", "procession", "--record=y.procession", "-c", "print(1)"]
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    said = "procession: cannot record to y.procession: a recording goes on already"
    assert done.returncode == 1 and said in done.stderr and "PROCESSION_RECORD" in done.stderr
    assert not done.stdout and "Traceback" not in done.stderr


def test_what_is_read_in_the_midst_of_a_recording_is_read_again_at_its_end():
    with procession.Pool(1) as pool, procession.recording() as recording:
        assert recording.functions() == []
        pool.map(same, range(100))
    assert [(summary.function, summary.tasks) for summary in recording.functions()] == [("same", 100)]


def test_the_command_shows_the_newest_recording_here(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="no recording"):
        main(["report"])
    with procession.recording("a.procession"), procession.Pool(2) as pool:
        pool.map(same, range(100))
    main(["report"])
    assert "100 tasks on 2 workers" in capsys.readouterr().out
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    main(["report", "--json", "--trace", "t.json"])
    document = json.loads(capsys.readouterr().out)
    assert (document["tasks"], document["functions"][0]["function"]) == (100, "same")
    assert (tmp_path / "t.json").exists()
