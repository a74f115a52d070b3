"""Messages with rights."""

import os

from procession._objects import rights


def test_no_more_descriptors_come_than_were_asked_for():
    ours, theirs = rights.pair()
    reader, writer = os.pipe()
    try:
        rights.send(ours, b"message", [reader, writer])
        message, (copy,) = rights.receive(theirs, 16, 1)
        assert message == b"message"
        assert os.path.sameopenfile(copy, reader)
        os.close(copy)
        # What was not asked for is nowhere: the pipe ends with the two that are known.
        os.close(writer)
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)
        ours.close()
        theirs.close()
