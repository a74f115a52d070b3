"""The package's own log: quiet until a program asks for it."""

__all__ = ["debug", "get_logger", "info", "log_to_stderr", "sub_debug", "sub_warning", "warn"]

NOTSET = 0
SUBDEBUG = 5
DEBUG = 10
INFO = 20
SUBWARNING = 25
WARNING = 30

LOGGER_NAME = "multiprocessing"  # what programs written for the standard library configure
DEFAULT_LOGGING_FORMAT = "[%(levelname)s/%(processName)s] %(message)s"

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    import logging
    from typing import Any

mouth: "Any" = None  # in a worker of a pool: what sends records and warnings to its parent

_logger: "logging.Logger | None" = None
_log_to_stderr = False


def sub_debug(message: str, *args: object) -> None:
    """Log at a level below DEBUG; nothing at the very end of an interpreter, which has emptied this module."""
    if _logger:
        _log(SUBDEBUG, message, args)


def debug(message: str, *args: object) -> None:
    """Log at level DEBUG."""
    _log(DEBUG, message, args)


def info(message: str, *args: object) -> None:
    """Log at level INFO."""
    _log(INFO, message, args)


def sub_warning(message: str, *args: object) -> None:
    """Log at a level below WARNING."""
    _log(SUBWARNING, message, args)


def warn(message: str, *args: object) -> None:
    """Log at level WARNING."""
    _log(WARNING, message, args)


def _log(level, message, args):
    if _logger:
        _logger.log(level, message, *args, stacklevel=3)


def get_logger() -> "logging.Logger":
    """Return the logger of this package; it has no handler until `log_to_stderr` or the program adds one."""
    global _logger
    if _logger is None:
        import logging

        logger = logging.getLogger(LOGGER_NAME)
        logger.propagate = 0  # type: ignore[assignment]  # as the standard library has it
        logging.addLevelName(SUBDEBUG, "SUBDEBUG")
        logging.addLevelName(SUBWARNING, "SUBWARNING")
        _logger = logger
    return _logger


def log_to_stderr(level: int | str | None = None) -> "logging.Logger":
    """Add a handler that prints to stderr, set the level unless None, and return the logger."""
    global _log_to_stderr
    import logging

    logger = get_logger()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(DEFAULT_LOGGING_FORMAT))
    logger.addHandler(handler)
    if level:
        logger.setLevel(level)
    _log_to_stderr = True
    return logger
