"""A Dask cluster of processes on this machine: a scheduler, and nodes of one CPU each, which share only their disk."""

import signal

from tests.cluster_nodes import LIMIT_S, Processes, wait_until


class Cluster(Processes):
    """A scheduler and its nodes; `client` is that of this process."""

    engine, variable = "dask", "DASK_SCHEDULER_ADDRESS"
    scheduler = client = None

    def begin(self, nodes):
        """Start all of it, and wait for that."""
        import distributed

        self._file = file = self.folder / "scheduler.json"
        # Both end by themselves when this process has gone without `close`.
        options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--idle-timeout", 600)
        self.scheduler = self._start("scheduler", *options, "--scheduler-file", file)
        wait_until(file.exists, self.scheduler)
        for _ in range(nodes):
            self.add()
        self.client = distributed.Client(scheduler_file=str(file))
        self.client.wait_for_workers(nodes, timeout=LIMIT_S)
        self.address = self.client.scheduler.address

    def add(self):
        """Start a node."""
        options = ("--host", "127.0.0.1", "--nthreads", 1, "--no-dashboard", "--no-nanny", "--memory-limit", 0)
        self.nodes.append(self._start("worker", "--scheduler-file", self._file, "--death-timeout", 60, *options))
        return self.nodes[-1]

    def _start(self, what, *options):
        return self.run(f"{what}.log", "dask", what, *options)

    def workers_of(self, node):
        """Return the processes that a node has started."""
        import psutil

        return [process.pid for process in psutil.Process(node.pid).children(recursive=True)]

    def lose(self, node):
        """Kill a node."""
        node.kill()
        node.wait()

    def freeze(self, node):
        """Have a node stand still."""
        node.send_signal(signal.SIGSTOP)

    def leave(self):
        """Kill the scheduler."""
        self.scheduler.kill()

    def close(self):
        """End all of it."""
        if self.client is not None:
            self.client.close()
        for process in filter(None, (*self.nodes, self.scheduler)):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(LIMIT_S)
