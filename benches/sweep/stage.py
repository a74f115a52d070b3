"""What one library has open while its cells run: pools, executors, channels, a manager, each made when first needed."""

import functools
import importlib

from benches.sweep import cells, methods

WORKERS = 2


class Stage:
    """A library under one start method.

    Args:
        library: "multiprocessing" or "procession".
        start_method: "fork", "spawn" or "forkserver".
    """

    def __init__(self, library, start_method):
        self.library = library
        self.context = importlib.import_module(library).get_context(start_method)
        self._feeder = None

    @functools.cached_property
    def pool(self):
        """A pool of two."""
        return self.context.Pool(WORKERS)

    @functools.cached_property
    def executor(self):
        """The library's executor of two."""
        module = "concurrent.futures" if self.library == "multiprocessing" else "procession.futures"
        return importlib.import_module(module).ProcessPoolExecutor(WORKERS, mp_context=self.context)

    @functools.cached_property
    def managed(self):
        """A list of a manager."""
        return self._manager.list()

    @functools.cached_property
    def managed_dict(self):
        """A dict of the same manager."""
        return self._manager.dict()

    @functools.cached_property
    def _manager(self):
        return self.context.Manager()

    def start_feeder(self):
        """Start the child that sends by each channel."""
        pipe, far_pipe = self.context.Pipe(duplex=False)
        self.both_ways, far_both_ways = self.context.Pipe()
        self.go, far_go = self.context.Pipe()
        self._channels = {
            "queue": self.context.Queue(),
            "simple_queue": self.context.SimpleQueue(),
            "joinable_queue": self.context.JoinableQueue(),
        }
        far = {**self._channels, "pipe": far_pipe, "pipe_both_ways": far_both_ways}
        self._channels |= {"pipe": pipe, "pipe_both_ways": self.both_ways}
        self._feeder = self.context.Process(target=methods.feed, args=(far_go, far, cells.maker), daemon=True)
        self._feeder.start()

    def make_ready(self, kind, count):
        """Have the values of a kind made on both sides, before the time counts."""
        if self._feeder is None:
            self.start_feeder()
        self.go.send(("make", kind, count))
        assert self.go.recv() == "ready"
        self._values = kind, [cells.maker(kind)(number) for number in range(count)]

    def values(self, kind, count):
        """The values of a kind that are ready."""
        assert self._values[0] == kind
        return self._values[1][:count]

    def receiver(self, channel):
        """What receives the next value of a channel."""
        end = self._channels[channel]
        if channel == "joinable_queue":

            def receive():
                value = end.get()
                end.task_done()
                return value

            return receive
        return end.recv if channel.startswith("pipe") else end.get

    def end(self):
        """End what is open."""
        if "pool" in self.__dict__:
            self.pool.terminate()
            self.pool.join()
        if "executor" in self.__dict__:
            self.executor.shutdown()
        if "_manager" in self.__dict__:
            self._manager.shutdown()
        if self._feeder is not None:
            self._feeder.terminate()
            self._feeder.join()
