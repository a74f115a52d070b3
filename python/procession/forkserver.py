"""The parent's side of the forkserver: boots it, asks it for children, boots another when it died."""

import _signal  # without the enums of `signal`
import errno
import os
import struct
import sys
import time
from _thread import RLock  # without `threading`

from procession import process, util
from procession._objects.rights import pair, receive, send
from procession._procession import (
    Statuses,
    begin_life,
    check_file_size,
    collect_status,
    end_life,
    has_pidfds,
    open_pidfd,
    send_signal,
    wait_readable,
)

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


__all__ = [
    "ensure_running", "get_inherited_fds", "connect_to_new_process", "set_forkserver_preload",
]  # fmt: skip

MOST_DESCRIPTORS = 200  # in one message; the kernel's limit is 253
# How many descriptors are still to come, this message's included, whether 0, 1 and 2 are among them, and the signals
# that the child blocks.
REQUEST = struct.Struct("I???Q")
# What the server is asked for: "fork", and the entry in which it tells how that child ended.
FORK = struct.Struct("4sI")
_STOP_SECONDS = 5.0
_END_SECONDS = 1.0
UNTOLD = -(1 << 15)  # in the place of a status that somebody else has taken from the server
_LONGEST_ERROR = 4096
_LOOK_SECONDS = 0.05  # how often who waits for a status looks whether the server lives
GO_ON = b"go on"  # what a server that was prepared waits for
# What a server that is prepared knows of the program while it imports.
_EARLY = ("sys_path", "sys_argv", "orig_dir", "dir", "start_method", "replace_standard")

inherited: list[int] = []  # in a child: the descriptors that it got through the forkserver
preloaded: frozenset = frozenset()  # in the server and its children: the modules that were imported for all children


class ServerDied(Exception):
    """The forkserver ended before it had started the child."""


class ForkServer:
    """The forkserver of this process: its own, or the one that this process was forked from."""

    def __init__(self):
        self._lock = RLock()
        self._preload_modules = ["__main__"]
        self._on_error = "ignore"
        self._statuses = None  # the page that has room for another entry
        self.boots = 0  # changes with the server
        self._forget()
        os.register_at_fork(after_in_child=self._after_fork)

    def _forget(self):
        self.first_number = 0  # of the descriptors that children inherit; none before the server serves
        self._forkserver_pid: Any = None
        self._sentinel: Any = None  # a pidfd of the server
        self._owner = None  # the process that must reap the server
        self.environment = None  # of the server
        self._memory: int | None = None  # of a server that was prepared: the file from which it will learn the rest
        self._control: Any = None  # the socket that takes requests: there is a server as long as there is one

    def _after_fork(self):
        # The thread that held the lock is not here. The server itself serves this process too, which has a page of its
        # own; not one that the parent has yet to tell what it needs, or to hear of, or was letting go of.
        self._lock = RLock()
        self._statuses = None
        if self._control is not None and not self.first_number:
            self._let_go()

    def inherit(self, pid: int, sentinel: int, control: object, first_number: int, environment: object) -> None:
        """Use the server that this process was forked from."""
        self._forget()
        self.boots += 1
        self._forkserver_pid = pid
        self._sentinel = sentinel
        self._control = control
        self.first_number = first_number
        self.environment = environment

    def set_forkserver_preload(self, modules_names: list[str], *, on_error: str = "ignore") -> None:
        """Set the modules that a server, when it boots, imports before it forks, and what an error there does."""
        if not isinstance(modules_names, list | tuple) or not all(type(name) is str for name in modules_names):
            raise TypeError("module_names must be a list of strings")
        if on_error not in ("ignore", "warn", "fail"):
            raise ValueError(f"on_error must be 'ignore', 'warn' or 'fail', not {on_error!r}")
        self._preload_modules = list(modules_names)
        self._on_error = on_error

    def is_running(self) -> bool:
        """Return whether there is a server that has not ended."""
        return self._control is not None and not self.has_ended(0)

    def has_ended(self, timeout: float | None) -> bool:
        """Wait at most `timeout` seconds for the end of the server; return whether it came."""
        return bool(wait_readable([self._sentinel], timeout))

    def ensure_running(self) -> None:
        """Boot a server unless one runs.

        Raises:
            OSError: the system refuses what it needs.
            EOFError: it ended while it booted.
        """
        with self._lock:
            if not self.is_running():
                self._discard()
                self._boot(self._program())
            elif self._memory is None:
                return
            try:
                if self._memory is not None:
                    self._tell_program(self._memory)
                self.first_number = self._booted()
            except BaseException:
                self._stop()
                raise
            util.info("the forkserver is process %s", self._forkserver_pid)

    def prepare(self) -> None:
        """Have a server begin, unless one runs, and import what the main module imports first; do not wait for it."""
        with self._lock:
            if self.is_running():
                return
            self._discard()
            program = self._program()
            early = {name: program[name] for name in _EARLY if name in program}
            main = sys.modules.get("__main__")
            path = getattr(main, "__file__", None)
            if path is not None and (path := os.path.abspath(path)).endswith(".py"):
                early["imports"] = path, getattr(main, "__package__", None) or ""
            self._boot(early, keep_memory=True)

    def _program(self):
        """Return what a server needs to know of the program."""
        from procession import spawn

        data = spawn.get_preparation_data("forkserver")
        # Keys reach children with their process objects, never the server.
        del data["authkey"]
        data["preload"], data["on_error"] = self._preload_modules, self._on_error
        return data

    def _tell_program(self, memory):
        """Tell a server that was prepared what it needs to know of the program, as it is now."""
        from _pickle import dumps  # without what `pickle` loads

        data = self._program()
        environment = dict(os.environ)
        if environment != self.environment:
            data["environment"] = self.environment = environment
        data["life"] = not has_pidfds()
        told, self._memory = memoryview(dumps(data)), None
        try:
            check_file_size(len(told))
            os.ftruncate(memory, 0)
            while told:
                told = told[os.pwrite(memory, told, os.fstat(memory).st_size) :]
        finally:
            os.close(memory)
        try:
            self._control.send(GO_ON)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended, which `_booted` will see

    def _boot(self, data, keep_memory=False):
        from _pickle import dumps  # without what `pickle` loads

        from procession._children import program

        parent = process.own_pidfd()
        life = None if has_pidfds() else begin_life()
        data["life"] = life is not None
        ours, theirs = pair()
        memory = pid = -1
        try:
            memory = program.file_of(dumps(data))
            numbers = [memory, parent, theirs.fileno(), ours.fileno(), *([] if life is None else life[1:])]
            environment = dict(os.environ)
            pid = program.start_interpreter(program.command_line("_forkserver_main"), numbers, program.TERMINATIONS)
            sentinel = open_pidfd(pid) if life is None else life[0]
        except BaseException:
            ours.close()
            if memory >= 0:
                os.close(memory)
            if life is not None:
                os.close(life[0])
            if pid >= 0:
                _end_unseen(pid)
            raise
        finally:
            theirs.close()
            if life is not None:
                end_life(life[1])
        # The socket first: what another thread forks from here on lets go of it, and of what is known by then.
        self._control, self._sentinel = ours, sentinel
        self._forkserver_pid, self._owner, self.environment = pid, os.getpid(), environment
        if keep_memory:
            self._memory = memory
        else:
            os.close(memory)

    def _booted(self):
        """Wait until the server has imported what it preloads; return the number it told."""
        # As long as the imports take: the end of the server, or Ctrl-C, ends the wait.
        while not (ready := wait_readable([self._control.fileno(), self._sentinel], 60)):
            util.debug("the forkserver is still importing")
        if 0 in ready:
            answer, _, text = self._control.recv(_LONGEST_ERROR).partition(b" ")
            if text:
                raise OSError(int(answer), f"the forkserver cannot serve: {text.decode(errors='replace')}")
            if answer:
                return int(answer)
        raise EOFError("the forkserver ended while it was starting: its error is on stderr")

    def entry(self) -> "Entry":
        """Return a new entry for the exit status of a child."""
        with self._lock:
            page = self._statuses
            number = None if page is None else page.take()
            if page is None or number is None:
                page = self._statuses = Statuses()
                number = page.take()
                assert number is not None, "a new page has no entry"
            return Entry(self, page, number)

    def start(self, memory: int, descriptors: list[int], mask: int, entry: "Entry") -> "Any":
        """Ask for a child.

        Args:
            memory: a descriptor of what the child unpickles.
            descriptors: what it inherits.
            mask: the signals that it blocks.
            entry: where the server tells how it ended.

        Returns:
            A socket on which the answer will come.

        Raises:
            ServerDied: the request could not be sent.
        """
        ours, theirs = pair()
        try:
            # The server's own standard streams are those of the time when it booted.
            streams = [number for number in (0, 1, 2) if is_open(number)]
            everything = [memory, process.own_pidfd(), *streams, *descriptors]
            for at in range(0, len(everything), MOST_DESCRIPTORS):
                batch = everything[at : at + MOST_DESCRIPTORS]
                request = REQUEST.pack(len(everything) - at, *(n in streams for n in (0, 1, 2)), mask)
                send(ours, request, batch)
            send(self._control, FORK.pack(b"fork", entry.number), [theirs.fileno(), entry.page.fileno()])
            return ours
        except (BrokenPipeError, ConnectionResetError) as error:
            ours.close()
            raise ServerDied from error
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

    def _discard(self):
        """Let go of a server that has ended, or belongs to another process."""
        if self._control is None:
            return
        self.boots += 1  # before its descriptors are closed: other threads look at them
        if self._owner == os.getpid():
            try:
                until = time.monotonic() + _END_SECONDS
                while collect_status(self._sentinel, self._forkserver_pid) is None and time.monotonic() < until:
                    time.sleep(0.001)  # without pidfds the end shows before the status can be had
            except ChildProcessError:
                pass
        self._let_go()

    def _let_go(self):
        control, descriptors = self._control, (self._sentinel, self._memory)
        self._forget()  # before they are closed: what another thread forks in between must not close them again
        control.close()
        for descriptor in descriptors:
            if descriptor is not None:
                os.close(descriptor)

    def _stop(self):
        """End the server of this process, if it has one of its own; its children live on."""
        with self._lock:
            if self._control is None or self._owner != os.getpid():
                return  # another process's goes on, and still tells how children end
            try:
                send_signal(self._sentinel, _signal.SIGTERM, self._forkserver_pid)
                if not wait_readable([self._sentinel], _STOP_SECONDS):
                    send_signal(self._sentinel, _signal.SIGKILL, self._forkserver_pid)
                    wait_readable([self._sentinel], _STOP_SECONDS)
            except ProcessLookupError:
                pass
            self._discard()


class Entry:
    """Where the server tells how one child ended.

    Args:
        server: this process's server, which is asked for the child.
        page: the page of the entry.
        number: its number there.
    """

    def __init__(self, server: ForkServer, page: Statuses, number: int) -> None:
        self._server, self._boot = server, server.boots
        self.page, self.number = page, number

    def status(self, limit: float) -> int | None:
        """Wait at most `limit` seconds for the exit status, and give the entry back; return None while there is none.

        Raises:
            ServerDied: it will never come; the entry is given back.
        """
        until, is_lost = time.monotonic() + limit, False
        while True:
            status = self.page.wait(self.number, 0 if is_lost else min(limit, _LOOK_SECONDS))
            if status is not None:
                self.page.give_back(self.number)
                return status
            if is_lost:
                self.page.give_back(self.number)
                raise ServerDied
            is_lost = self._is_lost()
            if not is_lost and time.monotonic() >= until:
                return None

    def _is_lost(self):
        server = self._server
        sentinel = server._sentinel
        # In this order: another thread may have closed it.
        return sentinel is None or bool(wait_readable([sentinel], 0)) or server.boots != self._boot

    def give_up(self, is_asked: bool) -> None:
        """Nobody will look at the entry; if the server `is_asked` for the child, it may still write there."""
        if is_asked and not self._is_lost():
            self.page.leave(self.number)
        else:
            self.page.give_back(self.number)


def _end_unseen(pid):
    """End a server, a child of this process, that nobody has a descriptor of."""
    try:
        os.kill(pid, _signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):  # somebody else has taken its status
        pass


def answer(requester: "Any") -> "Any":
    """Read the server's answer to a request.

    Returns:
        The child's id and a pidfd of it, None where there are no pidfds.

    Raises:
        ServerDied: the server ended before it answered.
        OSError: it could not fork.
    """
    try:
        message, fds = receive(requester, 64, 1)
    except ConnectionResetError:
        # A child that was killed before it read its own part: the answer is there all the same.
        message, fds = receive(requester, 64, 1)
    if not message:
        raise ServerDied
    pid = int(message)
    if pid < 0:
        raise OSError(-pid, f"the forkserver cannot fork: {os.strerror(-pid)}")
    if not has_pidfds():
        return pid, None
    if not fds:
        # The kernel drops what there is no room for.
        _kill_unwatched(pid)
        raise OSError(errno.EMFILE, f"no descriptor left to watch a child with: {os.strerror(errno.EMFILE)}")
    return pid, fds[0]


def _kill_unwatched(pid):
    """End a child that has just been forked and that nobody can watch."""
    try:
        # A child is in its server's group at first; without a descriptor little more can be asked.
        if pid > 0 and os.getpgid(pid) == os.getpgid(_forkserver._forkserver_pid):
            os.kill(pid, 9)
    except (ProcessLookupError, TypeError):
        pass


def kill_unknown(requester: "Any") -> None:
    """Kill a child that was asked for when an exception came before its adoption."""
    requester.settimeout(_STOP_SECONDS)
    try:
        pid, pidfd = answer(requester)
    except (OSError, ServerDied):
        return
    if pidfd is None:
        _kill_unwatched(pid)
        return
    send_signal(pidfd, _signal.SIGKILL, pid)
    os.close(pidfd)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def get_inherited_fds() -> "Any":
    """Return the descriptors that this process inherited through the forkserver."""
    return list(inherited)


_forkserver = ForkServer()
ensure_running = _forkserver.ensure_running
set_forkserver_preload = _forkserver.set_forkserver_preload


def prepare() -> None:
    """Start the server of the start method `forkserver` now, in the background, rather than with the first child.

    Called at the head of the main module, before what takes long to import: the server imports the same meanwhile, and
    the first pool finds it ready. It imports what stands at the head of the file of the main module, up to the first
    statement that is neither an import nor a definition; the rest of that module it runs as usual, when the first child
    is started. Does nothing in a child, or where a server runs. Does not wait.

    Raises:
        OSError: the system refuses a process or a descriptor.
    """
    own = process.current_process()
    if process.parent_process() is None and not getattr(own, "_inheriting", False):
        _forkserver.prepare()


def connect_to_new_process(fds: "Iterable[int]") -> tuple[int, int]:
    """The standard library's way to ask its own forkserver; this one is asked by `Process.start` only."""
    raise NotImplementedError("this forkserver starts children for process objects only")
