"""A deadline for work that may hang anywhere: in Spark, in a lake, in a driver.

The deadlines of statements and requests end most waits long before. This one is for the rest,
so that a run that nobody watches ends before the next one begins.
"""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator

from workflow.errors import DeadlineError

log = logging.getLogger(__name__)

#: A library may swallow the error of the alarm, in a loop of retries; then it rings again, s.
AGAIN = 5.0

#: How long work that does not let Python run may go on after its deadline, s.
GRACE = 60.0

#: The exit status of a process that had to be ended, EX_SOFTWARE of sysexits.h.
ENDED = 70

_REMEDY = "See what it waited for (`workflow status DATE`), or allow more; then run the date again."

_passed: DeadlineError | None = None  # an alarm is the process's own, and so is what it says


@contextlib.contextmanager
def after(seconds: float, sentence: str) -> Iterator[None]:
    """Raise DeadlineError in the block when it takes longer than `seconds`.

    Call it from the main thread, where Luigi runs every task: an alarm interrupts the block.
    Whatever a library makes of that, a DeadlineError leaves the block. Work that does not come
    back to Python within GRACE then is ended with its whole process: the lease's connection
    closes with it, and the ledger row is interrupted.
    """
    global _passed
    inside = True
    _passed = None

    def alarm(*_: object) -> None:
        global _passed
        if inside:
            _passed = DeadlineError(f"{sentence}; nothing was published. {_REMEDY}")
            raise _passed

    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        stubborn = f"{sentence}, and does not let itself be stopped. {_REMEDY}"
        with or_end(seconds + GRACE, stubborn):
            try:
                yield
            finally:
                inside = False  # before anything else: an alarm that rings here is too late
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
    except Exception as exc:
        error = behind(exc)
        if error is exc:
            raise
        raise error from exc
    finally:
        _passed = None


@contextlib.contextmanager
def or_end(seconds: float, sentence: str) -> Iterator[None]:
    """End the whole process when the block takes longer than `seconds`, whatever it waits for."""

    def end() -> None:
        log.critical("Error: %s", sentence)
        os._exit(ENDED)

    last_resort = threading.Timer(seconds, end)
    last_resort.daemon = True
    last_resort.start()
    try:
        yield
    finally:
        last_resort.cancel()


def behind(error: BaseException) -> BaseException:
    """The DeadlineError that an error comes from, or the error itself."""
    return _passed if _passed and isinstance(error, Exception) else error
