"""How two sides show each other that they know the same key, without showing the key.

One side sends a challenge: random bytes behind the name of a digest. The other answers with the name and the HMAC of
the challenge. This is the exchange of the standard library since Python 3.12; with earlier ones, which name no
digest, it is the HMAC-MD5 alone.

Each side is a generator, which is given a way to send and yields wherever it needs the other's next message: whether a
thread waits for that, or looks after many others meanwhile, is not its concern.
"""

import errno
import hmac
import os

from procession import _exceptions

CHALLENGE = b"#CHALLENGE#"
WELCOME = b"#WELCOME#"
FAILURE = b"#FAILURE#"
# In the place of a challenge: the listener cannot have another client.
NO_DESCRIPTOR = b"#NO DESCRIPTOR#"

# Random bytes of a challenge; what earlier versions sent, without a digest's name; their answer's length.
MESSAGE_LENGTH = 40
_UNNAMED_LENGTH = 20
_UNNAMED_ANSWER_LENGTH = 16

# Nothing longer is read from a side that has not yet shown that it knows the key.
LONGEST = 256

_DIGESTS = frozenset(("md5", "sha256", "sha384", "sha3_256", "sha3_384"))
_OURS = "sha256"
_UNNAMED = "md5"


def _check_key(authkey):
    if not isinstance(authkey, bytes):
        raise ValueError(f"an authentication key is bytes, not {type(authkey).__name__}")


def _named_digest(message):
    """Return the digest that stands in braces before a message, None when there is none.

    Raises:
        AuthenticationError: the name is none of those that are allowed.
    """
    if not message.startswith(b"{"):
        return None
    name, brace, _ = message[1 : len(max(_DIGESTS, key=len)) + 2].partition(b"}")
    digest = name.decode("ascii", "replace")
    if not brace or digest not in _DIGESTS:
        raise _exceptions.AuthenticationError(f"unsupported digest in a challenge or an answer: {digest!r}")
    return digest


def _hmac(authkey, message, digest):
    try:
        return hmac.new(authkey, message, digest).digest()
    except ValueError:
        # A system that follows FIPS has no md5.
        raise _exceptions.AuthenticationError(f"this system does not offer the digest {digest!r}")


def _create_response(authkey, message):
    """Return the answer to a challenge."""
    digest = None if len(message) == _UNNAMED_LENGTH else _named_digest(message)
    if digest is None:
        return _hmac(authkey, message, _UNNAMED)
    return b"{%s}" % digest.encode() + _hmac(authkey, message, digest)


def _verify_challenge(authkey, message, response):
    """Check an answer to our challenge.

    Raises:
        AuthenticationError: it is not the answer of one who knows the key.
    """
    if len(response) == _UNNAMED_ANSWER_LENGTH:
        digest, answer = _UNNAMED, response
    else:
        digest = _named_digest(response)
        if digest is None:
            raise _exceptions.AuthenticationError("an answer without the name of a digest")
        answer = response[len(digest) + 2 :]
    if not hmac.compare_digest(_hmac(authkey, message, digest), answer):
        raise _exceptions.AuthenticationError("the answer to the challenge is wrong: the keys differ")


def _delivering(send, authkey, digest_name=_OURS):
    _check_key(authkey)
    message = b"{%s}" % digest_name.encode("ascii") + os.urandom(MESSAGE_LENGTH)
    send(CHALLENGE + message)
    response = yield
    try:
        _verify_challenge(authkey, message, response)
    except _exceptions.AuthenticationError:
        send(FAILURE)
        raise
    send(WELCOME)


def _answering(send, authkey):
    _check_key(authkey)
    challenge = yield
    if challenge == NO_DESCRIPTOR:
        raise OSError(errno.EMFILE, "the other side has no descriptor left for another client (its ulimit -n)")
    if not challenge.startswith(CHALLENGE):
        raise _exceptions.AuthenticationError("the other side began without a challenge")
    message = challenge[len(CHALLENGE) :]
    if len(message) < _UNNAMED_LENGTH:
        raise _exceptions.AuthenticationError(f"a challenge of {len(message)} bytes is too short")
    send(_create_response(authkey, message))
    if (yield) != WELCOME:
        raise _exceptions.AuthenticationError("the other side did not accept our answer")


def receiving(send, authkey):
    """Prove the key to a client, as a listener does: it asks first, and answers nobody who does not know the key."""
    yield from _delivering(send, authkey)
    yield from _answering(send, authkey)


def _carry_out(steps, connection):
    try:
        next(steps)
        while True:
            steps.send(connection.recv_bytes(LONGEST))
    except StopIteration:
        pass


def deliver_challenge(connection, authkey, digest_name=_OURS):
    """Find out whether the other side knows the key; waits for its answer.

    Raises:
        AuthenticationError: it does not.
    """
    _carry_out(_delivering(connection.send_bytes, authkey, digest_name), connection)


def answer_challenge(connection, authkey):
    """Show the other side that this one knows the key; waits for its verdict.

    Raises:
        AuthenticationError: the other side does not follow the protocol, or does not accept the answer.
    """
    _carry_out(_answering(connection.send_bytes, authkey), connection)
