"""The names in shared memory that this process has had made while somebody asks, and where in the program."""

import os
import sys

TYPE_CHECKING = False  # checkers take it for true
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Names", "is_of_program", "place_of"]

_FOLDERS = {"shared_memory": "/dev/shm/", "semaphore": "/dev/shm/sem."}
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_STANDARD = os.path.dirname(os.path.abspath(os.__file__))


class Names:
    """Hears what this process has its resource trackers watch over: that of procession, and the standard library's.

    Attributes:
        made: where each name was made, by the path of its file.
    """

    def __init__(self) -> None:
        self.made: dict[str, str] = {}
        self._trackers: list[Any] = []

    def begin(self) -> None:
        """Listen from now on."""
        from procession import resource_tracker

        self._listen(resource_tracker._resource_tracker)
        standard = sys.modules.get("multiprocessing.resource_tracker")
        if standard is not None and standard is not resource_tracker:
            self._listen(standard._resource_tracker)

    def end(self) -> None:
        """Listen no longer."""
        for tracker, before in reversed(self._trackers):
            del tracker._send
            if before is not None:  # that of a block around this one
                tracker._send = before
        self._trackers = []

    def left(self) -> "dict[str, str]":
        """Return the paths of those that are still there, each with the place where it was made."""
        return {path: place for path, place in self.made.items() if os.path.exists(path)}

    def _listen(self, tracker: "Any") -> None:
        send = tracker._send

        def heard(command: str, name: str, rtype: str) -> "Any":
            if command == "REGISTER" and rtype in _FOLDERS:
                self.made.setdefault(_FOLDERS[rtype] + name.removeprefix("/"), place_of(sys._getframe(1)))
            return send(command, name, rtype)

        self._trackers.append((tracker, vars(tracker).get("_send")))
        tracker._send = heard


def is_of_program(file: str) -> bool:
    """Whether a file of source is of the program, not of procession or the standard library."""
    if file.startswith("<") or file.startswith(_OURS + os.sep):
        return False
    return not file.startswith(_STANDARD + os.sep) or "-packages" in file


def place_of(frame: "Any") -> str:
    """Return where the program is, "file:line", as seen from a frame that it has called; empty if it is nowhere."""
    while frame is not None and not is_of_program(frame.f_code.co_filename):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
