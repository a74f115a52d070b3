"""Log records that name the running process: `logging` asks the standard library, which may not be loaded."""

from procession.late_logging import chores_once_loaded

__all__ = []


def _chores():
    """Return the calls that have log records name the running process; where `logging` is not loaded, once it is."""
    return chores_once_loaded(_name_records)


def _name_records(logging):
    make = logging.getLogRecordFactory()
    if getattr(make, "names_process", False):
        return

    def named(*args, **kwargs):
        from procession import process

        record = make(*args, **kwargs)
        if record.processName == "MainProcess":
            record.processName = process.current_process().name
        return record

    named.names_process = True
    logging.setLogRecordFactory(named)
