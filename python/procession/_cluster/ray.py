"""Ray carries: each node of its cluster has an agent, which is an actor that takes the CPUs of its workers."""

import os
import pickle
import threading
import warnings
import weakref
from functools import partial

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from procession._cluster.children import agent_for
from procession._cluster.contexts import ClusterContext
from procession._cluster.crew import Nodes as _Nodes
from procession._cluster.engine import Engine, Place
from procession._cluster.packing import Message

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


__all__ = ["CONTEXT", "Nodes"]

ADDRESS = "RAY_ADDRESS"
START_S = 40.0  # less than `staff.START_S`: the text here says more
STOP_S = 5.0
LOOK_S = 1.0
# Calls of an agent that run beside each other: the posts that are on their way, `collect`, `stop`.
CALLS = 6
THREADS = "OMP_NUM_THREADS"
# What several nodes may be sent, such as the arrays of a function, is put once into Ray's store from so many bytes on.
PUT_BYTES = 1 << 20


class Host:
    """The actor: an agent, which ends with its process.

    None of its methods is `async`: then all of them, and `__init__`, would run away from the main thread.
    """

    def __init__(self, terms):
        # Ray sets these variables for its own tasks; workers would take them for the wish of their user.
        for name in (THREADS, *(terms.get("options", {}).get("resource_env") or {}).values()):
            _restore(name)
        self._agent = agent_for(terms)

    def wait_until_ready(self):
        """Return once `__init__` has."""

    def post(self, number, *packed):
        """See `Agent.post`."""
        self._agent.post(number, _unpacked(packed))

    def collect(self, acked):
        """See `Agent.collect`."""
        found = self._agent.collect(acked)
        return None if found is None else (found[0], *_packed(found[1]))

    def stop(self):
        """End the agent, and wait for that a little."""
        self._agent.stop()
        self._agent.await_end(STOP_S)


def _restore(name):
    """Have a variable be as it was when this process was started."""
    with open("/proc/self/environ", "rb") as file:
        rows = file.read().split(b"\0")
    given = [row.partition(b"=")[2] for row in rows if row.startswith(os.fsencode(name) + b"=")]
    if given:
        os.environ[name] = os.fsdecode(given[0])
    else:
        os.environ.pop(name, None)


def _packed(message):
    """Return what Ray carries of a message: buffers go to its store, and are not copied into a pickle."""
    return message.data, *map(pickle.PickleBuffer, message.parts)


def _unpacked(packed):
    """Return the message again; its buffers are those of Ray's store, which nobody may write to."""
    data, *parts = packed
    return Message(data, [memoryview(part) for part in parts])


_host: "Any" = ray.remote(Host)


class Ray(Engine):
    """The cluster that this program is connected to."""

    name = "Ray"

    def __init__(self):
        _connect()
        self._job = _job()
        self._put: Any = weakref.WeakKeyDictionary()  # what is in Ray's store of the buffers that are here
        self._closed = threading.Event()

    def places(self):
        """Return the nodes that have CPUs."""
        if self.is_over():  # `ray.nodes` would connect to another cluster
            return []
        found = [(node["NodeID"], int(node["Resources"].get("CPU", 0))) for node in ray.nodes() if node["Alive"]]
        return [Place(key, cpus) for key, cpus in found if cpus]

    def host(self):
        """Return the address of the node that this program is connected to."""
        own = ray.get_runtime_context().get_node_id()
        return next(node["NodeManagerAddress"] for node in ray.nodes() if node["NodeID"] == own)

    def start(self, place, terms):
        """Make an actor on a node, which takes a CPU for each worker as far as there are any."""
        self._check()
        wanted = min(place.cpus, terms["count"])
        actor = _host.options(
            num_cpus=wanted,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=CALLS,
            scheduling_strategy=NodeAffinitySchedulingStrategy(place.key, soft=False),
        ).remote(terms)
        try:
            ready = actor.wait_until_ready.remote()
            if not ray.wait([ready], timeout=START_S)[0]:
                free = ray.available_resources().get("CPU", 0)
                raise TimeoutError(
                    f"node {place.key} has not given {wanted} of its {place.cpus} CPUs to a pool in {START_S:g} "
                    f"seconds; {free:g} are free in the whole cluster: other pools, actors and tasks have the rest, "
                    "or the node is too busy to start a process in that time"
                )
            ray.get(ready)
        except BaseException:
            ray.kill(actor)
            raise
        return actor

    def post(self, handle, number, message, done):
        """Call the actor."""

        def call():
            parts = map(self._stored, message.parts)
            return handle.post.remote(number, message.data, *parts)  # Ray has what is in its store at the node, too

        self._call(call, lambda _, error: done(error))

    def _stored(self, part):
        """Return what Ray is to carry of a buffer."""
        if type(part) is not pickle.PickleBuffer or memoryview(part).nbytes < PUT_BYTES:
            return pickle.PickleBuffer(part)
        reference = self._put.get(part)
        if reference is None:
            reference = self._put[part] = ray.put(part)
        return reference

    def collect(self, handle, acked, done):
        """Call the actor."""

        def unpack(found, error):
            done(found and (found[0], _unpacked(found[1:])), error)

        self._call(lambda: handle.collect.remote(acked), unpack)

    def _call(self, call, done):
        try:
            self._check()
            future = call().future()
        except Exception as error:
            done(None, error)
            return
        future.add_done_callback(partial(_tell, done))

    def _check(self):
        if self.is_over():
            raise ConnectionError("the program is not connected to its Ray cluster any more")

    def drop(self, handle):
        """End the agent, and the actor."""
        if self.is_over():
            return
        try:
            ray.wait([handle.stop.remote()], timeout=STOP_S)
            ray.kill(handle)
        except Exception:  # it, or the cluster, is gone
            pass

    def watch(self, came, gone):
        """Look every moment which nodes there are: Ray tells nobody, and calls are never answered after a shutdown."""
        threading.Thread(target=self._watch, args=(came, gone), name="ClusterWatch", daemon=True).start()

    def _watch(self, came, gone):
        known: set = set()
        while not self._closed.wait(LOOK_S):
            try:
                there = {place.key for place in self.places()}
            except Exception:  # the head does not answer, or the program lets go just now
                continue
            for key in known - there:
                gone(key)
            if there - known:
                came()
            known = there

    def is_over(self):
        """Return whether the program has let go of the cluster."""
        return not ray.is_initialized() or _job() != self._job

    def close(self):
        """Look no more."""
        self._closed.set()


def _tell(done, future):
    try:
        found = future.result()
    except BaseException as error:
        done(None, error)
    else:
        done(found, None)


def _job():
    """Return what tells this connection of the program from others."""
    return ray.get_runtime_context().get_job_id()


def _connect():
    """Connect the program, if it is not; to a cluster on this machine where none is named.

    Ray by itself would take any cluster that has left its address on this machine.
    """
    if ray.is_initialized():
        return
    if os.environ.get(ADDRESS):
        ray.init(address=os.environ[ADDRESS])
        return
    text = f"Ray is not initialised, and no {ADDRESS}: a cluster on this machine alone is started"
    warnings.warn(text, RuntimeWarning, stacklevel=5)
    ray.init(address="local", include_dashboard=False)


class Nodes(_Nodes):
    """Workers on the nodes of a Ray cluster."""

    whole = "a pool on Ray"

    def make_engine(self):
        """Return the engine, connected."""
        return Ray()


class RayContext(ClusterContext):
    """The context whose pools work on a Ray cluster."""

    _name = "ray"
    crew = "ray"

    def _engine(self):
        return Ray()


CONTEXT = RayContext()
