"""Children of tests, which have to end well."""

LIMIT = 60


def start(context, target, *args):
    """Return a process that calls a function."""
    child = context.Process(target=target, args=args)
    child.start()
    return child


def join(*children):
    """Wait for processes, none of which may fail."""
    for child in children:
        child.join(LIMIT)
        assert child.exitcode == 0
