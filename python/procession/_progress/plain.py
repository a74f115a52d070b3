"""Progress as lines, for logs and wherever nothing can be drawn: few of them, however long it takes."""

from procession._progress.words import line

__all__ = ["Plain"]

FIRST_S = 10.0
EVERY_S = 30.0


class Plain:
    """Writes a line after 10 seconds, one each 30 seconds, and a last one.

    Args:
        stream: where to.
        always: whether there is a last one although none was written before.
    """

    interval = 0.5
    is_on_terminal = False

    def __init__(self, stream, always=False):
        self._stream = stream
        self._next = FIRST_S
        self._writes_last = always

    def draw(self, progress):
        """Take note of a `Progress`; write it if it is time."""
        if progress.ended:
            due = self._writes_last
        else:
            due = progress.seconds >= self._next
            if due:
                self._next = progress.seconds + EVERY_S
                self._writes_last = True
        if due:
            try:
                self._stream.write(f"{line(progress)}\n")
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads any more: the map goes on
                self._next = float("inf")
                self._writes_last = False

    def close(self):
        """Nothing is to be taken back."""
