"""How much memory tests may give to workers."""

import psutil


def limit_beyond(context, megabytes):
    """Return a limit of bytes that leaves so many MB to tasks: forked workers begin with the memory of the tests'
    process, which grows."""
    own = psutil.Process().memory_info().rss if context.get_start_method() == "fork" else 0
    return (-(-own // 1_000_000) + megabytes) * 1_000_000
