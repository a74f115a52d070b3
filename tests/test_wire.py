"""What strangers may send to a listener: each gets a clear error, none keeps others waiting or makes it take memory."""

import hmac
import os
import resource
import socket
import struct
import threading
import tracemalloc

import procession
import pytest
from procession._shared import strangers as accepting
from procession.connection import Client, Listener, Pipe

LIMIT = 60
KEY = b"the key of these tests"
ADDRESSES = {"AF_UNIX": None, "AF_INET": ("localhost", 0)}
REFUSALS = (procession.AuthenticationError, EOFError, OSError)


@pytest.fixture(params=ADDRESSES)
def listener(request):
    with Listener(ADDRESSES[request.param], request.param, backlog=64, authkey=KEY) as listener:
        yield listener


@pytest.fixture
def endless_patience(monkeypatch):
    """Whoever is served was not served because somebody else's time ran out."""
    monkeypatch.setattr(accepting, "PATIENCE_SECONDS", 3600.0)


def stranger_of(listener):
    stranger = socket.socket(getattr(socket, listener._listener._family))
    stranger.settimeout(LIMIT)
    stranger.connect(listener.address)
    return stranger


def framed(message):
    return struct.pack("!i", len(message)) + message


def heard(stranger):
    (size,) = struct.unpack("!i", stranger.recv(4, socket.MSG_WAITALL))
    return stranger.recv(size, socket.MSG_WAITALL)


def answer_to(challenge, key=KEY, digest="sha256"):
    message = challenge.removeprefix(b"#CHALLENGE#")
    return b"{%s}" % digest.encode() + hmac.new(key, message, digest).digest()


def is_served(listener, errors=None):
    """Whether a client that knows the key gets through, after `errors` about others if that is a list."""
    clients = []
    thread = threading.Thread(target=lambda: clients.append(Client(listener.address, authkey=KEY)))
    thread.start()
    while True:
        try:
            server = listener.accept()
            break
        except REFUSALS as error:
            if errors is None:
                raise
            errors.append(error)
    thread.join(LIMIT)
    with server, clients[0] as client:
        client.send("it works")
        return server.recv() == "it works"


GARBAGE = {
    "nothing but zeros": b"\0" * 1000,
    "an empty message": framed(b""),
    "random bytes": bytes(range(7, 256)) * 4,
    "a web browser": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a length of 2 GiB": struct.pack("!i", (1 << 31) - 1) + b"x" * 1000,
    "a length of 1 EiB": struct.pack("!iQ", -1, 1 << 60) + b"x" * 1000,
    "a length one above the limit": framed(b"x" * 257),
    "a negative length": struct.pack("!i", -7) + b"x" * 1000,
    "an answer without a digest": framed(b"x" * 32),
    "an unknown digest": framed(b"{sha1}" + b"x" * 20),
    "a digest without an end": framed(b"{sha256" + b"x" * 32),
    "bytes that are no text for a digest": framed(b"{\xff\xfe}" + b"x" * 32),
    "the answer of another key": framed(b"{sha256}" + b"x" * 32),
    "the old answer of another key": framed(b"x" * 16),
    "an answer that is cut off": framed(b"{sha256}" + b"x" * 31),
    "what a listener says": framed(b"#WELCOME#"),
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_refused_and_the_next_client_is_served(listener, garbage):
    with stranger_of(listener) as stranger:
        stranger.sendall(GARBAGE[garbage])
        with pytest.raises(REFUSALS) as caught:
            listener.accept()
        assert str(caught.value)
        assert is_served(listener)


def test_a_client_that_stops_half_way_is_refused_and_the_next_is_served(listener):
    for cut in range(1, len(framed(b"{sha256}" + b"x" * 32))):
        with stranger_of(listener) as stranger:
            stranger.sendall(framed(b"{sha256}" + b"x" * 32)[:cut])
            stranger.shutdown(socket.SHUT_WR)
            with pytest.raises(REFUSALS, match="closed its connection"):
                listener.accept()
    assert is_served(listener)


# What a client does, one step after the other, until it knows that both sides know the key.
STEPS = [
    lambda stranger, heard_last: heard(stranger),
    lambda stranger, heard_last: stranger.sendall(framed(answer_to(heard_last))[:20]),
    lambda stranger, heard_last: stranger.sendall(framed(answer_to(heard_last))[20:]),
    lambda stranger, heard_last: heard(stranger),
    lambda stranger, heard_last: stranger.sendall(framed(b"#CHALLENGE#{sha256}" + b"r" * 40)[:9]),
    lambda stranger, heard_last: stranger.sendall(framed(b"#CHALLENGE#{sha256}" + b"r" * 40)[9:]),
    lambda stranger, heard_last: heard(stranger),
    lambda stranger, heard_last: stranger.sendall(framed(b"#WELCOME#")[:5]),
]


@pytest.mark.parametrize("steps", range(len(STEPS) + 1))
def test_a_client_that_goes_away_at_any_step_is_refused_and_the_next_is_served(listener, steps):
    def play():
        with stranger_of(listener) as stranger:
            last = b""
            for step in STEPS[:steps]:
                last = step(stranger, last) or last

    thread = threading.Thread(target=play)
    thread.start()
    with pytest.raises(REFUSALS):
        listener.accept()
    thread.join(LIMIT)
    assert is_served(listener)


def test_an_answer_is_good_for_its_own_challenge_only(listener):
    recorded = []

    def play(replay):
        with stranger_of(listener) as stranger:
            challenge = heard(stranger)
            answer = replay or answer_to(challenge)
            stranger.sendall(framed(answer))
            recorded.append((answer, heard(stranger)))

    for replay in (None, "the first answer"):
        thread = threading.Thread(target=play, args=(replay and recorded[0][0],))
        thread.start()
        with pytest.raises(REFUSALS):
            listener.accept()
        thread.join(LIMIT)
    assert [verdict for _, verdict in recorded] == [b"#WELCOME#", b"#FAILURE#"]


@pytest.mark.parametrize(
    "challenge", [b"", b"#CHALLENGE#", b"#CHALLENGE#short", b"#CHALLENGE#{sha1}" + b"r" * 40, b"no"]
)
def test_nothing_is_answered_to_what_is_no_challenge(challenge):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(procession.connection.arbitrary_address("AF_UNIX"))
        server.listen()
        thread = threading.Thread(target=lambda: serve_challenge(server, challenge))
        thread.start()
        with pytest.raises(procession.AuthenticationError):
            Client(server.getsockname(), authkey=KEY)
        thread.join(LIMIT)
        os.unlink(server.getsockname())


def serve_challenge(server, challenge):
    accepted, _ = server.accept()
    with accepted:
        accepted.sendall(framed(challenge))
        assert accepted.recv(100) == b""


def test_a_listener_answers_nobody_who_has_not_shown_the_key(listener):
    with stranger_of(listener) as stranger:
        stranger.sendall(framed(b"#CHALLENGE#{sha256}" + b"r" * 40))
        with pytest.raises(procession.AuthenticationError):
            listener.accept()
        assert heard(stranger).startswith(b"#CHALLENGE#")
        assert heard(stranger) == b"#FAILURE#"
        assert stranger.recv(1000) == b""


def test_a_silent_client_does_not_keep_the_listener_for_ever(listener, monkeypatch):
    monkeypatch.setattr(accepting, "PATIENCE_SECONDS", 0.01)
    with stranger_of(listener) as stranger:
        with pytest.raises(procession.AuthenticationError, match="within 0.01 seconds"):
            listener.accept()
        assert heard(stranger).startswith(b"#CHALLENGE#")
        assert stranger.recv(1000) == b""
    monkeypatch.undo()
    assert is_served(listener)


def test_one_byte_now_and_then_does_not_keep_the_listener_for_ever(listener, monkeypatch):
    monkeypatch.setattr(accepting, "PATIENCE_SECONDS", 0.2)
    with stranger_of(listener) as stranger:
        over = threading.Event()

        def drip():
            while not over.wait(0.01):
                try:
                    stranger.send(b"\0")
                except OSError:
                    return

        # An announced length of 200, then zeros.
        stranger.sendall(struct.pack("!i", 200))
        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(procession.AuthenticationError, match="within"):
            listener.accept()
        over.set()
        thread.join(LIMIT)
    monkeypatch.undo()
    assert is_served(listener)


def test_silent_and_slow_clients_keep_nobody_else_waiting(listener, endless_patience):
    strangers = [stranger_of(listener) for _ in range(20)]
    for stranger in strangers[::2]:
        stranger.sendall(struct.pack("!i", 200) + b"x")
    assert is_served(listener)
    # A silent one that goes on later is served too.
    late = strangers.pop()
    thread = threading.Thread(target=go_on, args=(late, heard(late)))
    thread.start()
    with listener.accept() as server:
        assert server.recv_bytes() == b"late"
    thread.join(LIMIT)
    for stranger in strangers:
        stranger.close()
    assert is_served(listener, [])


def go_on(stranger, challenge):
    with stranger:
        stranger.sendall(framed(answer_to(challenge)))
        assert heard(stranger) == b"#WELCOME#"
        stranger.sendall(framed(b"#CHALLENGE#{sha256}" + b"r" * 40))
        assert heard(stranger) == answer_to(b"#CHALLENGE#{sha256}" + b"r" * 40)
        stranger.sendall(framed(b"#WELCOME#") + framed(b"late"))


def test_more_silent_clients_than_the_listener_looks_after_make_way(listener, endless_patience, monkeypatch):
    monkeypatch.setattr(accepting, "MOST_STRANGERS", 4)
    monkeypatch.setattr(accepting, "SHORT_PATIENCE_SECONDS", 0.01)
    strangers = [stranger_of(listener) for _ in range(20)]
    errors = []
    assert is_served(listener, errors)
    assert 0 < len(errors) <= len(strangers)
    assert all(isinstance(error, procession.AuthenticationError) for error in errors)
    for stranger in strangers:
        stranger.close()


def test_a_client_is_not_blamed_for_the_time_in_which_nobody_accepted(listener, monkeypatch):
    with stranger_of(listener) as early:
        assert is_served(listener)
        # As if it had all happened long ago.
        listener._strangers._left_at -= 3600
        for stranger in listener._strangers._waiting:
            stranger.since -= 3600
        thread = threading.Thread(target=go_on, args=(early, heard(early)))
        thread.start()
        with listener.accept() as server:
            assert server.recv_bytes() == b"late"
        thread.join(LIMIT)


def test_an_announced_length_takes_no_memory_before_the_key_is_shown(listener):
    for size in (struct.pack("!i", (1 << 31) - 1), struct.pack("!iQ", -1, 1 << 40), struct.pack("!i", 257)):
        with stranger_of(listener) as stranger:
            stranger.sendall(size + b"x" * 1000)
            tracemalloc.start()
            try:
                with pytest.raises(OSError, match="bad message length"):
                    listener.accept()
                assert tracemalloc.get_traced_memory()[1] < 256 << 10
            finally:
                tracemalloc.stop()


def test_an_interrupt_ends_the_wait_for_clients(listener):
    # Through a signal handler, as Ctrl-C does.
    import signal

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with stranger_of(listener), pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            listener.accept()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# -- behind the handshake, or without one ----------------------------------------------------------------------------


def test_a_listener_without_a_key_goes_on_after_garbage():
    with Listener() as listener:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\5abc", b"\0\0", b"\xff\xff\xff\x00rest", b"\0\0\0\4junk"):
            with stranger_of(listener) as stranger:
                stranger.sendall(garbage)
                stranger.shutdown(socket.SHUT_WR)
                with listener.accept() as server, pytest.raises(Exception) as caught:
                    server.recv()
                assert not isinstance(caught.value, (MemoryError, RuntimeError)) and str(caught.value)


@pytest.mark.parametrize(
    "head", [b"\0\0\0\5abc", b"\0", b"\xff\xff\xff\xff\0\0", b"\xff\xff\xff\xff" + b"\0" * 7 + b"\5abc"]
)
def test_a_stream_that_ends_within_a_message_is_an_os_error(head):
    ours, theirs = Pipe()
    with ours:
        os.write(theirs.fileno(), head)
        theirs.close()
        with pytest.raises(OSError, match="within a message"):
            ours.recv_bytes()


def receive_with_little_memory(end, other_end):
    other_end.close()
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    most = used + (512 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with pytest.raises(OSError, match="within a message"):
        end.recv_bytes()
    raise SystemExit(7)


@pytest.mark.parametrize("size", [(1 << 31) - 1, 1 << 50])
def test_a_length_alone_takes_little_memory(context, size):
    ours, theirs = context.Pipe()
    child = context.Process(target=receive_with_little_memory, args=(theirs, ours))
    child.start()
    theirs.close()
    head = struct.pack("!i", size) if size < 1 << 31 else struct.pack("!iQ", -1, size)
    os.write(ours.fileno(), head + b"some bytes")
    ours.close()
    child.join(LIMIT)
    assert child.exitcode == 7


def test_a_long_message_whose_length_is_true_arrives():
    ours, theirs = Pipe()
    message = os.urandom(1 << 20) * 129 + b"the end"
    with ours, theirs:
        sender = threading.Thread(target=theirs.send_bytes, args=(message,))
        sender.start()
        assert ours.recv_bytes() == message
        sender.join(LIMIT)
