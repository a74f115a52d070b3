"""The worker processes of a pool: started, replaced, ended."""

import signal
import threading
import time
import weakref

from procession import util
from procession._procession import PoolCore
from procession.main_names import ForkedMain, ImportedMain
from procession.portable import PoolTerminated, TaskTimeout, WorkerDied, by_value, needs_value, rebuild
from procession.worker import INTERRUPT, Seat, work

__all__ = ["Crew"]

# What an idle worker has to end by itself, when the pool is terminated, before it gets SIGTERM.
IDLE_GRACE_S = 0.05
# A worker that does not end by SIGTERM gets SIGKILL after this.
TERMINATE_GRACE_S = 1.0
# After so many workers in a row that died before they were ready, no more are started; if a signal ended the last, only
# when none has become ready for so long: who kills at random may hit many that start.
STARTING_DEATHS = 8
STARTING_DEATHS_S = 5.0


class Crew:
    """The workers of a pool, and the calls that its engine makes when one of them comes or goes.

    Args:
        ctx: a context, to start processes with.
        count: how many workers there are.
        initializer, initargs: what each of them calls first.
        limit: after how many chunks a worker is replaced, 0 for never.
    """

    def __init__(self, ctx, count, initializer, initargs, limit):
        # The engine must not keep its own crew alive: nobody could collect the two.
        self.core = PoolCore(count, weakref.proxy(self))
        self.processes = []
        self.ending = False
        self.ended = False
        self._ctx = ctx
        self._count = count
        self._work = (initializer, initargs, limit)
        # Of `__main__`, what the oldest worker knows.
        self._main = ForkedMain() if ctx.get_start_method() == "fork" else ImportedMain
        self._seats = {}
        self._leaving = set()
        self._starting_deaths = 0
        self._starting_since = 0.0
        self._warned = False  # of other threads, which is once enough
        self._lock = threading.RLock()
        self._driver = None

    def fill(self):
        """Start workers until there are as many as there should be.

        Raises:
            OSError: one could not be started.
        """
        with self._lock:
            while not self.ending and len(self._seats) - len(self._leaving) < self._count:
                self._start()

    def _start(self):
        seat = Seat(*self.core.invite())
        try:
            process = self._ctx.Process(target=work, args=(seat, *self._work))
            process.name = process.name.replace("Process", "PoolWorker")
            process.daemon = True
            process._warns_of_threads = not self._warned
            self._warned = True
            process.start()
        except BaseException:
            self.core.uninvite(seat.index)
            raise
        finally:
            seat.close()
        self.core.seated(seat.index, process.sentinel)
        self._seats[seat.index] = process
        self.processes.append(process)
        util.debug("added worker")

    def look(self):
        """Take note of workers that have ended, and replace them."""
        self.core.look()
        self.refill()

    # -- called by the engine -------------------------------------------------------------------------------------

    rebuild = staticmethod(rebuild)

    def by_value(self, obj, error):
        """Return the pickle of `obj` by value."""
        return by_value(obj, error, self._main)

    def needs_value(self, function):
        """Return whether workers would look for `function` in vain."""
        return needs_value(function, self._main)

    def worker_leaves(self, index):
        """A worker is about to end by itself: have the next one ready."""
        with self._lock:
            self._leaving.add(index)
            self.refill()

    def worker_ended(self, index, starting, expected):
        """A worker has ended; return a text about it. It is replaced unless the pool ends."""
        with self._lock:
            process = self._seats.pop(index, None)
            self._leaving.discard(index)
            self.core.vacate(index)
            if process is None:
                return "its worker ended"
            process.join(TERMINATE_GRACE_S)
            text = _obituary(process)
            if process in self.processes:
                self.processes.remove(process)
            if starting and not expected:
                if self._gives_up(process.exitcode) and not self.ending:
                    self.core.break_down(
                        WorkerDied(f"{text} while it was starting, as {self._starting_deaths} before it: giving up")
                    )
                    return text
            elif not starting:
                self._starting_deaths = 0
            if not (expected and starting):
                self.refill()
            return text

    def _gives_up(self, exitcode):
        """Count a worker that died before it was ready; return whether it makes no sense to start another."""
        now = time.monotonic()
        if self._starting_deaths == 0:
            self._starting_since = now
        self._starting_deaths += 1
        from_outside = exitcode is None or exitcode < 0
        return self._starting_deaths >= STARTING_DEATHS and not (
            from_outside and now - self._starting_since < STARTING_DEATHS_S
        )

    def refill(self):
        """Start the workers that are missing; not being able to is no error while one is left."""
        try:
            self.fill()
        except Exception as error:
            # With a worker left the tasks are done all the same, and the next event tries again.
            util.sub_warning("a worker could not be replaced: %s", error)
            if not self._seats:
                self.core.break_down(error)

    def lost(self, text, item):
        """Return the exception for a task that was lost with its worker."""
        return WorkerDied(f"{text} while it ran this task")

    def expired(self, seconds, failure):
        """Return the exception for a task that ran too long, after it ended with `failure`."""
        error = TaskTimeout(f"the task ran longer than its timeout of {seconds:g} s")
        error.__cause__ = failure.__cause__ or failure
        return error

    def interrupt_worker(self, index):
        """Have a worker look whether its task is to be given up."""
        process = self._seats.get(index)
        if process is not None and process._popen is not None:
            process._popen._send_signal(INTERRUPT)

    def kill_worker(self, index):
        """End a worker whose task did not give up."""
        process = self._seats.get(index)
        if process is not None:
            process.kill()

    def start_driver(self):
        """Have a thread drive the engine when no caller waits."""
        with self._lock:
            if self._driver is None and not self.ending:
                self._driver = threading.Thread(target=_drive, args=(self.core,), name="PoolDriver", daemon=True)
                self._driver.start()

    # -- the end ----------------------------------------------------------------------------------------------------

    def terminate(self):
        """End all workers now; tasks without an outcome fail with PoolTerminated."""
        with self._lock:
            self.ending = True
        if self.ended:
            return
        self.core.close()
        self.core.break_down(PoolTerminated("the pool was terminated before this task had an outcome"))
        self.core.close()
        # Idle workers now end by themselves, and so write out what their tasks have printed.
        until = time.monotonic() + IDLE_GRACE_S
        for process in list(self.processes):
            process.join(max(0.0, until - time.monotonic()))
        for process in list(self.processes):
            if process.exitcode is None:
                process.terminate()
        self.await_end(TERMINATE_GRACE_S)

    def await_end(self, limit):
        """Wait for the workers to end, `limit` seconds (None: for ever) before they are killed."""
        with self._lock:
            # No replacement is started from here on.
            self.ending = True
        if self.ended:
            return
        until = None if limit is None else time.monotonic() + limit
        for process in list(self.processes):
            process.join(None if until is None else max(0.0, until - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()
            if process in self.processes:
                self.processes.remove(process)
        self.ended = True
        self._seats.clear()
        driver, self._driver = self._driver, None
        self.core.quit()
        if driver is not None and driver is not threading.current_thread():
            driver.join(TERMINATE_GRACE_S)
        self.core.release()


def _drive(core):
    core.drive()


def _obituary(process):
    code = process.exitcode
    who = f"worker {process.name} (pid {process.pid})"
    if code is None or code >= 0:
        return f"{who} ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"{who} was killed by {name}"
