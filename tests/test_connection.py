"""Connections, listeners and clients, among themselves and with the standard library's."""

import multiprocessing.connection
import os
import pickle
import socket
import struct
import threading

import procession
import pytest
from procession import connection, resource_sharer
from procession.connection import Client, Listener, Pipe, wait

LIMIT = 60
MIB = 1 << 20


def start(context, target, *args):
    child = context.Process(target=target, args=args)
    child.start()
    return child


def join(child):
    child.join(LIMIT)
    assert child.exitcode == 0


def echo(end):
    with end:
        # Not until the end of the stream: a forked child has the other side too.
        while (message := end.recv_bytes()) != b"stop":
            end.send_bytes(message)


def test_messages_of_all_sizes_come_back(context):
    ours, theirs = context.Pipe()
    child = start(context, echo, theirs)
    theirs.close()
    for size in (0, 1, 16384, 16385, 65536, MIB, 5 * MIB):
        sender = threading.Thread(target=ours.send_bytes, args=(b"m" * size,))
        sender.start()
        assert ours.recv_bytes() == b"m" * size
        sender.join()
    ours.send_bytes(b"stop")
    ours.close()
    join(child)


def send_object(end, obj):
    with end:
        end.send(obj)


def test_a_connection_travels_to_a_child(context):
    reading, writing = context.Pipe(duplex=False)
    child = start(context, send_object, writing, {"a": [1, 2]})
    writing.close()
    assert reading.recv() == {"a": [1, 2]}
    with pytest.raises(EOFError):
        reading.recv()
    reading.close()
    join(child)


def test_each_end_is_for_its_direction_only():
    reading, writing = Pipe(False)
    with reading, writing:
        assert (reading.readable, reading.writable) == (True, False)
        with pytest.raises(OSError):
            reading.send(1)
        with pytest.raises(OSError):
            writing.recv()
        with pytest.raises(OSError):
            writing.poll()
    with pytest.raises(OSError, match="handle is closed"):
        reading.recv()
    assert reading.closed


def test_parts_of_a_buffer_are_sent():
    a, b = Pipe()
    with a, b:
        a.send_bytes(bytearray(b"abcdef"), 2, 3)
        assert b.recv_bytes() == b"cde"
        a.send_bytes(memoryview(struct.pack("3I", 1, 2, 3)).cast("I"))
        assert b.recv_bytes() == struct.pack("3I", 1, 2, 3)
        for bad in [(-1,), (7,), (0, -1), (3, 4)]:
            with pytest.raises(ValueError):
                a.send_bytes(b"abcdef", *bad)
        with pytest.raises(TypeError):
            a.send_bytes("text")


def test_a_message_goes_into_a_buffer_that_is_long_enough():
    a, b = Pipe()
    with a, b:
        room = bytearray(10)
        a.send_bytes(b"12345")
        assert b.recv_bytes_into(room, 3) == 5
        assert room == b"\0\0\x0012345\0\0"
        a.send_bytes(b"123456789")
        with pytest.raises(procession.BufferTooShort) as caught:
            b.recv_bytes_into(room, 5)
        assert caught.value.args == (b"123456789",)


def test_a_message_that_is_too_long_is_not_read():
    a, b = Pipe()
    with a, b:
        a.send_bytes(b"12345")
        with pytest.raises(OSError):
            b.recv_bytes(4)
        assert not b.readable


def test_poll_tells_whether_there_is_something():
    a, b = Pipe()
    with a, b:
        assert b.poll() is False and b.poll(0.01) is False and b.poll(-1) is False
        a.send(1)
        assert b.poll() is True and b.poll(None) is True
        assert b.recv() == 1
    c, d = Pipe()
    with c:
        d.close()
        assert c.poll() is True


def test_wait_tells_which_are_ready(context):
    a, b = Pipe()
    c, d = socket.socketpair()
    child = start(context, os.getpid)
    with a, b, c, d:
        assert wait([b, c], 0.01) == []
        a.send(1)
        assert wait([b, c]) == [b]
        d.send(b"x")
        assert wait([b, c]) == [b, c]
        assert wait([child.sentinel], LIMIT) == [child.sentinel]
    join(child)


ADDRESSES = {"AF_UNIX": None, "AF_INET": ("localhost", 0)}


@pytest.mark.parametrize("family", ADDRESSES)
@pytest.mark.parametrize("sides", ["ours", "std listens", "std connects"])
def test_listener_and_client_know_each_other_by_the_key(family, sides):
    key = b"a secret"
    listen = multiprocessing.connection.Listener if sides == "std listens" else Listener
    connect = multiprocessing.connection.Client if sides == "std connects" else Client
    with listen(ADDRESSES[family], family, authkey=key) as listener:
        accepted = []
        thread = threading.Thread(target=lambda: accepted.append(listener.accept()))
        thread.start()
        client = connect(listener.address, authkey=key)
        thread.join(LIMIT)
        with client, accepted[0] as server:
            client.send("hello")
            assert server.recv() == "hello"
            server.send_bytes(b"x" * 100_000)
            assert client.recv_bytes() == b"x" * 100_000


def test_a_wrong_key_is_refused_on_both_sides():
    with Listener(authkey=b"right") as listener:
        errors = []

        def accept():
            try:
                listener.accept()
            except procession.AuthenticationError as error:
                errors.append(error)

        thread = threading.Thread(target=accept)
        thread.start()
        with pytest.raises(procession.AuthenticationError):
            Client(listener.address, authkey=b"wrong")
        thread.join(LIMIT)
        assert errors


def test_a_stranger_cannot_make_the_listener_read_much():
    with Listener(authkey=b"key") as listener, socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(listener.address)
        stranger.send(struct.pack("!i", 1 << 30) + b"x" * 1000)
        with pytest.raises(OSError):
            listener.accept()


@pytest.mark.parametrize("digest", ["md5", "sha256", "sha384", "sha3_256", None])
def test_an_answer_fits_its_challenge(digest):
    message = b"twenty bytes of text" if digest is None else b"{%s}" % digest.encode() + b"r" * 40
    response = connection._create_response(b"key", message)
    connection._verify_challenge(b"key", message, response)
    with pytest.raises(procession.AuthenticationError):
        connection._verify_challenge(b"other", message, response)
    with pytest.raises(procession.AuthenticationError):
        connection._verify_challenge(b"key", message, b"{sha1}" + response)


def test_a_listener_leaves_no_path():
    listener = Listener()
    path = listener.address
    assert os.path.exists(path)
    listener.close()
    assert not os.path.exists(path)
    with pytest.raises(OSError):
        listener.accept()


def test_a_connection_goes_through_a_connection(context):
    ours, theirs = context.Pipe()
    reading, writing = context.Pipe(False)
    child = start(context, take_and_send, theirs)
    theirs.close()
    ours.send(writing)
    assert reading.recv() == "through"
    ours.close()
    join(child)
    resource_sharer.stop()
    reading.close()
    writing.close()


def take_and_send(end):
    with end, end.recv() as given:
        given.send("through")


@pytest.mark.parametrize("sides", ["ours", "theirs"])
def test_plain_values_travel_as_xml(sides):
    theirs = multiprocessing.connection
    listen, connect = (
        (connection.XmlListener, theirs.XmlClient) if sides == "ours" else (theirs.XmlListener, connection.XmlClient)
    )
    with listen(authkey=b"key") as listener:
        thread = threading.Thread(target=lambda: talk_back(listener.accept()))
        thread.start()
        client = connect(listener.address, authkey=b"key")
        client.send([1, "two", None, {"three": 3.5}])
        assert client.recv() == [1, "two", None, {"three": 3.5}]
        client.close()
        thread.join(LIMIT)


def talk_back(end):
    end.send(end.recv())
    assert end.poll(LIMIT)  # the other side closes
    end.close()


def test_a_wrapped_connection_uses_the_given_serializer():
    ours, theirs = Pipe()
    wrapped = connection.ConnectionWrapper(ours, lambda obj: obj.encode(), lambda message: message.decode())
    wrapped.send("text")
    assert theirs.recv_bytes() == b"text"
    theirs.send_bytes(b"back")
    assert wrapped.poll(LIMIT) and wrapped.recv() == "back"
    assert wrapped.fileno() == ours.fileno()
    wrapped.close()
    theirs.close()


class ReceivesMore:
    """When it is unpickled, it receives what comes next on the same connection."""

    inner = None

    def __init__(self, filling):
        self.filling = filling

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.then = type(self).inner.recv()


def test_memory_that_is_kept_for_messages_shows_none_of_them_to_another():
    ours, theirs = procession.Pipe()
    with ours, theirs:
        sent = [bytes([number]) * size for number, size in enumerate((70_000, 4 << 20, 100_000, 5 << 20, 70_001), 1)]
        sender = threading.Thread(target=lambda: [theirs.send(message) for message in sent])
        sender.start()
        assert [ours.recv() for _ in sent] == sent
        sender.join()

        pickle_without_end = pickle.dumps(b"x" * 100_000)[:-2]
        theirs.send_bytes(pickle_without_end)
        with pytest.raises((pickle.UnpicklingError, EOFError)):
            ours.recv()

        ReceivesMore.inner = ours
        sender = threading.Thread(target=lambda: [theirs.send(ReceivesMore(b"a" * 80_000)), theirs.send(b"b" * 80_000)])
        sender.start()
        both = ours.recv()
        sender.join()
        assert (both.filling, both.then) == (b"a" * 80_000, b"b" * 80_000)
        ours.close()
        with pytest.raises(OSError, match="closed"):
            ours.recv()
