"""The forkserver: a single-threaded process that has imported the parent's main module and forks children from itself.

It holds four things: the control socket (one socket a request), a pidfd of the process that booted it, for each process
that asks a page in which it tells how children ended, and for each child its pidfd. Data and descriptors for a child
lie in the queue of the socket of its request, where the child itself reads them: the server never does.
"""

import _signal  # without the enums of `signal`
import gc
import os
import struct
import sys
import time

from procession import forkserver, process, spawn, util
from procession._children import child, math_threads, program
from procession._children.program import INTERRUPTS
from procession._objects.rights import adopt, receive as receive_with, send
from procession._procession import (
    Poller,
    SignalsHeld,
    Statuses,
    begin_life,
    collect_status,
    descriptor_limits,
    duplicate_above,
    end_life,
    fork_to,
    has_pidfds,
    hold_life,
    leave_termination_to,
    open_pidfd,
    set_descriptor_limit,
    set_signal_mask,
    wait_readable,
)
from procession.forkserver import FORK, REQUEST, UNTOLD, is_open

__all__ = []

MEMORY, PARENT, CONTROL, CLIENTS, LIFE = 3, 4, 5, 6, 7  # as ForkServer._boot lists them; the last without pidfds only
# Signals that the server takes otherwise than its children do.
INTERFERING = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGCHLD)
MOST_LOOKED_AT = 4096
_MOST_LOOKS = 100  # a millisecond apart, at a child whose pipe is closed
_MOST_IDLE_PAGES = 16  # of processes that have no child just now
LOWEST_INHERITED = 64  # first number of children's descriptors, unless the preloaded modules use more

_passed: tuple = (MEMORY, PARENT, CONTROL, CLIENTS)  # the descriptors that this program was started with


def main(preload=True):
    """Import what children need, tell the parent, then serve until it ends."""
    for descriptor in (MEMORY, PARENT, CONTROL, CLIENTS):
        os.set_inheritable(descriptor, False)
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    leave_termination_to(os.getppid())
    set_signal_mask(0)  # these were blocked until now
    _import_for_children()
    from _pickle import loads

    data = loads(_contents(MEMORY))
    global _passed
    if data.pop("life"):
        hold_life(LIFE)
        _passed += (LIFE,)
    if "preload" not in data:
        _import_early(data)
        if 0 not in wait_readable([CONTROL, PARENT], None):  # the parent has ended
            return
        os.read(CONTROL, len(forkserver.GO_ON))
        data = loads(_contents(MEMORY))
        del data["life"]
    if preload:
        _preload(data)
    try:
        server = Server()
    except OSError as error:
        adopt(CONTROL).send(b"%d %s" % (error.errno or 0, str(error.strerror).encode()))
        raise
    server.serve()


def _import_for_children():
    """Import all that a child needs, once."""
    spawn.load_pickle()
    from procession import _settings, reduction  # noqa: F401
    from procession._objects import failures, main_module, variables  # noqa: F401
    from procession._pool import log_records, worker  # noqa: F401


def _import_early(data):
    """Import what the main module imports first, while the parent does the same."""
    source = data.pop("imports", None)
    own = process.current_process()
    own._inheriting = True
    argv = sys.argv
    try:
        spawn.prepare(data)
        if source is not None:
            from procession._children import main_imports

            gc.disable()  # nearly all of it stays
            main_imports.load(*source)
            gc.enable()
    finally:
        del own._inheriting
        sys.argv = argv
    gc.collect()
    gc.freeze()


def _contents(descriptor):
    # By position, because the server may run itself again.
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


# -- before the first child -----------------------------------------------------------------------------------------


def _preload(data):
    modules, on_error = data.pop("preload"), data.pop("on_error")
    names = {key: data.pop(key, None) for key in ("init_main_from_name", "init_main_from_path")}
    own = process.current_process()
    own._inheriting = True
    argv = sys.argv
    try:
        spawn.prepare(data)
        for module in modules:
            try:
                if module == "__main__":
                    spawn.prepare({key: value for key, value in names.items() if value is not None})
                else:
                    __import__(module)
            except BaseException as error:
                # Usually not told: the child imports the module itself and reports what happens.
                if on_error == "fail":
                    raise
                if on_error == "warn":
                    _warn(module, error)
    finally:
        del own._inheriting
        sys.argv = argv
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):
            pass
    _refuse_threads()
    forkserver.preloaded = frozenset(sys.modules)
    math_threads.look_around()
    util._empty_stdin()
    gc.collect()
    gc.freeze()  # so that collections in children do not write to every page


def _warn(module, error):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("always", ImportWarning)  # it is ignored otherwise
        what = f"the forkserver cannot preload {module!r}: {type(error).__name__}: {error}"
        warnings.warn(what, ImportWarning, stacklevel=3)


def _refuse_threads():
    threading = sys.modules.get("threading")
    others = [] if threading is None else [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    if not others:
        return
    message = (
        f"procession: importing the main module or the preload list started threads ({', '.join(others)}),"
        " which a fork would lose: the forkserver goes on without these imports, so that each child does them itself"
    )
    print(message, file=sys.stderr, flush=True)
    for descriptor in _passed:
        os.set_inheritable(descriptor, True)
    child.stop_timers()
    arguments = program.command_line("_forkserver_main", False)
    os.execv(arguments[0], arguments)


# -- serving --------------------------------------------------------------------------------------------------------


class Server:
    def __init__(self):
        # Children find what the imports set, but for functions; the server itself must not be interrupted.
        handlers = {n: _signal.getsignal(n) for n in INTERFERING}
        if handlers[_signal.SIGINT] == _signal.SIG_IGN:
            handlers[_signal.SIGINT] = _signal.default_int_handler
        handlers.update((number, handler) for number, _, handler in child.signals_to_reset())
        _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
        leave_termination_to(os.getppid())  # whatever the imports set
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        self.resets = [(number, _signal.getsignal(number), handler) for number, handler in handlers.items()]
        os.close(MEMORY)
        # A descriptor for each child: as many as may be had. Children get the usual limit.
        self.limit = descriptor_limits()
        self.is_raised = _raise_limit(self.limit[1])
        self.control = adopt(CONTROL)
        self.clients = adopt(CLIENTS)
        self.environment = dict(os.environ)
        self.poller = Poller()
        self.poller.add(PARENT)
        self.poller.add(CONTROL)
        self.poller.wait(0)  # a call that is refused is an error here already
        self.own = process.own_pidfd()  # for children, which may ask for more
        self.children = {}  # pidfd -> (id, its page, its entry there)
        self.pages = {}  # device and inode -> page
        self.lingering = []  # of these, without pidfds, that have no status yet
        # Under a low limit, half of it is for what children inherit.
        self.first_number = max(min(LOWEST_INHERITED, self.limit[0] // 2), highest_open(self.limit[0]) + 1)

    def serve(self):
        self.control.send(b"%d" % self.first_number)
        while True:
            for descriptor in self.poller.wait() + self.lingering:
                if descriptor == PARENT:
                    # The children have lifelines of their own.
                    os._exit(0)
                elif descriptor == CONTROL:
                    self.fork()
                else:
                    self.report(descriptor)

    def fork(self):
        message, fds = receive_with(self.control, FORK.size + 1, 2)
        if not message:
            os._exit(0)
        request = self.request(message, fds)
        if request is None:
            return
        requester, page, entry = request
        try:
            with SignalsHeld():  # of the child none gets lost that comes before it has its mask
                life = None if has_pidfds() else begin_life()
                try:
                    pid = fork_to(os.fork, self.be_child, requester)
                finally:
                    if life is not None:
                        end_life(life[1])
            pidfd = watch(pid) if life is None else life[0]
        except OSError as error:
            page.tell(entry, 0)
            answer(requester, -(error.errno or 0), [])
            requester.close()
            return
        self.children[pidfd] = pid, page, entry
        self.poller.add(pidfd)
        answer(requester, pid, [pidfd] if life is None else [])
        requester.close()

    def request(self, message, fds):
        """Return the socket of a request, the page of whoever asks and the child's entry there; None for what is none,
        as a process gone wrong may write anything."""
        try:
            word, entry = FORK.unpack(message)
            requester, page = fds
        except (struct.error, ValueError):
            word = None
        if word != b"fork" or entry >= Statuses.ENTRIES:
            for descriptor in fds:
                os.close(descriptor)
            return None
        try:
            behind = self.page_behind(page)
            return adopt(requester), behind, entry
        except (OSError, ValueError):
            os.close(requester)
            return None

    def page_behind(self, descriptor):
        """Return the page of whoever has passed its descriptor, which is closed."""
        found = os.fstat(descriptor)
        name = found.st_dev, found.st_ino
        page = self.pages.get(name)
        if page is not None:
            os.close(descriptor)
            return page
        if len(self.pages) >= _MOST_IDLE_PAGES:
            used = {page for _, page, _ in self.children.values()}
            self.pages = {name: page for name, page in self.pages.items() if page in used}
        page = self.pages[name] = Statuses(descriptor)
        return page

    def report(self, pidfd):
        """Tell the exit status of a child that has ended."""
        pid, page, entry = self.children[pidfd]
        is_polled = pidfd not in self.lingering
        try:
            status = collect_status(pidfd, pid)
            if status is None:
                status = self.await_status(pidfd, pid)
        except OSError:  # taken by a handler of a preloaded module
            status = UNTOLD
        if status is not None:
            page.tell(entry, status)  # before all else: somebody waits for it
        if is_polled:
            # A sibling forked meanwhile may keep the registration alive.
            self.poller.remove(pidfd)
        if status is None:
            return
        if pidfd in self.lingering:
            self.lingering.remove(pidfd)
        del self.children[pidfd]
        os.close(pidfd)

    def await_status(self, pidfd, pid):
        """Wait a moment for the status of a child that has closed its pipe; return None for one that runs all the same,
        which is looked at again whenever something happens."""
        if pidfd in self.lingering:
            return None
        for _ in range(_MOST_LOOKS):
            time.sleep(0.001)
            if (status := collect_status(pidfd, pid)) is not None:
                return status
        self.lingering.append(pidfd)
        return None

    def be_child(self, requester):
        """Be the child, and end."""
        self.release()
        # The child's parent is the requester; the process that booted the server may be another one.
        memory, parent = receive(requester, self.first_number)
        child.live_copied(lambda: spawn.load(memory), parent)

    def release(self):
        """Close in a child what belongs to the server; what the client side needs is kept."""
        if self.is_raised:
            set_descriptor_limit(self.limit[0])
        del self.poller
        self.control.close()
        for pidfd in self.children:
            os.close(pidfd)
        self.children.clear()
        self.pages.clear()
        os.close(PARENT)
        forkserver._forkserver.inherit(os.getppid(), self.own, self.clients, self.first_number, self.environment)
        for reset in self.resets:
            child.reset_handler(*reset)


def _raise_limit(most):
    """Let the server have so many descriptors, where a sandbox does not forbid that; return whether it may."""
    try:
        set_descriptor_limit(most)
    except OSError:
        return False
    return True


def highest_open(limit):
    """Return the highest number of a descriptor that is open; as far as it can be known without `/proc`."""
    try:
        return max(int(name) for name in os.listdir("/proc/self/fd"))
    except OSError:
        return max(number for number in range(min(limit, MOST_LOOKED_AT)) if is_open(number))


def watch(pid):
    """Return a pidfd of a child; without one the child is ended, because nobody would learn of its end."""
    try:
        return open_pidfd(pid)
    except OSError:
        os.kill(pid, _signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def answer(requester, number, fds):
    try:
        send(requester, b"%d" % number, fds)
    except OSError:  # nobody asks any more: the child finds its lifeline cut
        pass


# -- in the child ---------------------------------------------------------------------------------------------------


def receive(requester, first_number):
    """Receive the child's descriptors and give those it inherits their numbers.

    Returns:
        The descriptors of the data and of the parent.
    """
    descriptors, missing = [], 1
    while missing > 0:
        message, fds = receive_with(requester, REQUEST.size, 253)
        if not message:
            raise EOFError("the parent gave up")
        descriptors += fds
        missing, *streams, mask = REQUEST.unpack(message)
        missing -= len(fds)
    requester.close()
    set_signal_mask(mask | INTERRUPTS)  # until `spawn.prepare` knows what Ctrl-C means
    end = first_number + len(descriptors)
    if max(descriptors) >= first_number:
        # Out of the way, so that no number is taken before its own descriptor is moved.
        descriptors = [_moved(descriptor, end) for descriptor in descriptors]
    memory, parent, *others = descriptors
    for number in (0, 1, 2):
        if streams[number]:
            descriptor = others.pop(0)
            os.dup2(descriptor, number)
            os.close(descriptor)
    for number, descriptor in enumerate(others, first_number):
        os.dup2(descriptor, number, inheritable=False)
        os.close(descriptor)
        forkserver.inherited.append(number)
    return memory, parent


def _moved(descriptor, lowest):
    copy = duplicate_above(descriptor, lowest)
    os.close(descriptor)
    return copy
