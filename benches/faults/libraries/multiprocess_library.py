"""multiprocess, with one start method."""

import multiprocess

from benches.faults.libraries.standard import StandardLibrary

START_METHODS = ("fork", "spawn", "forkserver")


class Library(StandardLibrary):
    """multiprocess with one start method."""

    def __init__(self, start_method):
        super().__init__(multiprocess, start_method)
