"""What `interpreters` has done: in a module that loads nothing, as each interpreter imports it."""


def nothing(value=None):
    """Returns what it gets: all of the time is the pool's."""
    return value


def compute(steps):
    """Computes in Python alone."""
    return sum(number * number for number in range(steps))
