"""How tasks ended, for tests in which some of them fail."""

LIMIT_S = 60.0


def outcome(result):
    """Return what a task returned, or what it raised."""
    try:
        return result.get(LIMIT_S)
    except BaseException as error:
        return error
