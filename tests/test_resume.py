"""`resume=`: a map whose program was killed goes on where it was."""

import json
import os
import random
import resource
import signal
import subprocess
import sys

import procession
import pytest
from procession._pool import journal
from procession._pool.journal import Journal, scan
from procession.cli import main as command
from procession.pool import Pool, ThreadPool

from tests.tasks import resumed, seeded

LIMIT_S = 60
# How often each program is killed; more by hand.
KILLS = int(os.environ.get("KILLS", "4"))


def program(method, kind, path, runs):
    command = [sys.executable, "-m", "tests.tasks.resumed", method, kind, path]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "RUNS": str(runs)})


def places_in(path):
    return {place for frame in scan(path).frames for place in frame.places} if os.path.exists(path) else set()


def grows(path, child, size):
    """Wait until a file has so many bytes, or its program has ended; return whether it runs."""
    while child.poll() is None:
        if os.path.exists(path) and os.path.getsize(path) >= size:
            return True
        os.sched_yield()
    return False


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """What the program prints that nobody kills, for each kind of map, and how large its journal becomes."""
    found = {}
    for kind in KINDS:
        path = str(tmp_path_factory.mktemp("whole") / "run.journal")
        with program("fork", kind, path, os.devnull) as child:
            out, _ = child.communicate(timeout=LIMIT_S)
        assert child.returncode == 0 and "failed 5 5 ValueError(5)" in out and f"20000 {20_000 * 3.0}" in out
        found[kind] = out, os.path.getsize(path)
    assert len({"".join(sorted(out)) for out, _ in found.values()}) == 1
    return found


KINDS = ["map", "imap", "imap_unordered"]


@pytest.mark.parametrize("method, kind", list(zip(procession.get_all_start_methods(), KINDS, strict=True)))
def test_a_killed_program_goes_on_and_runs_nothing_again_that_was_recorded(method, kind, tmp_path, whole_run):
    wanted, size = whole_run[kind]
    runs, path, looks = tmp_path / "runs", str(tmp_path / "run.journal"), []
    runs.touch()
    dice = random.Random(f"{method}{KILLS}")
    for _ in range(KILLS):
        before = os.path.getsize(path) if os.path.exists(path) else 0
        with program(method, kind, path, runs) as child:
            if grows(path, child, before + dice.randrange(3 * size // (2 * KILLS))):
                child.send_signal(signal.SIGKILL)
        recorded = places_in(path)
        looks.append((runs.stat().st_size, recorded, child.returncode))
    with program(method, kind, path, runs) as child:
        out, _ = child.communicate(timeout=LIMIT_S)
    assert out == wanted and child.returncode == 0
    lines = runs.read_bytes()
    for start, recorded, _ in looks:
        again = recorded.intersection(map(int, lines[start:].split()))
        assert not again, f"{sorted(again)} ran again"
    assert sum(code == -signal.SIGKILL for _, _, code in looks) > 0
    assert len(looks[-1][1]) > 10


def test_the_same_call_gives_what_was_recorded_by_every_method_and_crew(tmp_path):
    def outcomes(pool, name, function, items):
        path = str(tmp_path / name)
        options = {"resume": path, "on_error": "skip", "fsync": True}
        called = []
        return [
            pool.map(function, items, **options),
            pool.map(function, items, 3, **options),
            pool.map_async(function, items, callback=called.append, **options).get(LIMIT_S),
            called.pop(),
            list(pool.imap(function, iter(items), **options)),
            sorted(pool.imap_unordered(function, (n for n in items), 2, **options)),
            pool.map(function, items[:3], **options),
        ]

    for crew in ("processes", "threads", "serial"):
        with Pool(2, crew=crew) as pool:
            good = outcomes(pool, f"{crew}-good", abs, [-3, -2, -1, 0, 5])
            assert good == [[3, 2, 1, 0, 5]] * 5 + [[0, 1, 2, 3, 5], [3, 2, 1]]
            bad = outcomes(pool, f"{crew}-bad", [10, 20, 30].__getitem__, [2, 1, 7, 0])
            assert bad == [[30, 20, 10]] * 5 + [[10, 20, 30], [30, 20]]
            path = str(tmp_path / f"{crew}-star")
            for _ in range(2):
                assert pool.starmap(pow, [(2, 3), (3, 2)], resume=path) == [8, 9]
                assert pool.map(seeded.draw, [], resume=str(tmp_path / "none")) == []
            failed = []
            result = pool.map_async(int, ["1", "x"], error_callback=failed.append, resume=path + "2")
            with pytest.raises(ValueError, match="invalid literal"):
                result.get(LIMIT_S)
            assert len(failed) == 1 and places_in(path + "2") == {0}
            with pytest.raises(ValueError, match="invalid literal"):
                pool.map(int, ["1", "x"], resume=path + "2")
        pool.join()


def test_a_map_of_which_a_part_runs_knows_places_and_draws_the_same_numbers(tmp_path):
    with ThreadPool(1) as threads, Pool(2) as pool:
        for number, kind in enumerate(("map", "imap")):
            path = str(tmp_path / kind)
            wanted = pool.map(seeded.draw, range(9), seed=3)
            assert list(threads.map(seeded.draw, range(4), resume=path, seed=3)) == wanted[:4]
            assert list(getattr(pool, kind)(seeded.draw, range(9), resume=path, seed=3)) == wanted
            with pytest.raises(ValueError, match="its seed is 3/, and not 4/"):
                pool.map(seeded.draw, range(9), resume=path, seed=4)
            assert number == len(os.listdir(tmp_path)) - 1
    for each in (threads, pool):
        each.join()


class Simulation:
    """What is called may have attributes of any name."""

    seed, places, func = 42, ["here"], None

    def __call__(self, number):
        return number + self.seed


def test_a_function_may_have_attributes_of_its_own(tmp_path):
    with Pool(1, crew="serial") as pool:
        for _ in range(2):
            assert pool.map(Simulation(), range(3), resume=tmp_path / "run.journal") == [42, 43, 44]


def test_another_call_is_refused_or_begins_the_journal_anew(tmp_path):
    path = str(tmp_path / "run.journal")
    with Pool(1, crew="serial") as pool:
        assert pool.map(abs, range(3), resume=path) == [0, 1, 2]
        for call, why in (
            (lambda **o: pool.map(str, range(3), **o), "its function is abs, and not str"),
            (lambda **o: pool.map(abs, [0, 5, 2], **o), "the item at place 1 is another one"),
            (lambda **o: list(pool.imap(abs, [0, 5, 2], **o)), "the item at place 1 is another one"),
            (lambda **o: pool.starmap(abs, [(0,)], **o), "one of the two is a starmap"),
        ):
            with pytest.raises(ValueError, match=why):
                call(resume=path)
        assert places_in(path) == {0, 1, 2}
        assert pool.map(abs, [0, -5, 2, 3], resume=path, on_mismatch="restart") == [0, 5, 2, 3]
        assert pool.map(str, range(2), resume=path, on_mismatch="restart") == ["0", "1"]
        assert scan(path).description["function"] == "str"


def test_options_that_make_no_sense_are_refused(tmp_path):
    path = tmp_path / "run.journal"
    with Pool(1, crew="serial") as pool:
        for options, error, match in (
            ({"resume": 3.5}, TypeError, "float"),
            ({"fsync": True}, ValueError, "fsync is about the file"),
            ({"on_mismatch": "restart"}, ValueError, "on_mismatch is about the file"),
            ({"resume": path, "on_mismatch": "x"}, ValueError, "on_mismatch must be"),
            ({"resume": path, "fsync": 1}, TypeError, "fsync must be"),
            ({"resume": tmp_path / "no" / "file"}, FileNotFoundError, "no/file"),
        ):
            with pytest.raises(error, match=match):
                pool.map(abs, [1], **options)
        with pytest.raises(TypeError, match="resume is for maps"):
            pool.apply(abs, (1,), resume=path)
        with pytest.raises(TypeError, match="'resume'"):
            Pool(1, crew="serial", resume=path)
        assert pool.map(abs, [-1], resume=None) == [1] and not path.exists()


def interrupt(number):
    raise KeyboardInterrupt


def test_a_call_that_comes_to_nothing_lets_go_of_its_journal_at_once(tmp_path):
    with Pool(1, crew="serial") as pool:
        path = tmp_path / "refused"
        for kind in ("map", "imap"):
            try:
                getattr(pool, kind)(abs, [-1], resume=path, on_error="no answer")
            except ValueError as refused:  # which has all that the call had
                assert list(getattr(pool, kind)(abs, [-1], resume=path)) == [1] and refused.__traceback__
        path = tmp_path / "interrupted"
        try:
            pool.map(interrupt, [1], resume=path)
        except KeyboardInterrupt as interrupted:
            with pytest.raises(KeyboardInterrupt):
                pool.map(interrupt, [1], resume=path)
            assert interrupted.__traceback__


def test_a_map_that_cannot_keep_its_results_fails_with_that_error(tmp_path):
    with Pool(2, crew="threads") as threads, Pool(2) as pool:
        with pytest.raises(TypeError, match="pickle"):  # of what arrives, but cannot be kept
            threads.map(memoryview, [b"x"], resume=tmp_path / "threads")
        with pytest.raises(OSError, match="File name too long|Not a directory|Is a directory"):
            pool.map(resumed.large, range(4), resume=blocked(tmp_path / "processes"))
        assert pool.map(abs, [-1]) == [1] and places_in(tmp_path / "processes") == set()
    pool.join()
    threads.join()


@pytest.fixture
def room_for(monkeypatch):
    """Sets how many bytes a file of this process may have; None: as many as before."""
    signal_before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    monkeypatch.setattr(journal, "_LOCK_PATIENCE_S", 0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, before if size is None else (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, signal_before)


@pytest.mark.parametrize("crew", ["processes", "threads", "serial"])
def test_a_map_that_finds_no_room_fails_with_that_error_and_goes_on_later(crew, tmp_path, room_for):
    kept = []
    with Pool(2, crew=crew) as pool:
        for kind in ("map", "imap", "imap_unordered"):
            for count in (1, 1000):  # one: all results have come when the first cannot be kept
                path = os.fsencode(tmp_path / f"{kind}{count}")
                assert list(getattr(pool, kind)(str, [], resume=path)) == []
                room_for(os.path.getsize(path))
                try:
                    for options in ({}, {"on_error": "skip"}):
                        with pytest.raises(OSError, match=f"too large: .*{kind}") as caught:
                            list(getattr(pool, kind)(str, range(count), resume=path, **options))
                        kept.append(caught.value)  # and with it all that its traceback has
                finally:
                    room_for(None)
                found = sorted(getattr(pool, kind)(str, range(count), resume=path), key=int)
                assert found == [*map(str, range(count))]
    pool.join()


@pytest.mark.parametrize("kind", ["imap", "imap_unordered"])
def test_a_result_that_is_read_is_kept(kind, tmp_path):
    path = tmp_path / "run.journal"
    with Pool(2) as pool:
        for result in getattr(pool, kind)(abs, range(200), resume=path):
            assert result in places_in(path)
    pool.join()


def test_the_code_of_another_python_is_told_of(tmp_path):
    path = str(tmp_path / "run.journal")
    with Pool(1, crew="serial") as pool:
        pool.map(interrupt, [], resume=path)
        description = {**scan(path).description, "python": "3.5", "digest": "other"}
        os.unlink(path)
        Journal(path, description).close()
        with pytest.raises(ValueError, match="interrupt was that of Python 3.5, and this is 3."):
            pool.map(interrupt, [1], resume=path)


def blocked(path):
    """A journal beside which nothing large can be written."""
    Journal(path, {}).close()
    os.unlink(path)
    os.mkdir(f"{path}.data")
    return path


def test_a_lazy_map_that_is_left_lets_go_of_its_journal(tmp_path):
    path = tmp_path / "run.journal"
    with Pool(2) as pool:
        results = pool.imap(abs, iter(range(-100, 0)), resume=path)
        assert next(results) == 100
        with pytest.raises(BlockingIOError, match="in use"):
            pool.map(abs, range(-100, 0), resume=path)
        results.close()
        results = pool.imap(abs, iter(range(-100, 0)), resume=path)
        assert next(results) == 100
        del results
        assert pool.map(abs, range(-100, 0), resume=path) == list(range(100, 0, -1))
    pool.join()


def test_the_command_tells_what_is_in_a_journal_and_executes_nothing_of_it(tmp_path, capsys):
    path = str(tmp_path / "run.journal")
    with Pool(1, crew="serial") as pool:
        pool.map(abs, range(3), resume=path, seed=4)
    with open(path, "r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(journal._framed(b"R" + bytes(8) + b"cos\n_exit\n(I1\ntR.") + b"half")
    command(["journal", path])
    out = capsys.readouterr().out
    assert "function: abs\nseed:     4/\n" in out and "results:  3\nplaces:   0-2\n" in out
    assert "unused:   4 B at" in out
    command(["journal", path, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["places"] == [[0, 2]] and found["results"] == 3 and found["bytes"] == os.path.getsize(path)
    (tmp_path / "notes").write_text("no journal")
    for wrong in ("notes", "missing"):
        with pytest.raises(SystemExit, match=f"procession journal: .*{wrong}"):
            command(["journal", str(tmp_path / wrong)])
