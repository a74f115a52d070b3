"""Dask carries: each worker process of its cluster has an agent, which is an actor."""

import asyncio
import os
import threading
import warnings
import weakref

import distributed
from distributed.comm.addressing import get_address_host_port
from distributed.protocol.serialize import dask_deserialize, dask_serialize
from distributed.utils import get_ip

from procession import util
from procession._cluster.children import agent_for
from procession._cluster.contexts import ClusterContext
from procession._cluster.crew import Nodes as _Nodes
from procession._cluster.engine import Engine, Place
from procession._cluster.mailbox import COLLECT_S
from procession._cluster.packing import Message

__all__ = ["CONTEXT", "Nodes"]

ADDRESS = "DASK_SCHEDULER_ADDRESS"
START_S = 60.0
STOP_S = 5.0
CLOSE_S = 2.0


class Host:
    """The actor: an agent, which ends with it."""

    def __init__(self, terms):
        self._agent = agent_for(terms)

    def __del__(self):
        agent = getattr(self, "_agent", None)
        if agent is not None:
            agent.stop()

    async def post(self, number, message):
        """See `Agent.post`."""
        self._agent.post(number, message)

    async def collect(self, acked):
        """See `Agent.collect`; other calls go on meanwhile."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        until = loop.time() + COLLECT_S
        while (found := self._agent.take(acked)) is None and (left := until - loop.time()) > 0:
            news.clear()
            self._agent.call_when_news(lambda: _set_from_outside(loop, news))
            try:
                await asyncio.wait_for(news.wait(), left)
            except TimeoutError:
                pass
        return found

    async def stop(self):
        """End the agent, and wait for that a little."""
        self._agent.stop()
        await asyncio.get_running_loop().run_in_executor(None, self._agent.await_end, STOP_S)


def _set_from_outside(loop, event):
    try:
        loop.call_soon_threadsafe(event.set)
    except RuntimeError:  # the loop is closed
        pass


@dask_serialize.register(Message)
def _serialize(message):
    return {}, [message.data, *(memoryview(part).cast("B") for part in message.parts)]


@dask_deserialize.register(Message)
def _deserialize(header, frames):
    return Message(frames[0], frames[1:])


class _Link:
    """The connection of all pools that work for one client of the program.

    It is a client of its own: calls go straight to the nodes, and what it has made is gone with it.
    """

    def __init__(self, client):
        self.client = distributed.Client(
            client.scheduler.address,
            security=client.security,
            loop=client.loop,
            direct_to_workers=True,
            set_as_default=False,
            name="procession",
        )
        self.watchers: list = []
        self._of = weakref.ref(client)
        self.client.subscribe_topic("all", self._heed)

    def serves(self, client):
        """Return whether this is the connection for a client, and there."""
        return self._of() is client and self.client.status == "running"

    def _heed(self, event):
        told = event[1]
        if not isinstance(told, dict) or told.get("action") not in ("add-worker", "remove-worker"):
            return
        for came, gone in list(self.watchers):
            if told["action"] == "add-worker":
                came()
            else:
                gone(told.get("worker"))

    def close(self):
        """Close the client; the program ends, or its own client is another one."""
        try:
            self.client.close(timeout=CLOSE_S)
        except Exception:  # it is closed already, or its loop is
            pass


class Dask(Engine):
    """The cluster of the program's client."""

    name = "Dask"

    def __init__(self, client):
        self._link = _link_to(client)
        self._client = self._link.client
        self._watchers: list = []

    def places(self):
        """Return the worker processes of the cluster."""
        # Not `scheduler_info`: what the client asks for now and then, which has no workers, may be what that returns.
        workers = self._client.sync(self._client.scheduler.identity, n_workers=-1)["workers"]
        return [Place(address, worker["nthreads"]) for address, worker in workers.items()]

    def host(self):
        """Return the address from which this program reaches the scheduler."""
        host, port = get_address_host_port(self._client.scheduler.address)
        return get_ip(host, port)

    def start(self, place, terms):
        """Make an actor on a worker process."""
        future = self._client.submit(
            Host, terms, actor=True, workers=[place.key], allow_other_workers=False, pure=False
        )
        try:
            with self._client.as_current():  # to which the actor is bound as it arrives
                return future, future.result(timeout=START_S)
        except BaseException:
            future.cancel()
            raise

    def post(self, handle, number, message, done):
        """Call the actor."""
        self._call(handle[1], "post", (number, message), lambda _, error: done(error))

    def collect(self, handle, acked, done):
        """Call the actor."""
        self._call(handle[1], "collect", (acked,), done)

    def _call(self, actor, method, arguments, done):
        async def call():
            return await getattr(actor, method)(*arguments)

        def tell(future):
            try:
                value = future.result()
            except BaseException as error:
                done(None, error)
            else:
                done(value, None)

        try:
            future = asyncio.run_coroutine_threadsafe(call(), self._client.loop.asyncio_loop)
        except RuntimeError as error:  # the loop is closed
            done(None, error)
            return
        future.add_done_callback(tell)

    def drop(self, handle):
        """End the agent, and let go of the actor."""
        future, actor = handle
        over = threading.Event()
        self._call(actor, "stop", (), lambda _, error: over.set())
        over.wait(STOP_S)
        try:
            future.release()
        except Exception:  # the client is closed
            pass

    def watch(self, came, gone):
        """Be told of worker processes that come and go."""
        self._watchers.append((came, gone))
        self._link.watchers.append((came, gone))

    def is_over(self):
        """Return whether the scheduler is gone."""
        return self._client.status in ("closed", "closing", "connecting")

    def close(self):
        """Be told nothing any more."""
        for watcher in self._watchers:
            self._link.watchers.remove(watcher)
        self._watchers.clear()


_links: list = []
_lock = threading.Lock()


def _link_to(client):
    """Return the connection for a client of the program."""
    with _lock:
        for link in list(_links):
            if link.serves(client):
                return link
            if link.client.status == "closed":
                _links.remove(link)
        if not _links:
            util.Finalize(None, _close_links, exitpriority=5)  # after the pools
        link = _Link(client)
        _links.append(link)
        return link


def _close_links():
    with _lock:
        links, _links[:] = list(_links), []
    for link in links:
        link.close()


_own = None  # the cluster on this machine that a program without one has made


def _client():
    """Return the client of this program; one of a cluster on this machine where there is none."""
    global _own
    try:
        return distributed.default_client()
    except ValueError:
        pass
    address = os.environ.get(ADDRESS)
    if address:
        return distributed.Client(address)
    if _own is None or _own.status != "running":
        text = f"no Dask client and no {ADDRESS}: a cluster on this machine alone is started"
        warnings.warn(text, RuntimeWarning, stacklevel=5)
        _own = distributed.Client(dashboard_address=None, host="127.0.0.1")
    return _own


class Nodes(_Nodes):
    """Workers on the nodes of a Dask cluster."""

    whole = "a pool on Dask"

    def make_engine(self):
        """Return the engine, connected."""
        return Dask(_client())


class DaskContext(ClusterContext):
    """The context whose pools work on a Dask cluster."""

    _name = "dask"
    crew = "dask"

    def _engine(self):
        return Dask(_client())


CONTEXT = DaskContext()
