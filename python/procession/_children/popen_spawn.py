"""Start method spawn: the child is a fresh interpreter."""

import os
import sys

from procession import process, spawn
from procession._children.popen import PopenBase, mask_for
from procession._children.program import INTERRUPTS, command_line, file_of, start_interpreter
from procession._procession import SignalsHeld, duplicate_above

__all__ = ["Popen"]

FIRST_NUMBER = 3  # of the descriptors a spawned program gets, in the order they are listed


class PicklingPopen(PopenBase):
    """A start method whose child unpickles its process object."""

    class DupFd:
        """What the standard library's reducers make of a duplicated descriptor."""

        def __init__(self, fd):
            self.fd = fd

        def detach(self):
            return self.fd

    def _pickle(self, process_obj, descriptors, first):
        """Return a descriptor with the preparation data and the process object.

        Args:
            descriptors: gets copies of those that the child inherits; the caller closes them.
            first: the child's number of the first one.
        """
        from procession import reduction

        self._descriptors, self._first = descriptors, first
        before = process.get_spawning_popen()
        process.set_spawning_popen(self)
        try:
            preparation = self._preparation_data(process_obj)
            tracker = sys.modules.get("procession.resource_tracker")
            if tracker is not None and tracker._resource_tracker._fd is not None:
                preparation["tracker"] = self.duplicate_for_child(tracker._resource_tracker._fd)
            told = reduction.ForkingPickler.dumps(preparation)
            self._look_at_variables(process_obj)
            data = bytes(told) + bytes(reduction.ForkingPickler.dumps(process_obj))
        finally:
            process.set_spawning_popen(before)
        return file_of(data)

    def _preparation_data(self, process_obj):
        data = spawn.get_preparation_data(process_obj._name)
        if not process_obj._heeds_interrupts:
            data["goes_on"] = True
        if self._life is not None:
            data["life"] = self.duplicate_for_child(self._life[1])
        self._mask = mask_for(process_obj)
        if self._mask & INTERRUPTS:
            data["blocks_interrupts"] = True
        if process_obj._settings:
            data["settings"] = process_obj._settings
            data["is_worker"] = process_obj._is_worker
        if "procession._around" in sys.modules:
            from procession import _around

            data["around"] = _around.pickles()
        return data

    def duplicate_for_child(self, fd):
        """Have the child inherit a copy of `fd`; return its number there."""
        self._descriptors.append(duplicate_above(fd, 0))
        return self._first + len(self._descriptors) - 1


class Popen(PicklingPopen):
    """A spawned child."""

    method = "spawn"

    def _preparation_data(self, process_obj):
        data = super()._preparation_data(process_obj)
        path = data.get("init_main_from_path", "")
        if path.endswith(".py"):
            from procession._children import main_code

            code = main_code.for_child(path)
            if code is not None:
                data["main_code"] = code
        return data

    def _launch(self, process_obj):
        descriptors = [-1, process.own_pidfd()]
        try:
            descriptors[0] = self._pickle(process_obj, descriptors, FIRST_NUMBER)
            # What a worker runs is loaded before the program's own.
            module = process_obj._target.__module__ if process_obj._is_worker else None
            arguments = command_line("spawn", len(descriptors), module)
            with SignalsHeld():
                pid = start_interpreter(arguments, descriptors, self._mask)
                self._adopt(process_obj, pid, self._watch(pid))
        finally:
            for descriptor in descriptors[:1] + descriptors[2:]:
                if descriptor >= 0:
                    os.close(descriptor)
