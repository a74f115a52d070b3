"""Awkward situations: what a program, its objects, its system or its user may do to a pool, one function each.

`python -m benches.faults.situations` runs each in a process of its own, under a limit, with every start method, and
looks at what is left afterwards.
"""

SITUATIONS = {}
# Those that leave their process another one: its signal handlers, its CPUs, its user, its mounts.
ALONE = set()


def situation(function):
    """Makes a function of a context one of the situations; it raises what shows that procession misbehaved."""
    name = function.__name__
    if name in SITUATIONS:
        raise ValueError(f"two situations are called {name}")
    SITUATIONS[name] = function
    return function


def alone(function):
    """Says of a situation that its process is of no use for another one."""
    ALONE.add(function.__name__)
    return function


def failure(call, *arguments, **options):
    """Returns the exception that a call raises.

    Raises:
        AssertionError: it raises none.
    """
    try:
        result = call(*arguments, **options)
    except BaseException as error:
        return error
    raise AssertionError(f"no exception, but {result!r}")


def works(pool):
    """Checks that a pool still does what it should."""
    assert pool.map(abs, range(-20, 0), 1) == list(range(20, 0, -1))
