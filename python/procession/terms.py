"""What a pool and its workers agree on; a worker needs no more of the pool's arguments, so it imports nothing."""

__all__ = ["Terms"]


class Terms:
    """What the workers of a pool are given, and how much of it; checked by `_checks`.

    Attributes:
        initializer: what each worker calls first, or None.
        initargs: its arguments.
        max_tasks: after how many tasks a worker is replaced, or None.
        max_memory: how many bytes of memory it may have, or None.
        max_age: after how many seconds it is replaced, or None.
        expected: what the initializer reads, a `variables.Expected`, or None.
    """

    expected = None

    def __init__(self, initializer=None, initargs=(), max_tasks=None, max_memory=None, max_age=None):
        self.initializer = initializer
        self.initargs = initargs
        self.max_tasks = max_tasks
        self.max_memory = max_memory
        self.max_age = max_age
