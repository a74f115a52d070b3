"""What reaches the servers behind a listener or a pipe: managers, the resource sharer, the tracker, the forkserver."""

import os
import socket
import struct
import sys
import threading

import procession
import pytest
from procession import connection, forkserver, resource_sharer, resource_tracker
from procession.connection import Client
from procession.managers import SyncManager
from test_wire import GARBAGE, framed

LIMIT = 60
KEY = b"the key of these tests"


def stranger_of(address):
    stranger = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)
    stranger.settimeout(LIMIT)
    stranger.connect(address)
    return stranger


@pytest.mark.parametrize("address", [None, ("localhost", 0)], ids=["unix", "inet"])
def test_a_manager_serves_its_clients_whatever_strangers_send(context, address):
    with SyncManager(address, KEY, ctx=context) as manager:
        values = manager.list([1])
        silent = [stranger_of(manager.address) for _ in range(10)]
        for number, garbage in enumerate(GARBAGE.values()):
            with stranger_of(manager.address) as stranger:
                stranger.sendall(garbage)
                values.append(number)
        # A new client, which must be let in past those that are silent.
        other = SyncManager(manager.address, KEY)
        other.connect()
        assert other._number_of_objects() == 1
        assert len(values) == 1 + len(GARBAGE)
        for stranger in silent:
            stranger.close()


def test_a_manager_answers_nonsense_of_a_client_that_knows_the_key(context):
    with SyncManager(("localhost", 0), KEY, ctx=context) as manager:
        values = manager.list([1])
        with Client(manager.address, authkey=KEY) as client:
            for nonsense in (b"", b"\x80\x05junk", b"no pickle"):
                client.send_bytes(nonsense)
                kind, text = client.recv()
                assert kind == "#TRACEBACK" and "Traceback" in text
            for nonsense in (None, 7, (1, 2), (None, "no such method", (), {}), ("no such object", "append", (), {})):
                client.send(nonsense)
                kind, text = client.recv()
                assert kind == "#TRACEBACK" and "Traceback" in text
            client.send((None, "dummy", (), {}))
            assert client.recv() == ("#RETURN", None)
        for head in (struct.pack("!i", (1 << 31) - 1), struct.pack("!iQ", -1, 1 << 50), b"\0\0\0\5abc"):
            with Client(manager.address, authkey=KEY) as client:
                os.write(client.fileno(), head)
        assert list(values) == [1]


def test_a_client_that_does_not_read_its_answers_keeps_nobody_waiting(context):
    with SyncManager(("localhost", 0), KEY, ctx=context) as manager:
        values = manager.list([b"x" * (1 << 20)])
        with Client(manager.address, authkey=KEY) as client:
            for _ in range(100):
                client.send((values._token.id, "__getitem__", (0,), {}))
            values.append("more")
            assert values[1] == "more"


def take_descriptor(end):
    with end, end.recv() as given:
        given.send("taken")


def test_the_resource_sharer_hands_out_past_those_that_are_silent(context):
    ours, theirs = context.Pipe()
    reading, writing = context.Pipe(False)
    child = context.Process(target=take_descriptor, args=(theirs,))
    child.start()
    theirs.close()
    resource_sharer.DupFd(writing.fileno())
    sharer = resource_sharer._resource_sharer
    strangers = [stranger_of(sharer._address) for _ in range(5)]
    strangers[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
    # One that knows the key and says nothing, one that takes what it asked for and does not say so.
    mute = Client(sharer._address, authkey=procession.current_process().authkey)
    stuck = sharer.get_connection(resource_sharer.DupFd(writing.fileno())._id)
    ours.send(writing)
    assert reading.recv() == "taken"
    child.join(LIMIT)
    for stranger in (*strangers, mute, stuck):
        stranger.close()
    resource_sharer.stop()
    for end in (ours, reading, writing):
        end.close()


def test_the_resource_sharer_says_what_is_wrong_with_a_request(monkeypatch, context):
    told = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: told.append(error[1]))
    reading, writing = context.Pipe(False)
    resource_sharer.DupFd(writing.fileno())
    address, key = resource_sharer._resource_sharer._address, procession.current_process().authkey
    for request in ((12345, os.getpid()), "nonsense", 7):
        with Client(address, authkey=key) as client:
            client.send(request)
            with pytest.raises(EOFError):
                client.recv_bytes()
    with Client(address, authkey=key) as client:
        client.send_bytes(b"no pickle")
        with pytest.raises(EOFError):
            client.recv_bytes()
    resource_sharer.stop()
    assert [type(error).__name__ for error in told] == ["KeyError", "ValueError", "TypeError", "UnpicklingError"]
    reading.close()
    writing.close()


def test_the_resource_tracker_goes_on_after_nonsense(capsys, tmp_path):
    name = f"procession-test-{os.getpid()}"
    shared = procession.shared_memory.SharedMemory(name, create=True, size=1, track=False)
    shared.close()
    precious = tmp_path / "precious"
    precious.write_text("stays")
    reading, writing = os.pipe()
    with open(writing, "wb") as lines:
        lines.write(b"nonsense\n\xff\xfe\nREGISTER:a\nREGISTER:a:no such kind\nUNREGISTER:never:noop\nFOO:a:noop\n")
        lines.write(f"REGISTER:/../..{precious}:shared_memory\nREGISTER:../..{precious}:semaphore\n".encode())
        lines.write(b"x" * 2000 + b"\n")
        lines.write(f"REGISTER:{name}:shared_memory\n".encode())
        lines.write(b"REGISTER:half a li")
    resource_tracker.track(reading)
    said = capsys.readouterr().err
    assert said.count("cannot follow") >= 8
    assert said.count("a name with a slash in it") == 2
    assert precious.exists()
    with pytest.raises(FileNotFoundError):
        procession.shared_memory.SharedMemory(name)


def nothing():
    pass


def test_the_forkserver_goes_on_after_nonsense_on_its_socket():
    context = procession.get_context("forkserver")
    server = forkserver._forkserver
    server.ensure_running()
    page = server.entry().page
    fork = forkserver.FORK.pack(b"fork", 0)
    for message, files in (
        (b"nonsense", []),
        (b"x" * 5000, []),
        (b"fork", [0, 1, 2]),
        (fork, [0, 1, 2]),
        (fork, [0]),
        (fork, [0, 1]),
        (fork, [0, page.fileno()]),
        (forkserver.FORK.pack(b"fork", page.ENTRIES), [0, page.fileno()]),
    ):
        socket.send_fds(server._control, [message], files)
    # Requests that end too early, or are garbled: the child that reads them ends, and no other.
    for request in (b"", b"x", b"\xff" * 7, b"\xff" * 100):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            if request:
                ours.send(request)
            socket.send_fds(server._control, [fork], [theirs.fileno(), page.fileno()])
    pid = server._forkserver_pid
    child = context.Process(target=nothing)
    child.start()
    child.join(LIMIT)
    assert child.exitcode == 0 and server._forkserver_pid == pid


def test_a_manager_client_gets_an_error_from_a_server_that_talks_nonsense():
    for answer in (b"no pickle", b"", framed(b"")):
        with connection.Listener(authkey=KEY) as listener:
            thread = threading.Thread(target=answer_nonsense, args=(listener, answer))
            thread.start()
            manager = SyncManager(listener.address, KEY)
            with pytest.raises(Exception) as caught:
                manager.connect()
            assert str(caught.value)
            thread.join(LIMIT)


def answer_nonsense(listener, answer):
    with listener.accept() as server:
        server.recv()
        if answer:
            server.send_bytes(answer)
