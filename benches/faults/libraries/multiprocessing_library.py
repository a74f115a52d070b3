"""multiprocessing of the standard library, with one start method."""

import multiprocessing

from benches.faults.libraries.standard import StandardLibrary

START_METHODS = ("fork", "spawn", "forkserver")


class Library(StandardLibrary):
    """multiprocessing with one start method."""

    def __init__(self, start_method):
        super().__init__(multiprocessing, start_method)
