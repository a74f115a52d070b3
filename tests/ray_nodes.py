"""A Ray cluster of processes on this machine: a head without CPUs, and nodes of one CPU each, which share only their
disk."""

import atexit
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path

from tests.cluster_nodes import LIMIT_S, Processes

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
    _head = _temporary = None
    address = ""

    def begin(self, nodes):
        """Start all of it, and wait for that."""
        import ray

        options = ("--head", "--port", 0, "--include-dashboard", "false", "--num-cpus", 0)
        until = time.monotonic() + 3 * LIMIT_S
        while not self.address:
            assert time.monotonic() < until, "the head does not start"
            self._remove()
            self._temporary = Path(tempfile.mkdtemp(prefix="ray"))  # a short path: there are sockets in it
            self._head = self._start(*options, "--temp-dir", self._temporary)
            self.address = self._address()
        ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
        for _ in range(nodes):  # one after the other: two at once may be in each other's way
            self.add()

    def _address(self):
        """Return the address of the head once it has started, an empty text where it has given that up: it does so
        when it has taken half a minute, as it may on a busy machine."""
        file = self._temporary / "ray_current_cluster"
        while self._head.poll() is None:
            if file.exists() and (address := file.read_text().strip()):
                return address
            time.sleep(0.1)
        return ""

    def _remove(self):
        """End what is left of a head."""
        import psutil

        if self._temporary is None:
            return
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self._temporary) in word for word in process.info["cmdline"] or ()):
                process.kill()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def add(self):
        """Start a node, again where it gives that up as a head does, and wait for it."""
        import ray

        before, node, until = {each["NodeID"] for each in ray.nodes()}, None, time.monotonic() + 3 * LIMIT_S
        while {each["NodeID"] for each in ray.nodes()} <= before:
            assert time.monotonic() < until, "a node does not start"
            if node is None or node.poll() is not None:
                self.nodes = [other for other in self.nodes if other is not node]
                self.nodes.append(node := self._start("--address", self.address, "--num-cpus", 1))
            time.sleep(0.1)
        return node

    def _start(self, *options):
        common = ("--block", "--node-ip-address", "127.0.0.1", "--object-store-memory", 300_000_000)
        ports = ("--min-worker-port", 0, "--max-worker-port", 0)  # several nodes on one machine
        words = ("start", *options, *common, *ports)
        # Ray has its workers wait for all else that a machine does, for as long as it takes.
        patience = {"RAY_gcs_server_port_wait_time_s": str(LIMIT_S), "RAY_worker_niceness": "0"}
        return self.run("ray.log", "ray.scripts.scripts", *words, RAY_USAGE_STATS_ENABLED="0", **patience)

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
        self._remove()


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
