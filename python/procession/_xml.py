"""Connections whose objects travel as XML-RPC: plain values only, and nothing in a message can run code."""

import xmlrpc.client

from procession import connection

__all__: list[str] = []


class ConnectionWrapper:
    """A connection whose `send` and `recv` use another serializer than pickle.

    Args:
        conn: the connection.
        dumps: makes bytes of an object.
        loads: makes an object of bytes.
    """

    def __init__(self, conn, dumps, loads):
        self._conn = conn
        self._dumps = dumps
        self._loads = loads
        for name in ("fileno", "close", "poll", "recv_bytes", "send_bytes"):
            setattr(self, name, getattr(conn, name))

    def send(self, obj):
        """Send an object; waits while the pipe is full."""
        self._conn.send_bytes(self._dumps(obj))

    def recv(self):
        """Receive an object, waiting for it; EOFError when the other side is closed and nothing is left."""
        return self._loads(self._conn.recv_bytes())


def dumps(obj):
    """Return the bytes of a plain value; TypeError for what XML-RPC does not know."""
    return xmlrpc.client.dumps((obj,), allow_none=True).encode()


def loads(message):
    """Return the value that `dumps` got; tuples have become lists."""
    ((value,), _method) = xmlrpc.client.loads(message.decode())
    return value


class XmlListener(connection.Listener):
    """A listener whose connections send plain values as XML-RPC."""

    def accept(self):
        """Wait for a client and return the connection to it; AuthenticationError when it does not know the key."""
        return ConnectionWrapper(super().accept(), dumps, loads)


def XmlClient(*args, **kwds):
    """Connect to an `XmlListener` and return the connection; the arguments are those of `Client`."""
    return ConnectionWrapper(connection.Client(*args, **kwds), dumps, loads)
