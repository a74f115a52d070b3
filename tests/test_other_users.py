"""A second user of the machine against everything that a program on procession has: nothing opens, nothing answers.

Needs root, which alone can become another user.
"""

import ctypes
import errno
import os
import socket
import stat

import procession
import pytest
from procession import resource_sharer, util
from procession.connection import Client, Listener
from procession.managers import SyncManager

LIMIT = 60
NOBODY = 65534
KEY = b"the key of these tests"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user: run these tests as root")

REFUSED = {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENXIO, errno.ESRCH}


def as_nobody(attempt):
    """Run `attempt` as another user; return what it returned, or what it raised, as text."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            # The open descriptors of this fork are not what is tried.
            os.closerange(3, writing)
            os.closerange(writing + 1, 4096)
            try:
                answer = repr(attempt())
            except OSError as error:
                answer = f"OSError {error.errno}"
            except BaseException as error:
                answer = f"{type(error).__name__}: {error}"
            os.write(writing, answer.encode()[:4000])
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as told:
        answer = told.read()
    os.waitpid(pid, 0)
    return answer


def is_refused(answer):
    kind, _, number = answer.partition(" ")
    return kind == "OSError" and number.isdigit() and int(number) in REFUSED


def test_as_nobody_tells_what_is_possible(tmp_path):
    tmp_path.chmod(0o700)
    assert is_refused(as_nobody(lambda: os.listdir(tmp_path)))
    assert as_nobody(os.getuid) == str(NOBODY)


def connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    return "connected"


def named_places():
    """Paths of sockets that this process made."""
    listener = Listener(authkey=KEY)
    reading, writing = procession.Pipe(False)
    with reading, writing:
        resource_sharer.DupFd(writing.fileno())
    return listener, [listener.address, resource_sharer._resource_sharer._address]


def test_sockets_of_ours_cannot_be_connected_to_or_removed(context):
    listener, paths = named_places()
    with listener, SyncManager(ctx=context) as manager:
        for path in [*paths, manager.address]:
            assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
            assert os.stat(os.path.dirname(path)).st_uid == os.geteuid()
            assert is_refused(as_nobody(lambda path=path: connect(path)))
            assert is_refused(as_nobody(lambda path=path: os.unlink(path)))
            assert is_refused(as_nobody(lambda path=path: os.rename(path, path + "x")))
            assert is_refused(as_nobody(lambda path=path: os.listdir(os.path.dirname(path))))
            assert is_refused(as_nobody(lambda path=path: os.rename(os.path.dirname(path), "/tmp/taken")))
            assert os.path.exists(path)
    resource_sharer.stop()


def test_another_user_is_refused_by_name_even_where_the_directory_lets_it_in():
    with Listener(authkey=KEY) as listener:
        directory = os.path.dirname(listener.address)
        os.chmod(directory, 0o755)
        os.chmod(listener.address, 0o777)
        try:
            assert as_nobody(lambda: connect(listener.address)) == "'connected'"
            with pytest.raises(procession.AuthenticationError, match=f"another user.*{NOBODY}"):
                listener.accept()
        finally:
            os.chmod(directory, 0o700)


def test_a_path_that_the_user_chose_is_for_all_who_know_the_key(tmp_path_factory):
    # In a directory of its own that others may enter: that is what somebody wants who names a path there.
    import shutil
    import tempfile
    import threading

    directory = tempfile.mkdtemp()
    os.chmod(directory, 0o755)
    try:
        with Listener(os.path.join(directory, "socket"), authkey=KEY) as listener:
            os.chmod(listener.address, 0o777)
            answers = []

            def try_key(key):
                with Client(listener.address, authkey=key) as client:
                    return client.recv()

            for key in (KEY, b"another key"):
                thread = threading.Thread(target=lambda key=key: answers.append(as_nobody(lambda: try_key(key))))
                thread.start()
                try:
                    with listener.accept() as server:
                        server.send("for those who know the key")
                except procession.AuthenticationError:
                    answers.append("refused")
                thread.join(LIMIT)
        assert answers[0] == "'for those who know the key'"
        assert "refused" in answers and any(answer.startswith("AuthenticationError") for answer in answers)
    finally:
        shutil.rmtree(directory)


def idle():
    import time

    time.sleep(LIMIT)


def squares(number):
    return number * number


def descriptors_of(pid):
    directory = f"/proc/{pid}/fd"
    for name in os.listdir(directory):
        try:
            yield f"{directory}/{name}", os.readlink(f"{directory}/{name}")
        except FileNotFoundError:
            continue  # the one that was listed through


def test_the_memory_of_a_pool_cannot_be_opened_through_proc(context):
    with context.Pool(1) as pool:
        assert pool.map(squares, [1, 2]) == [1, 4]
        queue, lock, value = context.Queue(), context.Lock(), context.Value("i", 1)
        queue.put(1)
        processes = [os.getpid(), *(worker.pid for worker in pool._pool)]
        for pid in processes:
            memory = [path for path, target in descriptors_of(pid) if "memfd:" in target]
            assert memory
            for path in memory:
                assert is_refused(as_nobody(lambda path=path: os.open(path, os.O_RDWR)))
                assert is_refused(as_nobody(lambda path=path: os.open(path, os.O_RDONLY)))
            assert is_refused(as_nobody(lambda pid=pid: os.listdir(f"/proc/{pid}/fd")))
            for name in ("mem", "maps", "environ"):
                path = f"/proc/{pid}/{name}"
                assert is_refused(as_nobody(lambda path=path: os.read(os.open(path, os.O_RDONLY), 10)))
        assert queue.get() == 1 and value.value == 1 and lock.acquire(timeout=LIMIT)
        lock.release()
        queue.close()


def test_children_cannot_be_traced_or_signalled(context):
    libc = ctypes.CDLL(None, use_errno=True)

    def attach(pid):
        if libc.ptrace(16, pid, None, None) != 0:  # PTRACE_ATTACH
            raise OSError(ctypes.get_errno(), "ptrace")

    child = context.Process(target=idle)
    child.start()
    assert is_refused(as_nobody(lambda: attach(child.pid)))
    assert is_refused(as_nobody(lambda: os.kill(child.pid, 9)))
    assert child.is_alive()
    child.kill()
    child.join(LIMIT)


def test_named_shared_memory_is_for_its_user_only():
    shared = procession.shared_memory.SharedMemory(create=True, size=100)
    path = "/dev/shm/" + shared.name
    try:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert is_refused(as_nobody(lambda: os.open(path, os.O_RDONLY)))
        assert is_refused(as_nobody(lambda: os.unlink(path)))
        assert is_refused(as_nobody(lambda: procession.shared_memory.SharedMemory(shared.name)))
    finally:
        shared.close()
        shared.unlink()


def test_a_name_that_another_user_took_is_an_error_and_not_used():
    name = f"procession-squat-{os.getpid()}"

    def squat():
        os.close(os.open("/dev/shm/" + name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))

    assert as_nobody(squat) == "None"
    try:
        with pytest.raises(FileExistsError):
            procession.shared_memory.SharedMemory(name, create=True, size=100)
    finally:
        os.unlink("/dev/shm/" + name)


def test_a_symbolic_link_is_not_followed_to_somebody_elses_file(tmp_path):
    precious = tmp_path / "precious"
    precious.write_bytes(b"stays")
    name = f"procession-link-{os.getpid()}"
    assert as_nobody(lambda: os.symlink(precious, "/dev/shm/" + name)) == "None"
    try:
        for create in (True, False):
            with pytest.raises(OSError):
                procession.shared_memory.SharedMemory(name, create=create, size=100)
        assert precious.read_bytes() == b"stays"
    finally:
        os.unlink("/dev/shm/" + name)


def test_the_temp_directory_is_never_one_that_somebody_else_made(monkeypatch):
    # A squatter's guess at the next name: another name is taken.
    import tempfile

    guesses = iter(["taken", "free", "more"])
    monkeypatch.setattr(tempfile, "_get_candidate_names", lambda: guesses)
    config = procession.current_process()._config
    monkeypatch.delitem(config, "tempdir", raising=False)
    taken = os.path.join(tempfile.gettempdir(), "procession-taken")
    assert as_nobody(lambda: os.mkdir(taken)) == "None"
    try:
        path = util.get_temp_dir()
        assert path != taken and os.stat(path).st_uid == os.geteuid()
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
        os.rmdir(path)
    finally:
        os.rmdir(taken)
        config.pop("tempdir", None)
