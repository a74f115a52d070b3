"""A job that is drawn while somebody waits for it. The waiting thread draws: there is none for it, nor a process."""

import os
from dataclasses import replace
from time import monotonic, thread_time

from procession._pool.further import Around
from procession._pool.texts import function_name
from procession._progress.facts import Counts, Meter, TaskProgress

__all__ = ["Watch", "Watched", "counts_of", "task"]

# To draw takes less than this part of the time, but for the first time, when a library may be loaded for it.
MOST_SHARE = 0.005
LONGEST_PAUSE_S = 1.0
# How often workers are heard who print; and while their results are read.
HEAR_S = 0.1
HEAR_AT_RESULTS_S = 0.002


def counts_of(state, name):
    """Return the `Counts` for what a job's core says of its progress; `name` is that of its function."""
    total, done, failed, retried, tasks = state
    return Counts(total, done, failed, retried, (task(name, 0, one) for one in tasks))


def task(name, first, state):
    """Return a `TaskProgress` for what a job's core says of a task; `first` is added to its place in the job."""
    _, place, index, seconds, said = state
    done, total, text = said or (None, None, "")
    return TaskProgress(name, first + index, place, seconds, done, total, text)


class Watch:
    """Draws one map now and then.

    Args:
        drawer: draws a `Progress`; see `wishes.drawer`.
        function: what the map calls.
        workers: how many work at once.
        total: how many items there seem to be, for when nobody knows better; or None.
    """

    def __init__(self, drawer, function, workers, total=None):
        self.name = function_name(function)
        self._drawer = drawer
        self._look = None
        self._total = total
        now = monotonic()
        self._meter = Meter(self.name, workers, now)
        self._due = now + drawer.interval
        self._draws = False
        self._is_first = True
        self._heard = now
        self._pid = os.getpid()
        self._speech = None
        self.over = False

    def begin(self, look):
        """From now on there is something to draw: `look` returns its `Counts`."""
        self._look = look

    def hear(self, speech):
        """Write what workers print above what is drawn: `speech` is a `spoken.Speech`, or None."""
        self._speech = speech
        if speech is not None:
            speech.begin(self._drawer.above)

    def pause(self):
        """Return how long to wait until there is something to do again."""
        due = self._due if self._speech is None else min(self._due, self._heard + HEAR_S)
        return max(due - monotonic(), 0.0)

    def tick(self, hear_after=HEAR_S):
        """Draw, if it is time to; hear workers, if that was `hear_after` seconds ago."""
        now = monotonic()
        if self._speech is not None and now - self._heard >= hear_after:
            self._heard = now
            self._speech.hear()
        if now >= self._due:
            self._draw(now, ended=False)

    def end(self):
        """Draw for the last time, once."""
        if not self.over and self._pid == os.getpid():
            self.over = True
            try:
                self._hush()
                self._draw(monotonic(), ended=True)
            finally:
                self._drawer.close()

    def rest(self):
        """Nobody waits just now, as the wait was interrupted: give the terminal back as it should be."""
        if not self.over and self._pid == os.getpid():
            self._hush()
            self._drawer.close()

    def _hush(self):
        speech, self._speech = self._speech, None
        if speech is not None:
            speech.end(self._drawer.above)

    def _draw(self, now, ended):
        # Code that a drawer runs may wait for the same map.
        if self._look is None or self._draws or self._pid != os.getpid():
            return
        self._draws = True
        began = thread_time()
        try:
            counts = self._look()
            if self._speech is not None:
                counts.tasks = _with_states(counts.tasks, self._speech.states())
            if counts.total is None and not ended:
                counts.total = self._total
            self._drawer.draw(self._meter.progress(counts, now, ended))
        finally:
            self._draws = False
            pause = 0.0 if self._is_first else min((thread_time() - began) / MOST_SHARE, LONGEST_PAUSE_S)
            self._is_first = False
            self._due = monotonic() + max(self._drawer.interval, pause)


class Watched(Around):
    """A job's core, of the engine or of a crew, whose waits draw.

    Args:
        watch: its `Watch`.
        given_up: whether the job is given up when a wait for it is interrupted.
    """

    def __init__(self, watch, given_up):
        super().__init__(None)
        self._watch = watch
        self._given_up = given_up

    def begin(self, core):
        """Take the core: as soon as there is one, which may be before the job is begun."""
        watch = self._watch
        self.job = core
        watch.begin(lambda: counts_of(core.progress(), watch.name))
        if hasattr(type(core), "tick"):  # it is computed by who hands it in, or reads
            core.tick = watch.tick
        return self

    def pause(self):
        """Return for how long a coroutine may wait until it is to call `tick`."""
        return self._watch.pause()

    def tick(self):
        """Draw, if it is time to: a coroutine waits."""
        self._watch.tick()

    def wait(self, timeout):
        """Wait for the job, at most `timeout` seconds; return whether it has ended."""
        core, watch = self.job, self._watch
        until = None if timeout is None else monotonic() + timeout
        try:
            while not core.wait(_part(watch.pause(), until)):
                watch.tick()
                if until is not None and monotonic() >= until:
                    return False
        except BaseException:
            if not self._given_up:
                watch.rest()
            raise
        watch.end()
        return True

    def next(self, timeout):
        """Return the next outcome as the core does."""
        core, watch = self.job, self._watch
        until = None if timeout is None else monotonic() + timeout
        try:
            while (found := core.next(_part(watch.pause(), until))) is None:
                watch.tick()
                if until is not None and monotonic() >= until:
                    return None
        except BaseException as error:
            if core.done():
                self._tick_or_end(isinstance(error, StopIteration))
            elif not isinstance(error, Exception):
                watch.rest()
            raise
        self._tick_or_end(False)
        return found

    def _tick_or_end(self, is_last):
        if is_last:
            self._watch.end()
        else:
            self._watch.tick(HEAR_AT_RESULTS_S)

    def ready(self):
        """Return whether the job has ended."""
        answer = self.job.ready()
        self._tick_or_end(answer)
        return answer

    def finish(self):
        """Wait until the job has ended, whether or not anybody reads its outcomes."""
        self.job.finish()
        self._watch.end()

    def cancel(self, why):
        """Give the job up."""
        self._watch.end()  # before all of its items have an outcome, by this
        return self.job.cancel(why)

    def close(self):
        """End a lazy job."""
        try:
            self.job.close()
        finally:
            self._watch.end()

    def forsake(self):
        """Nobody can read the outcomes any more."""
        self.job.forsake()
        self._watch.end()

    def __del__(self):
        self._watch.end()


def _with_states(tasks, states):
    """Return tasks with what their workers write over again and again, where they say nothing else."""
    return tuple(
        replace(one, text=states[one.worker]) if one.worker in states and not one.text else one for one in tasks
    )


def _part(pause, until):
    return pause if until is None else max(min(pause, until - monotonic()), 0.0)
