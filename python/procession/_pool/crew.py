"""The worker processes of a pool: started, replaced, ended.

A long file: each of its calls is one that the engine makes, and works on the same table of members under one lock.
"""

import _thread
import errno
import os
import sys
import time
from _thread import RLock
from _weakref import proxy

from procession import _exceptions, util
from procession._checks import few
from procession._children.math_threads import UNCHANGED, are_limited
from procession._objects import failures, main_module
from procession._objects.failures import rebuild
from procession._objects.main_module import may_read
from procession._pool import log_records, stacks
from procession._pool.deaths import Restarts
from procession._pool.maker import Maker
from procession._pool.texts import call_text, function_name, in_units, program_name
from procession._pool.worker import INTERRUPT, Seat, work
from procession._procession import PoolCore, Receiver, SignalsHeld, descriptor_limits, lacking_descriptors

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


__all__ = ["Crew"]

# The time that an idle worker has to end by itself when the pool is terminated, before it gets SIGTERM.
IDLE_GRACE_S = 0.05
# How long a program may take to end, once its pools have, before its daemon threads are told of that.
EXIT_LIMIT_S = 60.0
# How many descriptors a worker costs this process: its memory and its pidfd.
MEMBER_DESCRIPTORS = 2
STARTING_DESCRIPTORS = 24
MEMBER_ADDRESS_SPACE_MIB = 33  # of each worker's memory here
# A worker that runs nothing then ends by itself, which takes as long as its exit functions do: where they hang it gets
# SIGTERM after this. One that does not end by SIGTERM gets SIGKILL after this, too.
TERMINATE_GRACE_S = 1.0
# How long workers have where tools are around them, which have something to write.
TOOLS_GRACE_S = 5.0


class Member:
    """A worker of a pool, as its parent sees it.

    Attributes:
        place: which worker of the pool it is, from 0; one that replaces another has the same.
        process: its process object.
        ready: whether it has started.
        leaving: whether it ends soon, so that the next one for its place is to be started.
        aged: whether it is to go as soon as the next one is ready.
        gone: whether it takes no more tasks.
        surplus: whether it leaves since the pool is to have fewer, so that it may as well stay.
        waits: whether it was told to take no task while the one before it does.
        report: what it writes its stacks into.
        streams: the pipes that its output comes through.
        group: its control group, with a limit of memory, or None.
    """

    def __init__(self, place, process, waits, report, streams, group):
        self.group = group
        self.report = report
        self.streams = streams
        self.place = place
        self.process = process
        self.waits = waits
        self.ready = False
        self.leaving = False
        self.aged = False
        self.gone = False
        self.surplus = False

    def last_words(self):
        """Return what a worker that has ended wrote about itself, and let go of it."""
        report, self.report = self.report, None
        text = "" if report is None else report.text().decode(errors="replace")
        # Before it there is what it has written for those who looked at it from outside.
        at = text.rfind("Fatal Python error: ")
        return text if at < 0 else text[at:]


class Obituary(str):
    """A text about a worker that has ended.

    Attributes:
        stacks: what it wrote before it crashed.
        peak: how many bytes it had when the kernel killed it for its limit of memory, or None.
    """

    stacks = ""
    peak = None


class Crew:
    """The workers of a pool, which are processes, and the calls that its engine makes when one of them comes or goes.

    Args:
        ctx: a context, to start processes with.
        terms: how many workers there are, what they are given and may use up: see `worker.Terms`.
    """

    # Everything that a crew can offer: see `crews.Crew`.
    offers = frozenset(
        ("timeout", "retries", "stats", "stacks", "maxtasksperchild", "max_age", "max_memory", "env", "nice")
        + ("cpu_affinity", "forward_logs", "capture_output", "resize", "min_workers", "max_workers", "idle_timeout")
        + ("finalizer", "seed", "seed_globals", "priority", "order", "resources")
    )
    shares_memory = True

    def __init__(self, ctx, terms):
        count = few(terms.count, "the number of processes")
        if terms.resources is not None:
            terms.resources.check_names()
        # The engine must not keep its own crew alive: nobody could collect the two.
        self.core = PoolCore(count, proxy(self), terms.max_memory, terms.max_age)
        self.processes = []
        self._pid = os.getpid()
        self.ending = False
        self.ended = False
        self._terminates = False
        self.members = {}
        self._ctx = ctx
        self._count = count
        self._elastic = terms.elastic
        self.resources = terms.resources
        if terms.resources is not None:
            self.core.equip(list(terms.resources.counts.values()))
        self.looked_at = "no"  # whether the engine asks about the number of workers
        self._terms = terms
        self._settings = terms.settings
        self._ear = log_records.Ear() if terms.forward_logs else None
        self._capture = None
        if terms.on_line is not None:
            from procession._pool.output import Capture

            self._capture = Capture(terms.on_line)
        self._groups = None
        if terms.max_memory is not None:
            from procession._pool.memory_groups import groups

            self._groups = groups()
        self._method = ctx.get_start_method()
        self.core.entitle(program_name(), self._method)
        self._maker = Maker(self._method)
        self._forks = self._method == "fork"
        if self._forks:
            # What pickles the first function: loaded once workers run, it would write to pages that they share with it.
            import procession._objects.reducers  # noqa: F401
        # Knows what the oldest worker finds in `__main__`.
        self.receiver = Receiver(main_module.snapshot().has) if self._forks else main_module.importing
        self._watch: Any = None
        if terms.initializer is not None and not self._forks and may_read(terms.initializer):
            watch = self._start_watch()
            if not self._goes_by_value(terms.initializer):
                terms.expected = watch.of_initializer
        self._aged = []
        self._broken = False
        self._restarts = Restarts(count)
        self._pause_until = 0.0
        self._warned = False  # of other threads, which is once enough
        self._stuck: Any = None  # what looks after workers that were forked beside other threads
        self._lock = RLock()
        self._driver = None
        self._room = None  # for descriptors
        self.speech: Any = None  # what hears workers while a bar is drawn

    def begin(self):
        """Start the workers.

        Raises:
            OSError: one could not be started.
        """
        try:
            self.fill()
        except BaseException:
            self.terminate()
            raise
        if self._elastic is not None:
            self.tend()

    def is_ours(self):
        """Return whether this process has the workers; one that was forked from that has not."""
        return self._pid == os.getpid()

    def fill(self):
        """Start workers until there are as many as there should be; not while it is to pause.

        Raises:
            OSError: one could not be started.
        """
        try:
            self._fill()
        except OSError as error:
            if error.errno == errno.ENOMEM:
                self._explain_want_of_memory(error)
            if error.errno != errno.EMFILE:
                raise
            need, limit = self._descriptors(), descriptor_limits()[1]
            text = f"{self._count} workers need some {need} descriptors beside those in use, of {limit} (ulimit -Hn)"
            raise OSError(errno.EMFILE, f"{text}: start fewer, or have the limit raised: {error.strerror}") from error

    def _explain_want_of_memory(self, error):
        """Raise what says more than `error`, where it may be of a limit of address space."""
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return
        text = (
            f"{self._count} workers need some {MEMBER_ADDRESS_SPACE_MIB * self._count} MiB of address space beside "
            f"that in use, of {limit >> 20} (ulimit -v): start fewer, or have the limit raised: {error.strerror}"
        )
        raise OSError(errno.ENOMEM, text) from error

    def _descriptors(self):
        """Return how many this process needs for all workers, and those that are starting."""
        each = MEMBER_DESCRIPTORS + 2 * (self._capture is not None)
        return each * self._count + STARTING_DESCRIPTORS

    def _make_room_for_descriptors(self):
        need = lacking_descriptors(self._descriptors())
        if need:
            from procession._children.descriptor_limits import Room

            self._room = Room(need)

    def _fill(self):
        if not self.members and self._room is None:
            self._make_room_for_descriptors()
        with self._lock, self._forking():
            while not self.unusable and (places := self._free_places()):
                # Work between two forks costs both processes the pages that it touches: the rest is done
                # before and after.
                coming = [(place, self._make_process(place)) for place in places]
                begun = []
                try:
                    for place, process in coming:
                        if self.unusable:
                            break
                        left = self._pause_until - time.monotonic()
                        if left > 0:
                            self.core.refill_later(left)
                            return
                        begun.append(self._start(place, process))
                finally:
                    failures = [error for index, member in begun if (error := self._seat(index, member)) is not None]
                    if failures:
                        raise failures[0]

    def _forking(self):
        """Hold numerical libraries down where workers are to be forked."""
        return self._settings.limited() if self._forks and self._free_places() else UNCHANGED

    def _free_places(self):
        taken = {member.place for member in self.members.values() if not member.leaving}
        missing = self._count - len(taken)
        return [place for place in range(self._count) if place not in taken][: max(0, missing)]

    def _make_process(self, place):
        process = self._ctx.Process(target=work)
        process._settings = self._settings.of(place)  # which are checked
        process._config["cpus"] = self._settings.cpus
        process.name = process.name.replace("Process", "PoolWorker")
        process.daemon = True
        process._warns_of_threads = not self._warned
        process._is_worker = True
        process._heeds_interrupts = False
        self._warned = True
        return process

    def _start(self, place, process):
        """Start the worker of a place; return the index of its seat, and its member."""
        seat = Seat(*self.core.invite(place))
        seat.place = place
        # By `fill`, unless another pool undid it just now.
        seat.limited = self._forks and are_limited(process._settings["env"])
        streams, writers = [], []
        try:
            if self._capture is not None:
                streams, writers = self._capture.pipes()
                seat.output = writers, self._capture.key, self._forks
            if self._ear is not None:
                seat.notes = self._ear.writer, log_records.levels()
            # Two of one place never work at once: who has a pool of one worker may count on that.
            waits = any(member.place == place and not member.gone for member in self.members.values())
            if waits:
                self.core.keep_waiting(seat.index)
            group = None if self._groups is None else self._groups.make(self._terms.max_memory)
            if group is not None:
                process._settings = {**process._settings, "group": os.fspath(group.path)}
            process._args = seat, self._terms
            self._maker.start(process)
        except BaseException:
            self._give_up(seat.index, streams)
            raise
        finally:
            seat.close()
            for writer in writers:
                os.close(writer)
        return seat.index, Member(place, process, waits, self.core.report(seat.index), streams, group)

    def _seat(self, index, member):
        """Watch a worker that was started; where the system refuses that, end it and return the error."""
        process = member.process
        try:
            self.core.seated(index, process.sentinel, process.pid)
        except OSError as error:
            process.kill()
            process.join(TERMINATE_GRACE_S)
            self._give_up(index, member.streams)
            return error
        if self._capture is not None:
            self._capture.listen(member.streams, process)
        self.members[index] = member
        self.processes.append(process)
        if self._stuck is None and getattr(process._popen, "beside", None):
            from procession._pool.stuck import StuckWatch

            self._stuck = StuckWatch(self, process._popen.beside, process._popen.place)
        util.debug("added worker")
        return None

    def _give_up(self, index, streams):
        """Take back what was made for a worker that does not come."""
        self.core.uninvite(index)
        for stream in streams:
            os.close(stream.descriptor)

    @property
    def count(self):
        """How many workers there are to be."""
        return self._count

    def resize(self, count):
        """Have `count` workers from now on: see `procession.pool.Pool.resize`."""
        from procession._pool import size  # not before: most pools stay as they are

        size.resize(self, count)

    @property
    def has_plain_output(self):
        """Return whether what workers write goes where this process writes."""
        return self._capture is None

    @property
    def memory_limit(self):
        """Return what holds workers to `max_memory`: "cgroup", the kernel, or "sampled", looks at them; or None."""
        if self._terms.max_memory is None:
            return None
        members = list(self.members.values())
        # A worker is in its group before it is ready.
        held = (
            member.group is not None and (not member.ready or member.group.holds(member.process.pid))
            for member in members
        )
        return "cgroup" if members and all(held) else "sampled"

    @property
    def unusable(self):
        """Whether no task can run any more."""
        return self.ending or self._broken

    def look(self):
        """Take note of workers that have ended, and replace them."""
        self.core.look()
        self.refill()

    def survey(self):
        """Return what goes on, a `procession.pool.PoolStats`."""
        from procession._pool import stats  # not before: what it is made with loads more than a whole pool

        self.core.look()
        return stats.of(self)

    def stacks(self, limit):
        """Return the stacks of all workers as text; wait for them at most `limit` seconds."""
        self.core.look()
        return stacks.dump(self, limit)

    # -- called by the engine -------------------------------------------------------------------------------------

    rebuild = staticmethod(rebuild)

    def hear(self):
        """Workers have sent log records or warnings, or their tasks have ended."""
        if self._ear is not None:
            self._ear.hear()
        if self._capture is not None:
            self._capture.hear()

    def tend(self):
        """The size of the pool may change: look whether it should."""
        from procession._pool import size

        size.tend(self)

    def explained(self, error, obj):
        """Return the error for what cannot be pickled, which says where in `obj` the culprit is."""
        from procession._objects import culprit

        return culprit.with_path(error, obj)

    def needs_value(self, function):
        """Return whether workers would look for `function` in vain; or else what is to be pickled in its place."""
        alone = self._goes_by_value(function)
        watch = self._watch
        if watch is None:
            if not may_read(function):
                return alone
            try:
                watch = self._start_watch()
            except OSError:  # no descriptor is left to import it by: of this function nothing is said
                return alone
        # Methods and partials are asked for each time.
        elif id(getattr(getattr(function, "func", function), "__code__", None)) in watch.met:
            return alone
        return watch.sent(function, alone) or alone

    def accompanied(self, function):
        """Return what is to be sent in the place of a function that is an argument and will be called."""
        answer = self.needs_value(function)
        return function if isinstance(answer, bool) else answer

    def _start_watch(self):
        from procession._objects.watch import VariableWatch  # not before: most functions of most programs read none

        self._watch = VariableWatch(self._method, self._terms.initializer, self._count == 1)
        return self._watch

    def _goes_by_value(self, function):
        return (
            isinstance(function, main_module.BY_NAME)
            and main_module.is_of_main(function)
            and not self.receiver.finds(function)
        )

    def worker_ready(self, index):
        """A worker has started: the one before it may go."""
        with self._lock:
            member = self.members.get(index)
            if member is None:
                return
            member.ready = True
            self._restarts.starting = 0
            for other, before in self.members.items():
                if before.place == member.place and before.aged and not before.gone:
                    self.core.retire(other)
            self._renew()

    def worker_ages(self, index):
        """A worker is as old as it may become: it goes when the next one is ready."""
        with self._lock:
            self._aged.append(index)
            self._renew()

    def _renew(self):
        # One after the other: starting as many as there are at once would take the CPUs from the tasks.
        while self._aged and not any(member.waits and not member.ready for member in self.members.values()):
            member = self.members.get(self._aged.pop(0))
            if member is not None and not member.leaving:
                member.leaving = member.aged = True
                self.refill()

    def worker_ends(self, index):
        """A worker may have taken up its last record: have the next one ready."""
        with self._lock:
            member = self.members.get(index)
            if member is not None:
                member.leaving = True
                self.refill()

    def worker_leaves(self, index):
        """A worker takes no more tasks, and ends: the next one takes its place."""
        with self._lock:
            member = self.members.get(index)
            if member is not None:
                self._make_room(member)
                self.refill()

    def _make_room(self, member):
        member.leaving = member.gone = True
        for index, other in self.members.items():
            if other.place == member.place and other.waits and not other.gone:
                other.waits = False
                self.core.let_start(index)

    def worker_ended(self, index, starting, expected, idle):
        """A worker has ended; return a text about it. It is replaced unless the pool ends.

        Args:
            starting: whether it was not ready yet.
            expected: whether it had said that it would end.
            idle: whether it had worked for nobody.
        """
        with self._lock:
            if self.ended:  # by another thread, which has given the engine up
                return "its worker ended"
            member = self.members.pop(index, None)
            self.core.vacate(index)
            if member is None:
                return "its worker ended"
            self._make_room(member)
            process = member.process
            process.join(TERMINATE_GRACE_S)
            text = _obituary(process, member.group)
            text.stacks = member.last_words()
            member.group = None
            if self._capture is not None:
                self._capture.finish(member.streams)
            if process in self.processes:
                self.processes.remove(process)
            if self.ending:
                return text
            if not expected:
                tasks = self.core.outcomes()
                pause, hopeless = self._restarts.died(starting, idle, process.exitcode, tasks)
                self._pause_until = time.monotonic() + pause
                if hopeless and not any(other.ready for other in self.members.values()):
                    when = "while it was starting" if starting else "before it had a task"
                    self._break_down(
                        _exceptions.WorkerDied(f"{text} {when}, as {self._restarts.count} before it: giving up")
                    )
            if not (expected and starting):
                self.refill()
            return text

    def _break_down(self, error):
        self._broken = True
        self.core.break_down(error)

    def refill(self):
        """Start the workers that are missing; where that fails it is tried again, after pauses."""
        if self.speech is not None:  # nobody may be drawing what it is for
            self.speech.hear()
        try:
            self.fill()
        except Exception as error:
            util.sub_warning("a worker could not be replaced: %s", error)
            with self._lock:
                pause, hopeless = self._restarts.failed()
                self._pause_until = time.monotonic() + pause
                if not hopeless or self.members:
                    self.core.refill_later(pause)
                    return
                failure = _exceptions.WorkerDied(
                    f"no worker of the pool could be started, in {self._restarts.starting} tries: "
                    f"{type(error).__name__}: {error}"
                )
                failure.__cause__ = error
                self._break_down(failure)

    def lost(self, text, task, peak):
        """Return the exception for a task that was lost with its worker.

        Args:
            text: about the worker, of `worker_ended`.
            task: its function, the kind of its job, its place in that, its item.
            peak: the bytes of memory that its parent has killed the worker for, or None.
        """
        if peak is None:
            peak = getattr(text, "peak", None)
        if peak is None:
            died = _exceptions.WorkerDied(f"{text} while it ran this task: {call_text(*task)}")
            if getattr(text, "stacks", ""):
                died.__cause__ = failures.RemoteTraceback(f'\n"""\n{text.stacks}"""')
            return died
        limit = self._terms.max_memory
        error = _exceptions.OverMemory(
            f"a worker had {in_units(peak)} of memory, more than max_memory={in_units(limit)}, and was killed "
            f"while it ran this task: {call_text(*task)} ({text})"
        )
        error.peak, error.limit = peak, limit
        error.function, error.index = function_name(task[0]), task[2]
        return error

    def expired(self, seconds, failure):
        """Return the exception for a task that ran too long, after it ended with `failure`."""
        error = _exceptions.TaskTimeout(f"the task ran longer than its timeout of {seconds:g} s")
        error.__cause__ = failure.__cause__ or failure
        return error

    def interrupt_worker(self, index):
        """Have a worker look whether its task is to be given up."""
        member = self.members.get(index)
        if member is not None and member.process._popen is not None:
            member.process._popen._send_signal(INTERRUPT)

    def kill_worker(self, index):
        """End a worker whose task did not give up."""
        member = self.members.get(index)
        if member is not None:
            member.process.kill()

    def start_driver(self):
        """Have a thread drive the engine when no caller waits."""
        with SignalsHeld(), self._lock:
            if self._driver is None and not self.ending:
                import threading  # not before: each worker that is forked later has work for it, too

                driver = threading.Thread(target=_drive, args=(self.core,), name="PoolDriver", daemon=True)
                try:
                    driver.start()
                except RuntimeError as error:
                    from procession import _no_threads

                    try:
                        _no_threads.start_all_the_same(driver, error, is_ours=False)
                    except RuntimeError as explained:  # whoever waits drives
                        _no_threads.tell_of_driver(explained)
                        return
                self._driver = driver

    # -- the end ----------------------------------------------------------------------------------------------------

    def forgotten(self):
        """End as nobody has the pool any more, or the program ends."""
        self.terminate()

    def terminate(self):
        """End all workers now; tasks without an outcome fail with PoolTerminated."""
        with self._lock:
            self.ending = True
            is_under_way, self._terminates = self._terminates, True
        if self.ended or is_under_way:
            return
        self.core.end(_terminated)
        # Idle workers now end by themselves, and so write out what their tasks have printed.
        until = time.monotonic() + IDLE_GRACE_S
        for process in list(self.processes):
            process.join(max(0.0, until - time.monotonic()))
        leaving = self._leaving()
        for process in set(self.processes) - leaving:
            if process.exitcode is None:
                process.terminate()
        grace = TOOLS_GRACE_S if "procession._around" in sys.modules else TERMINATE_GRACE_S
        until = time.monotonic() + grace
        for process in leaving:
            process.join(max(0.0, until - time.monotonic()))
            if process.exitcode is None:
                process.terminate()
        self.await_end(grace)

    def _leaving(self):
        """Return the processes of workers that run nothing, and are on their way out."""
        if all(process.exitcode is not None for process in list(self.processes)):
            return set()
        with self._lock:  # under which nobody gives the engine up
            unoccupied = [] if self.ended else self.core.unoccupied()
        members = (self.members.get(index) for index in unoccupied)
        return {member.process for member in members if member is not None}

    def await_end(self, limit):
        """Wait for the workers to end, `limit` seconds (None: for ever) before they are killed."""
        if not self.is_ours():  # the parent's threads may have had the lock
            return
        with self._lock:
            # No replacement is started from here on.
            self.ending = True
        if self.ended:
            return
        if self._stuck is not None:
            self._stuck.end()
        until = None if limit is None else time.monotonic() + limit
        ending = list(self.processes)  # whose sentinels the engine watches until it is released
        for process in ending:
            process.join(None if until is None else max(0.0, until - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()
        # The thread that drives may take note of their ends at the same time, and others may wait for them.
        with self._lock:
            if self.ended:
                return
            self.processes.clear()
            members, self.members = self.members, {}
            self.ended = True
        for member in members.values():
            member.last_words()
            member.group = None
        self.hear()
        driver, self._driver = self._driver, None
        self.core.quit()
        if driver is not None and driver.ident != _thread.get_ident():
            driver.join(TERMINATE_GRACE_S)
        if self._ear is not None:
            self._ear.close()
        if self._capture is not None:
            self._capture.close()
        if self.speech is not None:
            self.speech.close()
        if util.is_exiting():
            try:
                self.core.keep_duty(TERMINATE_GRACE_S)
            except ValueError:  # a thread that joins the pool has released it
                pass
        self.core.release()
        del ending
        if self._room is not None:
            self._room.close()


def stay_at_exit(error):
    """Keep a daemon thread, which ends with the program, waiting, where its error is that end: nobody can use that."""
    if not util.is_exiting():
        return
    if not isinstance(error, _exceptions.PoolTerminated) and not str(error).startswith("Pool not running"):
        return
    import threading

    if threading.current_thread().daemon:
        threading.Event().wait(EXIT_LIMIT_S)


def _drive(core):
    core.drive()


def _terminated():
    return _exceptions.PoolTerminated("the pool was terminated before this task had an outcome")


def _obituary(process, group):
    code = process.exitcode
    who = f"worker {process.name} (pid {process.pid})"
    unknown = process._popen.unknown if process._popen is not None else None
    if unknown is not None:
        return Obituary(f"{who} ended; how is unknown: {unknown}")
    if code is None or code >= 0:
        return Obituary(f"{who} ended with exit code {code}")
    import signal

    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    peak = group.exceeded() if group is not None and code == -signal.SIGKILL else None
    text = Obituary(f"{who} was killed by {name}" + (", for its limit of memory" if peak is not None else ""))
    text.peak = peak
    return text
