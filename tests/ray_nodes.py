"""A Ray cluster of processes on this machine: a head without CPUs, and nodes of one CPU each, which share only their
disk."""

import atexit
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from tests.cluster_nodes import LIMIT_S, Processes, wait_until

# Ray listens on all addresses of the machine, so whoever calls it has to have a key, which all processes get from here.
# It looks at these variables when it is imported.
_descriptor, _key_file = tempfile.mkstemp(prefix="key")
with open(_descriptor, "w") as _file:
    _file.write(secrets.token_hex(32))
atexit.register(os.remove, _key_file)
os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=_key_file)


class Cluster(Processes):
    """A head and its nodes."""

    engine, variable = "ray", "RAY_ADDRESS"
    _head = None

    def begin(self, nodes):
        """Start all of it, and wait for that."""
        import ray

        self._temporary = Path(tempfile.mkdtemp(prefix="ray"))  # a short path: there are sockets in it
        options = ("--head", "--port", 0, "--include-dashboard", "false", "--num-cpus", 0)
        self._head = self._start(*options, "--temp-dir", self._temporary)
        file = self._temporary / "ray_current_cluster"
        wait_until(lambda: file.exists() and file.read_text(), self._head)
        self.address = file.read_text().strip()
        ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
        for count in range(1, nodes + 1):  # one after the other: two at once may be in each other's way
            node = self.add()
            wait_until(lambda count=count: sum("CPU" in each["Resources"] for each in ray.nodes()) == count, node)

    def add(self):
        """Start a node; does not wait for it."""
        self.nodes.append(self._start("--address", self.address, "--num-cpus", 1))
        return self.nodes[-1]

    def _start(self, *options):
        common = ("--block", "--node-ip-address", "127.0.0.1", "--object-store-memory", 300_000_000)
        ports = ("--min-worker-port", 0, "--max-worker-port", 0)  # several nodes on one machine
        words = ("start", *options, *common, *ports)
        return self.run("ray.log", "ray.scripts.scripts", *words, RAY_USAGE_STATS_ENABLED="0")

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

    def freeze(self, node):
        """Have what Ray has of a node stand still."""
        import psutil

        for pid in _of_ray(node):
            psutil.Process(pid).suspend()

    def leave(self):
        """Let go of the cluster, which has the same effect as its end."""
        import ray

        ray.shutdown()

    def close(self):
        """End all of it."""
        import psutil
        import ray

        ray.shutdown()
        started = [*filter(None, (*self.nodes, self._head))]
        processes = [process for node in started for process in _descendants(node)]
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        for node in started:
            node.kill()
            node.wait(LIMIT_S)
        psutil.wait_procs(processes, LIMIT_S)
        shutil.rmtree(self._temporary, ignore_errors=True)


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
