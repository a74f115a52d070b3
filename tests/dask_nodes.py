"""A Dask cluster of processes on this machine: a scheduler, and nodes of one CPU each, which share only their disk."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIMIT_S = 60


class Cluster:
    """A scheduler and its nodes; `client` is that of this process.

    Args:
        folder: where the processes run.
        nodes: how many there are.
    """

    engine, variable = "dask", "DASK_SCHEDULER_ADDRESS"

    def __init__(self, folder, nodes=2):
        import distributed

        self.folder = folder
        self.nodes = []
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        file = folder / "scheduler.json"
        # Both end by themselves when this process has gone without `close`.
        options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--idle-timeout", 600)
        self.scheduler = self._start("scheduler", *options, "--scheduler-file", file)
        until = time.monotonic() + LIMIT_S
        while not file.exists():
            assert time.monotonic() < until and self.scheduler.poll() is None, "no scheduler"
            time.sleep(0.02)
        self._file = file
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
        return subprocess.Popen(
            [sys.executable, "-m", "dask", what, *map(str, options)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / f"{what}.log").open("ab"),
        )

    def workers_of(self, node):
        """Return the processes that a node has started."""
        import psutil

        return [process.pid for process in psutil.Process(node.pid).children(recursive=True)]

    def lose(self, node):
        """Kill a node."""
        node.kill()
        node.wait()

    def leave(self):
        """Kill the scheduler."""
        self.scheduler.kill()

    def close(self):
        """End all of it."""
        self.client.close()
        for process in (*self.nodes, self.scheduler):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(LIMIT_S)
