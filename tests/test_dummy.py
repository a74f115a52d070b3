"""procession.dummy: the package's interface on threads."""

import threading

import pytest
from procession import dummy
from procession.context import BufferTooShort

LIMIT_S = 60


def test_a_process_is_a_thread_with_an_exit_code():
    gate = dummy.Event()
    process = dummy.Process(target=gate.wait, args=(LIMIT_S,))
    assert process.exitcode is None
    process.start()
    assert dummy.active_children() == [process] and process.is_alive() and process.exitcode is None
    gate.set()
    process.join(LIMIT_S)
    assert dummy.active_children() == [] and process.exitcode == 0


def test_only_its_maker_may_start_a_process():
    process, errors = dummy.Process(), []

    def start():
        try:
            process.start()
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join(LIMIT_S)
    assert len(errors) == 1


def test_the_manager_is_the_module():
    manager = dummy.Manager()
    assert repr(manager.Namespace(b=1, a=2, _c=3)) == "Namespace(a=2, b=1)"
    assert manager.Value("i", 3).value == 3
    assert manager.Array("i", [1, 2])[1] == 2
    assert manager.dict(a=1) == {"a": 1} and manager.list([1]) == [1]
    with manager.Pool(2) as pool:
        assert pool.map(abs, [-1]) == [1]
    manager.shutdown()
    assert all(hasattr(dummy, name) for name in dummy.__all__)


def test_a_client_reaches_a_listener():
    with dummy.connection.Listener() as listener:
        client = dummy.connection.Client(listener.address)
        server = listener.accept()
        thing = object()
        client.send(thing)
        assert server.poll(LIMIT_S) and server.recv() is thing
        assert not server.poll() and not server.poll(-1) and not server.poll(0.01)
    with pytest.raises(OSError):
        listener.accept()


def test_bytes_are_copied_and_checked():
    here, there = dummy.Pipe()
    here.send_bytes(b"hello", 1, 3)
    assert there.recv_bytes() == b"ell"
    for part in ((6,), (-1,), (2, 5), (2, -1)):
        with pytest.raises(ValueError):
            here.send_bytes(b"hello", *part)
    room = bytearray(4)
    here.send_bytes(b"abc")
    assert there.recv_bytes_into(room, 1) == 3 and room == b"\0abc"
    here.send_bytes(b"abcde")
    with pytest.raises(BufferTooShort) as caught:
        there.recv_bytes_into(room)
    assert caught.value.args == (b"abcde",)
