"""Listeners, clients and managers of ours with those of the standard library, of every interpreter that is installed.

Up to Python 3.11 both sides answer with HMAC-MD5; since 3.12 a challenge names its digest.
"""

import importlib
import importlib.machinery
import os
import shutil
import socket
import subprocess
import sys
import threading
import types

import procession
import pytest
from procession.connection import Client, Listener
from procession.managers import SyncManager

LIMIT = 60
KEY = b"a key for both sides"

CLIENT = """
import sys
from multiprocessing.connection import Client
address, key = eval(sys.argv[1]), sys.stdin.buffer.read()
with Client(address, authkey=key) as client:
    client.send(["hello", 1 << 70])
    client.send_bytes(client.recv_bytes() * 2)
"""
LISTENER = """
import sys
from multiprocessing import AuthenticationError
from multiprocessing.connection import Listener
with Listener(*eval(sys.argv[1]), authkey=sys.stdin.buffer.read()) as listener:
    print(repr(listener.address), flush=True)
    try:
        with listener.accept() as server:
            server.send(["hello", 1 << 70])
            server.send_bytes(server.recv_bytes() * 2)
    except AuthenticationError:
        print("refused", flush=True)
"""
MANAGER = """
import sys
from multiprocessing.managers import BaseManager
class Manager(BaseManager): pass
values = [1, 2, 3]
Manager.register("get_values", callable=lambda: values)
server = Manager(("localhost", 0), sys.stdin.buffer.read()).get_server()
print(repr(server.address), flush=True)
server.serve_forever()
"""
MANAGER_CLIENT = """
import sys
from multiprocessing.managers import BaseManager
class Manager(BaseManager): pass
Manager.register("get_values")
manager = Manager(eval(sys.argv[1]), sys.stdin.buffer.read())
manager.connect()
values = manager.get_values()
values.append(4)
print(str(values), flush=True)
"""


def _interpreters():
    """The running interpreter, and one of each other version that can be started by its name."""
    found = {sys.version_info[:2]: sys.executable}
    for minor in range(8, 20):
        path = shutil.which(f"python3.{minor}")
        if path is None or (3, minor) in found:
            continue
        try:
            subprocess.run(
                [path, "-c", "import multiprocessing.connection"], check=True, capture_output=True, timeout=LIMIT
            )
        except (OSError, subprocess.SubprocessError):
            continue  # a name that stands for nothing
        found[3, minor] = path
    return [pytest.param(path, id="{}.{}".format(*version)) for version, path in sorted(found.items())]


@pytest.fixture(params=_interpreters())
def run(request):
    """Start a program in an interpreter, with the key on its input."""
    started = []

    def run(program, argument="", key=KEY):
        child = subprocess.Popen(
            [request.param, "-c", program, repr(argument)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        started.append(child)
        child.stdin.write(key)
        child.stdin.close()
        return child

    yield run
    for child in started:
        child.kill()
        child.wait(LIMIT)
        child.stdout.close()


@pytest.fixture(params=["AF_UNIX", "AF_INET"])
def address(request, tmp_path):
    return str(tmp_path / "socket") if request.param == "AF_UNIX" else ("localhost", 0)


def test_a_client_of_the_standard_library_reaches_our_listener(run, address):
    with Listener(address, authkey=KEY) as listener:
        child = run(CLIENT, listener.address)
        with listener.accept() as server:
            assert server.recv() == ["hello", 1 << 70]
            server.send_bytes(b"x" * 100_000)
            assert server.recv_bytes() == b"x" * 200_000
        assert child.wait(LIMIT) == 0


def test_our_client_reaches_a_listener_of_the_standard_library(run, address):
    child = run(LISTENER, (address,))
    with Client(eval(child.stdout.readline()), authkey=KEY) as client:
        assert client.recv() == ["hello", 1 << 70]
        client.send_bytes(b"x" * 100_000)
        assert client.recv_bytes() == b"x" * 200_000
    assert child.wait(LIMIT) == 0


def test_another_key_is_refused_by_either_side(run, tmp_path):
    child = run(LISTENER, (str(tmp_path / "socket"),), key=b"another key")
    with pytest.raises(procession.AuthenticationError):
        Client(eval(child.stdout.readline()), authkey=KEY)
    assert child.stdout.readline() == b"refused\n"
    with Listener(authkey=KEY) as listener:
        child = run(CLIENT, listener.address, key=b"another key")
        with pytest.raises(procession.AuthenticationError):
            listener.accept()
        assert child.wait(LIMIT) != 0


def test_our_manager_uses_a_server_of_the_standard_library(run):
    class Manager(SyncManager):
        pass

    Manager.register("get_values", exposed=("append", "__len__"))
    child = run(MANAGER)
    manager = Manager(eval(child.stdout.readline()), KEY)
    manager.connect()
    values = manager.get_values()
    values.append(4)
    assert str(values) == "[1, 2, 3, 4]"


def test_a_manager_of_the_standard_library_uses_our_server(run):
    class Manager(SyncManager):
        pass

    values = [1, 2, 3]
    Manager.register("get_values", callable=lambda: values)
    server = Manager(("localhost", 0), KEY).get_server()
    thread = threading.Thread(target=server._accept)
    thread.start()
    child = run(MANAGER_CLIENT, server.address)
    assert child.stdout.readline() == b"[1, 2, 3, 4]\n"
    assert child.wait(LIMIT) == 0
    server.stop_event.set()
    Client(server.address, authkey=KEY).close()
    thread.join(LIMIT)
    server.listener.close()


def test_a_module_that_another_thread_is_loading_is_asked_nothing(context, monkeypatch):
    module = types.ModuleType("multiprocessing.context")  # without its names so far
    module.__spec__ = importlib.machinery.ModuleSpec("multiprocessing.context", None)
    module.__spec__._initializing = True
    monkeypatch.setitem(sys.modules, "multiprocessing.context", module)
    child = context.Process(target=abs, args=(-1,))
    child.start()
    child.join()
    assert child.exitcode == 0


@pytest.mark.parametrize(("sender", "receiver"), [("multiprocessing", "procession"), ("procession", "multiprocessing")])
def test_descriptors_are_sent_one_by_one_as_the_standard_library_of_this_version_sends_them(sender, receiver):
    sender, receiver = (importlib.import_module(f"{library}.reduction") for library in (sender, receiver))
    one, other = socket.socketpair()
    with one, other, open(os.devnull) as file:
        one.settimeout(LIMIT)
        other.settimeout(LIMIT)
        sending = threading.Thread(target=sender.sendfds, args=(one, [file.fileno()]))
        sending.start()
        [received] = receiver.recvfds(other, 1)
        os.close(received)
        sending.join(LIMIT)
        assert not sending.is_alive()
        # Nothing is left that the next to read would take for a message.
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.recv(1)
