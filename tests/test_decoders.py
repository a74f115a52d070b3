"""Whatever bytes arrive, the decoders in Python give a value or one of the errors that their callers know."""

import contextlib
import io
import os
import pickle
import socket
import struct
import xml.parsers.expat
import xmlrpc.client

import procession
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from procession import _procession, forkserver, resource_tracker
from procession._manager import wire
from procession._shared import key, strangers
from procession.connection import Connection

KEY = b"the key of these tests"
quick = settings(max_examples=150, deadline=None, database=None, derandomize=True, print_blob=False)
quick = settings(quick, suppress_health_check=[HealthCheck.function_scoped_fixture])

digests = st.sampled_from([b"", b"{md5}", b"{sha256}", b"{sha384}", b"{sha3_256}", b"{sha1}", b"{", b"{}", b"{\xff}"])
answers = st.builds(lambda digest, rest: digest + rest, digests, st.binary(max_size=80))


@quick
@given(message=answers, response=answers)
def test_no_answer_is_right_but_that_of_the_key(message, response):
    with pytest.raises(procession.AuthenticationError):
        key._verify_challenge(KEY, message, response)
    try:
        right = key._create_response(KEY, message)
    except procession.AuthenticationError:
        return
    key._verify_challenge(KEY, message, right)


class Scripted:
    """A connection whose other side says what is written down."""

    def __init__(self, messages):
        self.messages, self.sent = list(messages), []

    def send_bytes(self, message):
        self.sent.append(message)

    def recv_bytes(self, most):
        if not self.messages:
            raise EOFError
        message = self.messages.pop(0)
        if len(message) > most:
            raise OSError("bad message length")
        return message


prefixes = st.sampled_from([b"", b"#CHALLENGE#", b"#WELCOME#", b"#FAILURE#"])
messages = st.builds(lambda prefix, rest: prefix + rest, prefixes, answers)


@quick
@given(script=st.lists(messages, max_size=4))
def test_no_conversation_ends_well_without_the_key(script):
    for side in (key.deliver_challenge, key.answer_challenge):
        connection = Scripted(script)
        try:
            side(connection, KEY)
        except (procession.AuthenticationError, EOFError, OSError):
            continue
        # All that a side without the key can do is to say welcome to whatever it is answered.
        assert side is key.answer_challenge and b"#WELCOME#" in script


@quick
@given(pieces=st.lists(st.binary(min_size=1, max_size=300), max_size=6))
def test_a_stranger_never_becomes_a_friend_by_chance_and_takes_little(pieces):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stranger = strangers.Stranger(ours, None, KEY)
        with contextlib.suppress(procession.AuthenticationError, EOFError, OSError):
            for piece in pieces:
                theirs.sendall(piece)
                for _ in range(2 * len(piece)):
                    assert not stranger.hear()
                    assert len(stranger._received) <= key.LONGEST + 4


@quick
@given(data=st.binary(max_size=60))
def test_a_connection_gives_a_message_or_a_known_error(data):
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(data)
    with Connection(ours.detach()) as connection:
        while True:
            try:
                assert len(connection.recv_bytes()) <= len(data)
            except (EOFError, OSError) as error:
                assert str(error)
                break


UNPICKLING = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError, ImportError,
    UnicodeError, OverflowError, MemoryError, struct.error,
)  # fmt: skip
NOT_XML = (xml.parsers.expat.ExpatError, xmlrpc.client.Error, LookupError)


@quick
@given(payload=st.binary(max_size=200))
def test_a_request_in_xml_is_plain_values_or_an_error(payload):
    with contextlib.suppress(UNPICKLING, NOT_XML):
        wire.XmlSerializer.loads(payload)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.text("abc<>&", max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@quick
@given(value=values, cut=st.integers(0, 50))
def test_requests_come_back_and_cut_off_ones_are_errors(value, cut):
    request = [None, "method", [value], {}]
    assert wire.XmlSerializer.loads(wire.XmlSerializer.dumps(request)) == request
    payload = wire.PickleSerializer.dumps((None, "method", (value,), {}))
    assert wire.PickleSerializer.loads(payload) == (None, "method", (value,), {})
    with pytest.raises(UNPICKLING):
        wire.PickleSerializer.loads(bytes(payload)[: -1 - cut])


@quick
@given(kind=st.text(max_size=10) | st.none() | st.integers(), result=values)
def test_any_answer_of_a_server_is_an_exception_unless_it_returns(kind, result):
    assert isinstance(wire.to_error(kind, result), Exception)


lines = st.binary(max_size=40) | st.builds(
    lambda command, name, kind: b"%s:%s:%s\n" % (command, name, kind),
    st.sampled_from([b"REGISTER", b"UNREGISTER", b"PROBE", b"X"]),
    st.binary(max_size=12).filter(lambda name: b"\n" not in name),
    st.sampled_from([b"noop", b"shared_memory", b"semaphore", b"x", b""]),
)


@quick
@given(data=st.lists(lines, max_size=8).map(b"".join))
def test_lines_to_the_resource_tracker_are_followed_or_refused(data):
    left = {kind: set() for kind in ("noop", "shared_memory", "semaphore")}
    for line in io.BytesIO(data):
        with contextlib.suppress(ValueError, KeyError):
            resource_tracker._follow(line, left)
    assert all(name.encode(*resource_tracker.ENCODING) or not name for names in left.values() for name in names)


def is_number(message):
    try:
        return int(message) >= 0
    except ValueError:
        return False


@quick
@given(message=st.binary(max_size=64).filter(lambda message: not is_number(message)))
def test_any_answer_of_the_forkserver_is_a_child_or_a_known_error(message):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        if message:
            theirs.send(message)
        theirs.close()
        with pytest.raises((forkserver.ServerDied, OSError, ValueError)):
            forkserver.answer(ours)


@quick
@given(data=st.binary(max_size=64), size=st.integers(0, 8))
def test_descriptors_arrive_or_an_error_says_that_they_did_not(data, size):
    from procession import reduction

    ours, theirs = socket.socketpair()
    with ours, theirs:
        files = [ours.fileno()] * (len(data) % 4)
        if data:
            socket.send_fds(theirs, [data], files)
        theirs.shutdown(socket.SHUT_WR)
        try:
            received = reduction.recvfds(ours, size)
        except (EOFError, RuntimeError, OSError):
            return
        assert len(received) == size == len(files)
        for descriptor in received:
            os.close(descriptor)


simple = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
    | st.binary(max_size=300)
    | st.binary(max_size=300).map(bytearray)
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.tuples(inner)
        | st.tuples(inner, inner, inner)
        | st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=6,
)


@quick
@given(value=simple, after=st.binary(max_size=20))
def test_a_simple_value_comes_back_by_its_own_bytes(value, after):
    code = _procession.encode_simple(value)
    if code is not None:  # it nests too deep
        assert _procession.try_decoders(code + after) == (value, len(code))


@settings(quick, max_examples=1000)
@given(value=simple, at=st.integers(0, 400), put=st.binary(max_size=9), cut=st.integers(0, 12))
def test_a_task_or_result_that_was_damaged_is_a_value_or_a_known_error(value, at, put, cut):
    code = _procession.encode_simple(value) or b""
    at %= len(code) + 1
    damaged = code[:at] + put + code[at + cut :]
    with contextlib.suppress(UNPICKLING):
        assert _procession.try_decoders(damaged)[1] <= len(damaged)


@settings(quick, max_examples=1000)
@given(kind=st.integers(0, 30), rest=st.binary(max_size=60))
def test_bytes_of_any_kind_are_a_value_or_a_known_error(kind, rest):
    with contextlib.suppress(UNPICKLING):
        assert _procession.try_decoders(bytes([kind]) + rest)[1] <= 1 + len(rest)
