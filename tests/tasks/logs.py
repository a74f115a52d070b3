"""What workers run in `test_forwarded_logs.py`: a small module without handlers of its own."""

import logging
import warnings


def log(number):
    logger = logging.getLogger("app.part")
    logger.addHandler(logging.NullHandler())
    logger.debug("not this")
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logger.warning("item %d of %s", number, "work", exc_info=True, extra={"unpicklable": lambda: None})
    return number


def log_much(count):
    logger = logging.getLogger("app")
    for number in range(count):
        logger.info("record %d %s", number, "x" * 500)
    return count


def be_patient():
    """Wait for as long as it takes until the parent reads records, on whatever machine."""
    from procession._pool import log_records

    log_records.PATIENCE_S = 60


def configure(path):
    logging.basicConfig(filename=path, level=logging.INFO)


def warn(number):
    warnings.warn(f"odd number {number}", RuntimeWarning, stacklevel=1)
    return number
