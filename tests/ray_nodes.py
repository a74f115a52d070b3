"""A Ray cluster of processes on this machine: a head without CPUs, and nodes of one CPU each, which share only their
disk."""

import atexit
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.dask_nodes import LIMIT_S, ROOT

# Ray listens on all addresses of the machine, so whoever calls it has to have a key, which all processes get from here.
# It looks at these variables when it is imported.
_descriptor, _key_file = tempfile.mkstemp(prefix="key")
with open(_descriptor, "w") as _file:
    _file.write(secrets.token_hex(32))
atexit.register(os.remove, _key_file)
os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=_key_file)


class Cluster:
    """A head and its nodes; this process is connected to it.

    Args:
        folder: where the processes run.
        nodes: how many there are.
    """

    engine, variable = "ray", "RAY_ADDRESS"

    def __init__(self, folder, nodes=2):
        self.folder = folder
        self.nodes = []
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
        self._temporary = Path(tempfile.mkdtemp(prefix="ray"))  # a short path: there are sockets in it
        options = ("--head", "--port", 0, "--include-dashboard", "false", "--num-cpus", 0)
        self._head = self._start(*options, "--temp-dir", self._temporary)
        try:
            self._begin(nodes)
        except BaseException:
            self.close()
            raise

    def _begin(self, nodes):
        import ray

        file = self._temporary / "ray_current_cluster"
        _wait(lambda: file.exists() and file.read_text(), self._head)
        self.address = file.read_text().strip()
        ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
        for count in range(1, nodes + 1):  # one after the other: two at once may be in each other's way
            node = self.add()
            _wait(lambda count=count: sum("CPU" in each["Resources"] for each in ray.nodes()) == count, node)

    def add(self):
        """Start a node; does not wait for it."""
        self.nodes.append(self._start("--address", self.address, "--num-cpus", 1))
        return self.nodes[-1]

    def _start(self, *options):
        common = ("--block", "--node-ip-address", "127.0.0.1", "--object-store-memory", 300_000_000)
        ports = ("--min-worker-port", 0, "--max-worker-port", 0)  # several nodes on one machine
        return subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", *map(str, (*options, *common, *ports))],
            cwd=self.folder,
            env=self.environment,
            stdout=(self.folder / "ray.log").open("ab"),
            stderr=subprocess.STDOUT,
        )

    def workers_of(self, node):
        """Return the processes that actors on a node have started."""
        of_ray = _of_ray(node)
        return [process.pid for process in _descendants(node) if process.pid not in of_ray]

    def lose(self, node):
        """Kill what Ray has of a node."""
        import psutil

        for pid in _of_ray(node):
            try:
                psutil.Process(pid).kill()
            except psutil.NoSuchProcess:  # with its parent
                pass
        node.wait()

    def leave(self):
        """Let go of the cluster, which has the same effect as its end."""
        import ray

        ray.shutdown()

    def close(self):
        """End all of it."""
        import psutil
        import ray

        ray.shutdown()
        processes = [process for node in (*self.nodes, self._head) for process in _descendants(node)]
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        for node in (*self.nodes, self._head):
            node.kill()
            node.wait(LIMIT_S)
        psutil.wait_procs(processes, LIMIT_S)
        shutil.rmtree(self._temporary, ignore_errors=True)


def _wait(is_true, process):
    """Wait until something is true that a process is to bring about."""
    until = time.monotonic() + LIMIT_S
    while not is_true():
        assert time.monotonic() < until and process.poll() is None, "a node of Ray does not start"
        time.sleep(0.05)


def _descendants(node):
    import psutil

    try:
        return psutil.Process(node.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _of_ray(node):
    """Return the processes of Ray itself: the command, what it has started, and what the raylet has."""
    import psutil

    root = psutil.Process(node.pid)
    daemons = root.children()
    raylet = next(daemon for daemon in daemons if daemon.name() == "raylet")
    return [one.pid for one in (root, *daemons, *raylet.children())]
