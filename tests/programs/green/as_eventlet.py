"""What eventlet replaces otherwise than gevent."""

import os
import select


def patch():
    """Take `select.poll` away, have `os.read` wait, and let nobody wait for a descriptor for which another waits."""
    del select.poll
    plain_read, plain_select, awaited = os.read, select.select, set()

    def read(descriptor, size):
        if not os.get_blocking(descriptor):
            select.select([descriptor], [], [])
        return plain_read(descriptor, size)

    def only_one(readers, writers, errors, timeout=None):
        mine = {getattr(file, "fileno", lambda file=file: file)() for file in (*readers, *writers)}
        if timeout != 0 and mine & awaited:
            raise RuntimeError(f"second simultaneous wait for {mine & awaited}")
        awaited.update(mine)
        try:
            return plain_select(readers, writers, errors, timeout)
        finally:
            awaited.difference_update(mine)

    os.read, select.select = read, only_one
