"""The ranks of an MPI job: the first runs the program, the others are nodes and serve it."""

import os
import signal
import socket
import threading
from itertools import count

from mpi4py import MPI

from procession import util
from procession._cluster.children import agent_for
from procession._cluster.events import Events
from procession._cluster.mpi_wire import Wire
from procession._cluster.packing import Raised
from procession._pool import cpus

__all__ = ["Link", "join", "link", "shared_out"]

STOP_S = 5.0
# What launchers leave for a rank: a worker that had it and used MPI would be taken for that rank.
_OF_RANKS = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "MPI_LOCAL", "HYDI_", "HYDRA_", "I_MPI_")
_END = ("end",)

_link: "Link | None" = None


def join(prepare=None):
    """Become a rank of the job that this process was started in; all of its ranks have to.

    Args:
        prepare: is called in a node before it serves.

    Returns:
        Whether this is the program's; the others return at its end.

    Raises:
        RuntimeError: the MPI library has no calls from several threads.
    """
    if MPI.Query_thread() < MPI.THREAD_SERIALIZED:
        raise RuntimeError("this MPI library was initialised without threads (MPI_THREAD_SERIALIZED at least)")
    comm = MPI.COMM_WORLD.Dup()
    near = comm.Split_type(MPI.COMM_TYPE_SHARED)
    own = near.bcast(comm.rank), MPI.Get_processor_name(), frozenset(os.sched_getaffinity(0)), cpus.usable()
    near.Free()
    told = comm.gather(own)
    if comm.rank:
        if prepare is not None:
            prepare()
        _serve(comm)
        return False
    global _link
    _link = Link(comm, told)
    return True


def link():
    """Return the connection of this program to its nodes.

    Raises:
        RuntimeError: it has several ranks, and they do not serve.
    """
    global _link
    if _link is None or _link.is_over:
        if MPI.COMM_WORLD.size > 1 or _link is not None and _link.size > 1:
            raise RuntimeError(
                "the ranks of this job do not serve the program, which all of them run: start it by "
                "mpiexec -n N python -m procession.mpi program.py"
            )
        join()
    assert _link is not None
    return _link


def shared_out(told):
    """Return which ranks take work, with a name and a number of CPUs each.

    The program's rank does where no other is on its machine. Ranks that may run on the same CPUs share them.

    Args:
        told: of each rank the first one on its machine, the machine's name, its CPUs and how many it may keep busy.
    """
    found = []
    for rank, (machine, name, own, usable) in enumerate(told):
        near = [other for other, (place, *_) in enumerate(told) if place == machine and (other or rank == 0)]
        if rank == 0 and len(near) > 1:
            continue
        beside = sum(1 for other in near if told[other][2] & own)
        found.append((rank, f"{name}:{rank}", max(1, usable // beside)))
    return found


class Servant:
    """Has agents, on behalf of a program.

    Args:
        answer: is called with the number of a call, what was found (None or a number with a message) and an error
            or None.
    """

    def __init__(self, answer):
        self._answer = answer
        self._agents: dict = {}  # those that have started
        self._calls: dict = {}  # of those that were asked for: queues of calls that wait

    def heed(self, number, name, method, argument, message):
        """Carry out a call, which does not wait."""
        if method == "start":
            self._calls[name] = Events()
            thread = threading.Thread(target=self._host, args=(number, name, message), name="MpiAgent", daemon=True)
            thread.start()
            return
        agent = self._agents.get(name)
        if method == "post":
            if agent is not None:
                agent.post(argument, message)
        elif name in self._calls:
            if method == "stop" and agent is not None:
                agent.stop()
            self._calls[name].put((number, method, argument))
        else:
            self._answer(number, None, RuntimeError("there is no such agent any more"))

    def _host(self, number, name, message):
        """Make an agent, and answer whoever asks for what it has to tell."""
        try:
            self._agents[name] = agent = agent_for(*message.read())
        except BaseException as error:
            del self._calls[name]
            self._answer(number, None, error)
            return
        self._answer(number, None, None)
        calls = self._calls[name]
        while True:
            number, method, argument = calls.get()
            found = failed = None
            try:
                if method == "collect":
                    found = agent.collect(argument)
                else:
                    agent.stop()
                    agent.await_end(STOP_S)
            except BaseException as error:
                failed = error
            if method == "stop":
                self._agents.pop(name, None)
                self._calls.pop(name, None)
            self._answer(number, found, failed)
            if method == "stop":
                return

    def end(self):
        """End all agents; does not wait for them."""
        for agent in list(self._agents.values()):
            agent.stop()
        for agent in list(self._agents.values()):
            agent.await_end(STOP_S)


def _serve(comm):
    """Serve the program until it ends."""
    signal.signal(signal.SIGINT, lambda *_: None)  # is the program's; not ignored, as workers would inherit that
    for name in [name for name in os.environ if name.startswith(_OF_RANKS)]:
        del os.environ[name]
    over: list = []

    def answer(number, found, error):
        told, message = found or (None, None)
        wire.send(0, (number, told, None if error is None else Raised.by(error)), message)

    def heed(rank, head, message):
        if head == _END:
            over.append(True)
        else:
            number, name, method, argument = head
            servant.heed(number, name, method, argument, message)

    def lose(rank, error):
        over.append(True)

    servant = Servant(answer)
    wire = Wire(comm, heed, lose, lambda: True)
    wire.run(lambda: over)
    servant.end()


class Link:
    """The program's connection to its nodes; the wire's thread begins with the first call.

    Args:
        comm: the communicator.
        told: what each rank has told: see `shared_out`.

    Attributes:
        size: how many ranks there are.
        is_over: whether it is closed.
        is_known_alone: whether the program was told that there are no further ranks.
        watchers: are called with a rank that is lost.
    """

    def __init__(self, comm, told):
        self.size = comm.size
        self.is_over = False
        self.is_known_alone = False
        self.watchers: list = []
        self._places = shared_out(told)
        self._is_one_machine = len({machine for machine, *_ in told}) == 1
        self._lost: set = set()
        self._calls: dict = {}
        self._numbers = count()
        self._servant = Servant(self._came)  # for a node that is the program's own
        self._wire = Wire(comm, self._heed, self._lose, lambda: bool(self._calls))
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        util.Finalize(None, self.close, exitpriority=5)  # after the pools

    def host(self):
        """Return the address of this machine for the nodes.

        Raises:
            OSError: its name stands for itself alone.
        """
        if self._is_one_machine:
            return "127.0.0.1"
        address = socket.gethostbyname(socket.gethostname())
        if address.startswith("127."):
            raise OSError(
                f"{socket.gethostname()}, the name of this machine, stands for {address}, by which no other reaches "
                "it: what is shared needs a name that does, in /etc/hosts"
            )
        return address

    def places(self):
        """Return the ranks that take work, with a name and a number of CPUs each, without those that are lost."""
        return [place for place in self._places if place[0] not in self._lost]

    def call(self, rank, agent, method, argument=None, message=None, done=None):
        """Have a method of a `Servant` called; then `done(found, error)` is called, for `post` once it is sent."""
        number = next(self._numbers)
        if self.is_over:
            done(None, ConnectionError("the program has let go of its nodes"))
            return
        if method != "post":
            self._calls[number] = rank, agent, done
        if rank == 0:
            self._servant.heed(number, agent, method, argument, message)
            if method == "post":
                done(None, None)
            return
        self._begin()
        sent = None if method != "post" else lambda: done(None, None)
        self._wire.send(rank, (number, agent, method, argument), message, sent)

    def forget(self, agent):
        """Wait for no answer of an agent any more."""
        for number, (_, whose, _) in list(self._calls.items()):
            if whose == agent:
                self._calls.pop(number, None)

    def miss(self, rank):
        """Take a rank that does not answer for lost, until it does."""
        self._lost.add(rank)

    def _begin(self):
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._carry, name="MpiWire", daemon=True)
                self._thread.start()

    def _carry(self):
        self._wire.run(lambda: self.is_over)

    def _heed(self, rank, head, message):
        number, told, raised = head
        self._lost.discard(rank)
        found = None if message is None else (told, message)
        self._came(number, found, None if raised is None else raised.error())

    def _came(self, number, found, error):
        _, _, done = self._calls.pop(number, (None, None, None))
        if done is not None:
            done(found, error)

    def _lose(self, rank, error):
        """MPI says that a rank is lost."""
        self.miss(rank)
        for number, (whose, _, _) in list(self._calls.items()):
            if whose == rank:
                self._came(number, None, ConnectionError(f"MPI has lost rank {rank}: {error}"))
        for watcher in list(self.watchers):
            watcher(rank)

    def close(self):
        """Let the nodes go."""
        with self._lock:
            if self.is_over:
                return
            self._servant.end()
            for rank in range(1, self.size):  # those that seem lost, too: they may only have stood still
                self._wire.send(rank, _END)
            self.is_over = True
            self._wire.wake()
            thread = self._thread
        if thread is None:
            self._carry()
        else:
            thread.join(STOP_S)
