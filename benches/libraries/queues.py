"""Queues by themselves, between processes of the standard library: its SimpleQueue, and faster-fifo's."""

import multiprocessing

from benches.libraries.part import START_METHODS, Part  # noqa: F401

# Room for some of the largest items that are measured: faster-fifo counts bytes, not items.
QUEUE_BYTES = 16 << 20


class Context(Part):
    """Processes and one kind of queue.

    Attributes:
        borrowed: what is the standard library's own.
    """

    borrowed = ("Process",)

    def __init__(self, name, start_method):
        context = multiprocessing.get_context(start_method)
        self.Process = context.Process
        self.Queue = _faster_fifo if name == "faster-fifo" else lambda _=0: context.SimpleQueue()


def _faster_fifo(_=0):
    import faster_fifo
    import faster_fifo_reduction  # noqa: F401  makes queues picklable

    return faster_fifo.Queue(max_size_bytes=QUEUE_BYTES)


context = Context
