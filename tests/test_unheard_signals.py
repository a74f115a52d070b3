"""A signal that breaks off no wait, as another thread got it or it came just before the wait: Ctrl-C ends that all the
same.

Another thread sends SIGINT to itself while the main thread sleeps. The interpreter then knows of the signal, and the
main thread sleeps on: so it is with one that comes between its last look at signals and its sleep.
"""

import concurrent.futures
import contextlib
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import procession.dummy.connection
import pytest
from procession.futures import ProcessPoolExecutor
from procession.pool import ThreadPool

LIMIT_S = 60
HOURS = 10_000
# So often the main thread is seen in one and the same sleep: one that wants to run would have been let in between.
LOOKS = 20


@contextlib.contextmanager
def unheard_interrupt():
    """Have SIGINT come to another thread while the main thread sleeps in this block; fail if that does not wake it."""
    over, unheard = threading.Event(), []
    sender = threading.Thread(target=interrupt_beside, args=(over, unheard), daemon=True)
    sender.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        over.set()
        sender.join()
    assert not unheard


def interrupt_beside(over, unheard):
    """Send SIGINT to this thread when the main thread sleeps; should that not wake, to that one."""
    main = threading.main_thread()
    status = Path(f"/proc/self/task/{main.native_id}/status")
    seen, before = 0, None
    while seen < LOOKS and not over.is_set():
        now = [line for line in status.read_text().splitlines() if line.startswith(("State:", "voluntary_ctxt"))]
        seen = seen + 1 if now == before and "sleeping" in now[0] else 0
        before = now
    if over.is_set():
        return
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    if not over.wait(LIMIT_S):
        unheard.append(True)
        signal.pthread_kill(main.ident, signal.SIGINT)


def test_a_wait_for_an_executor_ends(context):
    executor = ProcessPoolExecutor(2, context)
    results, future = executor.map(time.sleep, [HOURS] * 9), executor.submit(time.sleep, HOURS)
    try:
        for wait in (
            lambda: next(results),
            future.result,
            future.exception,
            lambda: concurrent.futures.wait([future]),
            lambda: next(concurrent.futures.as_completed([future])),
            executor.shutdown,
        ):
            with unheard_interrupt():
                wait()
        assert future.cancelled()
    finally:
        executor.terminate_workers()


def test_a_wait_for_processes_ends(context):
    process = context.Process(target=time.sleep, args=(HOURS,))
    process.start()
    near, far = context.Pipe()
    queue, lock = context.Queue(), context.Lock()
    assert lock.acquire()
    with context.Pool(2) as pool, near, far:
        for wait in (
            lambda: pool.map(time.sleep, [HOURS]),
            lambda: next(pool.imap(time.sleep, [HOURS])),
            lambda: pool.apply_async(time.sleep, (HOURS,)).get(),
            lambda: next(pool.imap_unordered(time.sleep, [HOURS], progress=lambda counts: None)),
            process.join,
            near.recv,
            queue.get,
            lock.acquire,
            context.Event().wait,
            context.Barrier(2).wait,
        ):
            with unheard_interrupt():
                wait()
    pool.join()
    process.kill()
    process.join()


def test_a_wait_for_threads_ends(tmp_path):
    go_on, calls = threading.Event(), threading.Event()

    def stay(_):
        calls.set()
        go_on.wait()

    near, _far = procession.dummy.connection.Pipe()
    listener = procession.dummy.connection.Listener()
    pool = ThreadPool(1)
    try:
        results = pool.imap(stay, [1], resume=tmp_path / "journal")
        reader = threading.Thread(target=next, args=(results, None))
        reader.start()
        assert calls.wait(LIMIT_S)
        for wait in (
            lambda: next(results),
            pool.apply_async(stay, (2,)).get,
            near.recv,
            near.recv_bytes,
            lambda: near.poll(None),
            listener.accept,
        ):
            with unheard_interrupt():
                wait()
        pool.close()
        with unheard_interrupt():
            pool.join()
    finally:
        go_on.set()
    reader.join()
    pool.join()


MIDST_OF_IMPORT = """
import os, signal, sys
import procession
from procession.futures import ProcessPoolExecutor

def stay(readers):
    os.write(readers[1], b"r")
    os.read(readers[2], 1)

def interrupt():
    sys.setprofile(None)
    os.kill(os.getpid(), signal.SIGINT)

def watch(frame, event, argument):
    # What an import calls when it lets go of its lock: an exception in it goes nowhere.
    if event == "call" and frame.f_code.co_name == "cb" and "importlib" in frame.f_code.co_filename:
        interrupt()

if __name__ == "__main__":
    pipes = (*os.pipe(), *os.pipe()[:1])
    fork = procession.get_context("fork")
    with fork.Pool(2) as pool, ProcessPoolExecutor(2, fork) as executor:
        call = CALL
        call(0)
        os.read(pipes[0], 1)
        sys.setprofile(watch)
        call(1)
        interrupt()  # where nothing was imported any more
"""


@pytest.mark.parametrize(
    "call",
    [
        "lambda n: executor.submit(stay, pipes)",
        "lambda n: executor.map(stay, [pipes])",
        "lambda n: pool.map_async(stay, [pipes])",
    ],
)
def test_an_import_of_ours_while_calls_run_swallows_no_interrupt(call, tmp_path):
    (tmp_path / "script.py").write_text(MIDST_OF_IMPORT.replace("CALL", call))
    ended = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S)
    assert ended.returncode == -signal.SIGINT
    assert ended.stderr.count("Traceback") == 1 and "ignored" not in ended.stderr
