"""Log records and warnings of a pool's workers, on their way to the handlers of the parent.

They go through one socket a pool, a message each, which the thread that drives the pool reads before it hands out
results. A record that finds a handler in the worker, one that an initializer or a task has added, stays there.
"""

import _pickle  # without what `pickle` loads
import os
import posix  # whose calls do not wait where there is nothing, as those of `os` do once eventlet has replaced them
import sys
import time
import warnings
from _thread import allocate_lock  # without what `threading` loads

from procession import _logs
from procession._children.late_logging import once_loaded
from procession._pool.texts import running_name
from procession._procession import above_streams

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["Ear", "forward", "levels"]

# A worker waits so long for the parent to make room, and does not wait again for a while when that was in vain.
PATIENCE_S = 1.0
DEAF_S = 5.0
_MOST_BYTES = 128 << 10
_MOST_TEXT = 20_000


def levels():
    """Return the levels of this process's loggers, by name, and what is disabled; None when it has none."""
    logging = sys.modules.get("logging")
    if logging is None:
        return None
    root = logging.getLogger()
    named = {"": root.level}
    for name, logger in list(root.manager.loggerDict.items()):
        if getattr(logger, "level", 0) and name != _logs.LOGGER_NAME:
            named[name] = logger.level
    return named, root.manager.disable


class Ear:
    """The parent's end."""

    def __init__(self):
        import _socket

        self._lock = allocate_lock()
        mine, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self._reader, self.writer = (above_streams(end.detach()) for end in (mine, theirs))
        os.set_blocking(self._reader, False)
        os.set_blocking(self.writer, False)

    def hear(self):
        """Give what has come to the handlers here. Does not wait."""
        while True:
            try:
                with self._lock:
                    if self._reader < 0:
                        return
                    message = posix.read(self._reader, _MOST_BYTES)
            except OSError:
                return
            if not message:
                return
            try:
                kind, content = _pickle.loads(message)
            except Exception as error:
                _logs.sub_warning("a record of a worker cannot be rebuilt: %s", error)
                continue
            _HANDLERS[kind](*content)

    def close(self):
        """Close both ends."""
        with self._lock:  # another thread may be about to read from what is somebody else's then
            ends = self._reader, self.writer
            self._reader = self.writer = -1
        for descriptor in ends:
            if descriptor >= 0:
                os.close(descriptor)


def _handle_record(state):
    import logging

    record = logging.makeLogRecord(state)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def _show_warning(text, category, filename, lineno):
    try:
        warnings.warn_explicit(text, category, filename, lineno)
    except Exception:
        # A filter that makes it an error has no place to raise it: it belongs to no call here.
        warnings.showwarning(UserWarning(text), UserWarning, filename, lineno)


def _show_notice(category, text, filename, lineno):
    from procession import _notices

    _notices.tell_once(category, text, filename, lineno)


_HANDLERS: "dict[str, Callable[..., None]]" = {
    "record": _handle_record,
    "warning": _show_warning,
    "notice": _show_notice,
}


def forward(descriptor, line, current, interrupts, known):
    """In the worker: send log records and warnings to the parent from now on.

    Args:
        descriptor: the worker's end of the socket.
        line: tells the parent that something was sent.
        current: a list of the function that is called.
        interrupts: knows which item of its job runs.
        known: what `levels` returned in the parent.
    """
    _logs.mouth = mouth = _Mouth(descriptor, line, current, interrupts)
    warnings.showwarning = mouth.show_warning
    if known is not None:
        once_loaded(lambda logging: _take_over(logging, mouth, known))


def _take_over(logging, mouth, known):
    """Give `logging` the parent's levels, and have it send what finds no handler here."""
    named, disabled = known
    for name, level in named.items():
        logging.getLogger(name).setLevel(level)
    logging.disable(disabled)
    _unload(logging)
    mouth.take_over(logging)


def _unload(logging):
    """Take off the handlers that came from the parent, by a fork or an import: it has them, too."""
    root = logging.getLogger()
    for logger in [root, *root.manager.loggerDict.values()]:
        if getattr(logger, "handlers", None) and logger.name != _logs.LOGGER_NAME:
            logger.handlers.clear()


class _Mouth:
    def __init__(self, descriptor, line, current, interrupts):
        self._descriptor = descriptor
        self._line = line
        self._current = current
        self._interrupts = interrupts
        self._deaf_until = 0.0
        self._dropped = 0

    def take_over(self, logging):
        """Have loggers without a handler send their records."""
        call_handlers = logging.Logger.callHandlers

        def call_or_send(logger, record):
            if logger.name == _logs.LOGGER_NAME or _has_handler(logging, logger) or not self._send_record(record):
                call_handlers(logger, record)

        logging.Logger.callHandlers = call_or_send

    def task(self):
        """Return the name of the task that runs, or an empty text."""
        return running_name(self._current, self._interrupts)

    def _send_record(self, record):
        import logging

        state = dict(vars(record))
        state["msg"], state["args"] = record.getMessage()[:_MOST_TEXT], None
        if record.exc_info:
            state["exc_text"] = record.exc_text or logging.Formatter().formatException(record.exc_info)
            state["exc_info"] = None
        state["task"] = self.task()
        if self._dropped:
            state["msg"] += f" ({self._dropped} records before this were dropped: the parent did not read them)"
        return self._send("record", (state,)) or self._send("record", (_plain(state),))

    def show_warning(self, message, category, filename, lineno, file=None, line=None):
        """Stands in for `warnings.showwarning`."""
        from procession import process

        where = " ".join(filter(None, [process.current_process().name, self.task()]))
        text = f"{message} (in {where})"[:_MOST_TEXT]
        if not self._send("warning", (text, category, filename, lineno)):
            self._send("warning", (text, UserWarning, filename, lineno))

    def send_notice(self, category, text, filename, lineno):
        """Send a warning of this package, which the parent tells once, whichever workers send it."""
        return self._send("notice", (category, text, filename, lineno))

    def _send(self, kind, content):
        """Send a message; False when it cannot be pickled, is too large, or the parent is gone."""
        try:
            message = _pickle.dumps((kind, content), 5)
        except Exception:
            return False
        if len(message) > _MOST_BYTES:
            return False
        for patience in (PATIENCE_S, 0):
            try:
                posix.write(self._descriptor, message)
            except BlockingIOError:
                if not self._wait_for_room(patience):
                    self._dropped += 1
                    return True
            except OSError:
                return False
            else:
                self._dropped = 0
                self._line.note_sent()
                return True
        return True

    def _wait_for_room(self, patience):
        now = time.monotonic()
        if patience <= 0 or now < self._deaf_until:
            return False
        import select

        self._line.note_sent()
        if not hasattr(select, "poll"):  # eventlet has taken it away
            ready = select.select([], [self._descriptor], [], patience)[1]
        else:
            poller = select.poll()
            poller.register(self._descriptor, select.POLLOUT)
            ready = poller.poll(patience * 1000)
        if ready:
            return True
        self._deaf_until = now + DEAF_S
        return False


def _has_handler(logging, logger):
    while logger is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def _plain(state):
    """Return the part of a record's state that can always travel."""
    return {name: value for name, value in state.items() if value is None or isinstance(value, str | int | float)}
