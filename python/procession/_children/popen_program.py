"""The child is a program of another language, which is handed a value and what it shares."""

import os

from procession import process
from procession._children.popen import PopenBase, mask_for
from procession._children.program import file_of
from procession._procession import GIVEN, SignalsHeld, given_file, neutral_dumps, spawn_process

__all__ = ["Popen"]


def _path_of(name):
    """Return the path of a program.

    Raises:
        FileNotFoundError: it is nowhere on the PATH.
    """
    if b"/" in name:
        return name
    for directory in os.get_exec_path():
        path = os.path.join(os.fsencode(directory), name)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    import errno

    raise FileNotFoundError(errno.ENOENT, "there is no such program on the PATH", os.fsdecode(name))


class Popen(PopenBase):
    """A program that was started."""

    method = "program"

    def _launch(self, process_obj):
        path = _path_of(process_obj._command[0])
        data, shared = neutral_dumps(process_obj._given)
        descriptors = [-1, process.own_pidfd(), *shared]
        if self._life is not None:
            descriptors.append(self._life[1])
        try:
            descriptors[0] = file_of(given_file(data, len(shared)))
            marker = os.fsencode(GIVEN)
            environment = [b"%s=%s" % item for item in os.environb.items() if item[0] != marker]
            environment.append(b"%s=%d" % (marker, len(descriptors)))
            with SignalsHeld():
                pid = spawn_process(path, process_obj._command, environment, descriptors, mask_for(process_obj))
                self._adopt(process_obj, pid, self._watch(pid))
        finally:
            for descriptor in (descriptors[0], *shared):
                if descriptor >= 0:
                    os.close(descriptor)
