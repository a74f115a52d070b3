"""Sockets that travel to other processes."""

import os
import socket

import pytest
from procession import resource_sharer

LIMIT_S = 60
TIMEOUTS = [None, 0.0, 2.5]


@pytest.fixture(autouse=True)
def nothing_waits_to_be_fetched():
    """End the thread that hands out descriptors, which would stand beside the forks of other tests."""
    yield
    resource_sharer.stop()


def state(sock):
    """Return what the object says of its waits, and what the system says."""
    return sock.gettimeout(), os.get_blocking(sock.fileno())


def expected(timeout):
    return timeout, timeout is None


def give_back(sock):
    return state(sock), sock


def read(sock):
    """Read one byte, waiting for it as the socket's timeout says."""
    with sock:
        try:
            return state(sock), sock.recv(1)
        except BlockingIOError:
            return state(sock), b"would block"


def read_into(results, *socks):
    results.put([read(sock) for sock in socks])


def read_from(source, results):
    # Sockets come one by one, each by its own message.
    take = getattr(source, "recv", None) or source.get
    results.put([read(take()) for _ in TIMEOUTS])


def set_default(seconds):
    socket.setdefaulttimeout(seconds)


def pairs(family):
    """Return connected pairs; the first of each has its timeout, and a byte to read unless it never waits."""
    made = []
    for timeout in TIMEOUTS:
        if family == socket.AF_UNIX:
            near, far = socket.socketpair()
        else:
            with socket.create_server(("127.0.0.1", 0)) as server:
                far = socket.create_connection(server.getsockname())
                near, _ = server.accept()
        near.settimeout(timeout)
        if timeout != 0:
            far.sendall(b"x")
        made.append((near, far))
    return made


WANTED = [(expected(timeout), b"would block" if timeout == 0 else b"x") for timeout in TIMEOUTS]


@pytest.fixture(params=[socket.AF_UNIX, socket.AF_INET], ids=["unix", "tcp"])
def connected(request):
    made = pairs(request.param)
    yield [near for near, _ in made]
    for pair in made:
        for sock in pair:
            sock.close()


def test_a_socket_keeps_its_timeout_as_a_task_of_a_pool_and_as_its_result(context, connected):
    with context.Pool(1, set_default, (7,)) as pool:
        for sock, timeout in zip(connected, TIMEOUTS, strict=True):
            there, back = pool.apply(give_back, (sock,))
            with back:
                assert there == state(back) == state(sock) == expected(timeout)
        assert pool.map(read, connected) == WANTED


def test_a_socket_keeps_its_timeout_as_an_argument_of_a_process(context, connected):
    results = context.Queue()
    process = context.Process(target=read_into, args=(results, *connected))
    process.start()
    assert results.get(timeout=LIMIT_S) == WANTED
    process.join()


@pytest.mark.parametrize("channel", ["Queue", "JoinableQueue", "SimpleQueue", "Pipe"])
def test_a_socket_keeps_its_timeout_through_a_channel(context, connected, channel):
    results = context.Queue()
    source, sink = context.Pipe(False) if channel == "Pipe" else [getattr(context, channel)()] * 2
    process = context.Process(target=read_from, args=(source, results))
    process.start()
    for sock in connected:
        (getattr(sink, "send", None) or sink.put)(sock)
    assert results.get(timeout=LIMIT_S) == WANTED
    process.join()


def test_a_socket_keeps_its_timeout_through_a_manager(context, connected):
    with context.Manager() as manager:
        queue = manager.Queue()
        for sock, timeout in zip(connected, TIMEOUTS, strict=True):
            queue.put(sock)
            with queue.get() as back:
                assert state(back) == state(sock) == expected(timeout)


def accept(listening):
    with listening:
        try:
            client, _ = listening.accept()
        except BlockingIOError:
            return state(listening), b"would block"
        with client:
            return state(listening), client.recv(1)


@pytest.mark.parametrize("family", ["unix", "tcp"])
@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_a_listening_socket_keeps_its_timeout(context, tmp_path, family, timeout):
    with socket.socket(socket.AF_UNIX if family == "unix" else socket.AF_INET) as listening:
        listening.bind(str(tmp_path / "s") if family == "unix" else ("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(timeout)
        with context.Pool(1) as pool:
            result = pool.apply_async(accept, (listening,))
            if timeout != 0:
                with socket.socket(listening.family) as client:
                    client.connect(listening.getsockname())
                    client.sendall(b"x")
                    assert result.get(LIMIT_S) == (expected(timeout), b"x")
            else:
                assert result.get(LIMIT_S) == (expected(timeout), b"would block")
