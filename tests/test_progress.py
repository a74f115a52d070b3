"""Maps that are drawn: who draws, what it counts, and that nothing runs for it."""

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
import types

import procession
import psutil
import pytest
import trio
from procession import current_task
from procession._progress import above, notebook, plain, screen, wishes
from procession._progress.facts import Counts, Meter
from procession.futures import ProcessPoolExecutor
from procession.pool import Pool, Progress, ThreadPool
from tasks import held
from tasks.drawn import inner, odd, work

TIMEOUT_S = 60


@pytest.fixture
def two():
    """A pool of two workers."""
    with Pool(2) as pool:
        yield pool
    pool.join()


def last_of(seen):
    """The last of what a callable got, after a look at all of them."""
    assert [one.ended for one in seen] == [False] * (len(seen) - 1) + [True]
    assert all(before.done <= after.done for before, after in zip(seen, seen[1:], strict=False))
    return seen[-1]


def maps(pool, seen, **options):
    """Have each map of a pool drawn by a function; what it got, map by map."""
    items = list(range(101))
    pairs = [(n, 1) for n in items]
    for method, function, given in (
        (pool.map, work, items),
        (pool.starmap, divmod, pairs),
        (lambda *call, **rest: pool.map_async(*call, **rest).get(TIMEOUT_S), work, items),
        (lambda *call, **rest: pool.starmap_async(*call, **rest).get(TIMEOUT_S), divmod, pairs),
        (lambda *call, **rest: list(pool.imap(*call, **rest)), work, items),
        (lambda *call, **rest: sorted(pool.imap_unordered(*call, **rest)), work, iter(items)),
    ):
        seen.clear()
        expected = [work(n) for n in items] if function is work else [divmod(*pair) for pair in pairs]
        assert method(function, given, **options) == expected
        last = last_of(seen)
        assert (last.function, last.done, last.total, last.failed) == (function.__name__, 101, 101, 0)
        assert (last.running, last.left, last.tasks) == (0, None, ())


def test_every_map_counts_items_whatever_the_chunks(context):
    seen = []
    with context.Pool(2) as pool:
        maps(pool, seen, progress=seen.append)
        for chunksize in (1, 7, 1000):
            seen.clear()
            pool.map(work, range(101), chunksize=chunksize, progress=seen.append)
            assert (last_of(seen).done, seen[-1].total) == (101, 101)
    pool.join()


@pytest.mark.parametrize("kind", [ThreadPool, lambda n: Pool(n, crew="serial")], ids=["threads", "serial"])
def test_other_crews_count_as_well(kind):
    seen = []
    with kind(2) as pool:
        maps(pool, seen, progress=seen.append)
        seen.clear()
        with pytest.raises(ValueError, match="1 is odd"):
            pool.map(odd, range(8), chunksize=1, progress=seen.append)
        assert (last_of(seen).done, seen[-1].failed) == (8, 4)
    pool.join()


def test_a_serial_pool_draws_between_its_tasks():
    seen = []
    with Pool(1, crew="serial") as pool:
        until = time.monotonic() + 0.5
        pool.map(lambda n: time.sleep(0.05) or until, range(12), progress=seen.append)
    assert len(seen) > 2 and 0 < seen[0].done < 12
    last_of(seen)


def test_failures_and_further_tries_are_counted(two):
    seen = []
    with pytest.raises(ValueError, match="1 is odd"):
        two.map(odd, range(10), progress=seen.append, retries=2, retry_on=ValueError)
    last = last_of(seen)
    assert (last.done, last.total, last.failed, last.retried) == (10, 10, 5, 10)


def test_a_pool_gives_it_to_its_maps_and_calls_have_none():
    seen = []
    with Pool(2, crew="threads", progress=seen.append) as pool:
        assert pool.apply(abs, (-1,)) == 1
        assert not seen
        assert pool.map(abs, [-1, -2]) == [1, 2]
        assert last_of(seen).done == 2
        seen.clear()
        pool.map(abs, [1], progress=False)
        assert not seen
    pool.join()
    with ThreadPool(1) as pool, pytest.raises(TypeError, match="only maps have it"):
        pool.apply(abs, (1,), progress=True)
    pool.join()


def test_the_map_of_an_executor_counts_items():
    seen = []
    with ProcessPoolExecutor(2) as executor:
        assert list(executor.map(divmod, range(101), [1] * 200, chunksize=7, progress=seen.append))[100] == (100, 0)
        assert (last_of(seen).function, seen[-1].done, seen[-1].total) == ("divmod", 101, 101)
        seen.clear()
        results = executor.map(odd, iter(range(4)), buffersize=2, progress=seen.append)
        with pytest.raises(ValueError, match="1 is odd"):
            list(results)
        assert last_of(seen).failed == 1
    seen.clear()
    with ProcessPoolExecutor(1, progress=seen.append) as executor:
        assert executor.submit(work, 1).result() == 1 and not seen
        assert list(executor.map(work, [1, 2])) == [1, 2] and last_of(seen).done == 2


@pytest.mark.parametrize("function", [held.third_waits, held.third_tells_and_waits])
def test_items_of_an_executors_chunk_count_while_it_runs(function):
    """The chunk ends once it was seen that two of its three items have run."""
    event = procession.Event()
    seen = []

    def look(progress):
        seen.append(progress)
        if progress.done >= 2:
            event.set()

    with ProcessPoolExecutor(1, initializer=held.keep, initargs=(event,)) as executor:
        assert list(executor.map(function, range(9), chunksize=3, progress=look)) == list(range(9))
    assert last_of(seen).done == 9
    texts = {task.text for progress in seen for task in progress.tasks}
    assert texts <= ({"", "at work"} if function is held.third_tells_and_waits else {""})


@pytest.mark.parametrize("chunksize", [1, 3])
@pytest.mark.parametrize("way", ["map", "imap", "apply"])
def test_tasks_of_threads_tell_how_far_they_are(way, chunksize):
    event = threading.Event()
    held.keep(event)
    seen = []

    def look(progress):
        seen.append(progress)
        if any(task.text for task in progress.tasks):
            event.set()

    with ThreadPool(2) as pool:
        if way == "apply":
            event.set()
            assert pool.apply(held.told, (1,))[:2] == ("told", 0)
            return
        answer = list(getattr(pool, way)(held.told, range(4), chunksize=chunksize, progress=look))
        assert [one[:2] for one in answer] == [("told", index) for index in range(4)]
        assert all(worker in (0, 1) and is_same for _, _, worker, is_same, _ in answer)
        assert pool.map(held.tried, [1], retries=2, retry_on=OSError, timeout=50) == [(2, True)]
    pool.join()
    words = {
        (task.index, task.done, task.total, task.text) for progress in seen for task in progress.tasks if task.text
    }
    assert words and words <= {(index, index + 1.0, 4.0, f"part {index}") for index in range(4)}
    assert not current_task()


def test_items_of_a_threads_chunk_count_while_it_runs():
    event = threading.Event()
    held.keep(event)
    seen = []

    def look(progress):
        seen.append(progress)
        if progress.done >= 2:
            event.set()

    with ThreadPool(1) as pool:
        assert pool.map(held.third_waits, range(9), chunksize=3, progress=look) == list(range(9))
        event.clear()
        seen.clear()
        assert list(pool.imap(held.third_waits, range(9), chunksize=3, progress=look)) == list(range(9))
    assert last_of(seen).done == 9
    pool.join()


def test_tasks_of_a_serial_pool_draw_themselves():
    """Nobody else could: the thread that waits computes."""
    held.keep(threading.Event())
    held._kept[0].set()
    seen = []

    def long(number):
        until = time.monotonic() + TIMEOUT_S
        while not any(task.text == f"{number}" for progress in seen for task in progress.tasks):
            assert time.monotonic() < until
            current_task().progress(number, 2, f"{number}")
        return held.told(number)

    with Pool(1, crew="serial") as pool:
        assert [one[1:3] for one in pool.map(long, range(2), progress=seen.append)] == [(0, 0), (1, 0)]
        assert pool.map(held.tried, [1], retries=2, retry_on=OSError) == [(2, False)]
    assert last_of(seen).done == 2


@pytest.mark.parametrize("run", [asyncio.run, trio.run], ids=["asyncio", "trio"])
def test_who_awaits_draws_meanwhile(run):
    """The tasks end once the map was drawn."""
    event = procession.Event()
    seen = []

    def look(progress):
        seen.append(progress)
        event.set()

    async def main(pool):
        answer = [await pool.map_async(held.third_waits, range(6), progress=look)]
        event.clear()
        answer.append([value async for value in pool.imap(held.third_waits, range(6), progress=look)])
        return answer

    with Pool(2, initializer=held.keep, initargs=(event,)) as pool:
        assert (run(main, pool) if run is trio.run else run(main(pool))) == [list(range(6))] * 2
    pool.join()
    assert [one.done for one in seen if one.ended] == [6, 6]


def test_who_waits_draws_and_nothing_else_is_there_for_it():
    """Threads and processes while it is drawn, and by whom; the tasks end once it was."""
    event = procession.Event()
    with Pool(2, initializer=held.keep, initargs=(event,)) as pool:
        pool.map(work, range(10))
        drawn_by_who_waits(pool, event)
    pool.join()


def drawn_by_who_waits(pool, event):
    before = threading.enumerate(), {child.pid for child in psutil.Process().children(recursive=True)}
    found = []

    def look(progress):
        children = {child.pid for child in psutil.Process().children(recursive=True)}
        found.append((threading.enumerate(), children, threading.current_thread(), progress))
        if progress.tasks:
            event.set()

    pool.map(held.third_waits, range(6), progress=look)
    assert all(one[:2] == before and one[2] is threading.main_thread() for one in found)
    # What runs is told with its worker.
    tasks = [task for one in found for task in one[3].tasks]
    assert {task.worker for task in tasks} <= {0, 1} and {task.function for task in tasks} == {"third_waits"}


def test_a_callable_that_raises_is_reported_once_and_the_map_goes_on(two, capsys):
    def fail(progress):
        calls.append(progress)
        raise RuntimeError("no paper left")

    calls = []
    assert two.map(work, range(5), progress=fail) == [0, 1, 2, 3, 4]
    two.map(time.sleep, [0.15] * 4, progress=fail)
    errors = capsys.readouterr().err
    assert errors.count("RuntimeError: no paper left") == 2 == len(calls) and "is not called again" in errors


def test_an_interrupt_in_a_callable_ends_the_map(two):
    def interrupt(progress):
        if not progress.ended:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        two.map(time.sleep, [60] * 4, progress=interrupt)
    assert two.map(work, range(3)) == [0, 1, 2]


@pytest.mark.parametrize("wish", ["bar", 5, ["rich"]])
def test_what_makes_no_sense_is_refused(wish):
    with Pool(1, crew="serial") as pool, pytest.raises((TypeError, ValueError), match="progress must be True"):
        pool.map(work, [1], progress=wish)
    pool.join()
    with pytest.raises((TypeError, ValueError), match="progress must be True"):
        Pool(1, progress=wish)


def test_a_library_that_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=r"pip install 'procession\[progress\]'"):
        wishes.check("tqdm")
    stream = types.SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(wishes.drawer(True), plain.Plain)


def test_it_is_quiet_in_workers_and_where_the_environment_says_so(two, monkeypatch, capfd):
    assert two.map(inner, [3, 4]) == [3, 6]
    monkeypatch.setenv("PROCESSION_PROGRESS", "0")
    seen = []
    two.map(work, range(10), progress=seen.append)
    two.map(work, range(10), progress="plain")
    assert not seen and capfd.readouterr().err == ""


class Written(list):
    def write(self, text):
        self.append(text)

    def flush(self):
        pass


def test_lines_come_after_ten_seconds_then_every_thirty_and_at_the_end():
    stream, meter = Written(), Meter("train", 2, 0.0)
    lines = plain.Plain(stream)
    for second in range(1, 76):
        lines.draw(meter.progress(Counts(1000, 10 * second), float(second)))
    lines.draw(meter.progress(Counts(1000, 1000), 76.0, ended=True))
    assert stream[0] == "train 100/1,000 10 % 10/s 1 min 30 s left\n"
    assert [line.split()[1] for line in stream] == ["100/1,000", "400/1,000", "700/1,000", "1,000/1,000"]
    quick = plain.Plain(Written())
    quick.draw(meter.progress(Counts(1, 1), 2.0, ended=True))
    assert not quick._stream


def test_piped_output_has_lines_alone_and_a_map_that_is_soon_done_none():
    code = (
        "import procession, sys\n"
        "if __name__ == '__main__':\n"
        "    with procession.Pool(2) as pool:\n"
        "        for wish in (True, 'rich', 'plain'):\n"
        "            pool.map(abs, range(1000), progress=wish)\n"
        "            print('.', file=sys.stderr)\n"
        "        pool.map(abs, range(5))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S)
    lines = done.stderr.splitlines()
    assert done.returncode == 0 and not set("\r\x1b") & set(done.stderr + done.stdout)
    assert lines[:2] == [".", "."] and lines[2].startswith("abs 1,000/1,000 ") and lines[3] == "."


def test_nothing_of_it_is_loaded_unless_it_is_asked_for():
    code = (
        "import sys, procession\n"
        "with procession.Pool(1, crew='serial') as pool:\n"
        "    pool.map(abs, [1])\n"
        "    print([name for name in sys.modules if '_progress' in name])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.stdout == "[]\n", done.stderr


def test_a_notebook_has_one_display_with_the_last_state(monkeypatch):
    """The tasks end once it is there."""
    shown, event = [], procession.Event()
    handle = types.SimpleNamespace(update=lambda html: shown.append(html))
    display = types.ModuleType("IPython.display")
    display.HTML = str

    def show(html, display_id):
        shown.append(html)
        event.set()
        return handle

    display.display = show
    shell = types.ModuleType("IPython")
    shell.display, shell.get_ipython = display, lambda: types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    with Pool(2, initializer=held.keep, initargs=(event,)) as pool:
        pool.map(held.third_waits, range(8), progress=True)
    pool.join()
    assert len(shown) > 1 and "8/8" in shown[-1] and "<svg" in shown[-1]
    odd_name = notebook.page(Meter("<script>", 1, 0.0).progress(Counts(2, 1), 1.0))
    assert "&lt;script&gt;" in odd_name and "<script" not in odd_name


def described(number):
    task = current_task()
    if number == 0 and task.tries < 2:
        raise OSError("try again")
    return task.tries, task.worker, None if task.deadline is None else task.deadline - time.monotonic()


def test_a_task_knows_its_tries_its_deadline_and_its_worker(context):
    with context.Pool(2) as pool:
        told = pool.map(described, range(4), retries=2, retry_on=OSError, timeout=50)
        assert [tries for tries, _, _ in told] == [2, 0, 0, 0]
        assert all(worker in (0, 1) and 0 < left <= 50 for _, worker, left in told)
        assert pool.map(described, [1]) in ([(0, 0, None)], [(0, 1, None)])
    pool.join()
    nothing = current_task()
    assert (nothing.tries, nothing.deadline, nothing.worker) == (0, None, None)


def test_a_copy_of_the_process_draws_nothing_of_its_parents():
    seen = []
    with ThreadPool(1) as pool:
        result = pool.map_async(time.sleep, [0.2], progress=seen.append)
        child = os.fork()
        if not child:
            result._core.__del__()
            os._exit(len(seen))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        result.get(TIMEOUT_S)
    assert isinstance(seen[-1], Progress) and last_of(seen).done == 1
    pool.join()
    assert procession.pool.Progress is Progress


def test_of_maps_that_end_at_once_the_last_ends_the_bar(monkeypatch):
    ended = []

    class Terminal:
        def __init__(self, stream):
            self.draw = self.keep = lambda progress: None
            self.end = ended.append

    class Turn:
        """Is had when both threads want it."""

        wanted = threading.Barrier(2)
        turn = threading.Lock()
        release = turn.release

        def acquire(self, blocking=True, timeout=-1):
            if blocking:
                self.wanted.wait(TIMEOUT_S)
            return self.turn.acquire(blocking, timeout)

    monkeypatch.setattr("procession._progress.with_tqdm.Terminal", Terminal)
    progress = Meter("work", 2, 0.0).progress(Counts(2, 1), 1.0)
    lines = [screen.line("tqdm") for _ in range(2)]
    for line in lines:
        line.draw(progress)
    monkeypatch.setattr(screen._screen, "_turn", Turn())
    threads = [threading.Thread(target=line.close) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert ended == [[progress]] and screen._screen is None


def test_a_bar_that_begins_before_another_has_ended_leaves_the_streams_as_they_were(monkeypatch):
    control, terminal = os.openpty()
    with os.fdopen(control), os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        handler = logging.StreamHandler(stream)
        monkeypatch.setattr(logging.getLogger("drawn"), "handlers", [handler])
        written = []
        one, other = [above.Above(stream, written.extend) for _ in range(2)]
        one.end()
        print("printed")
        logging.getLogger("drawn").warning("logged")
        other.end()
        assert sys.stdout is stream and handler.stream is stream
        assert written == ["printed", "logged"]
