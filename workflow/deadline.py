"""A deadline for work that may hang anywhere: in Spark, in a lake, in a driver.

Timeouts of statements and requests end most waits much earlier. This deadline is for the rest, so
that an unattended run ends before the next one begins. It ends the process: nothing is lost,
because a step that is killed at any moment is simply due again.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator

from workflow import settings
from workflow.errors import DeadlineError

log = logging.getLogger(__name__)

#: The exit status of a process that was ended, EX_SOFTWARE of sysexits.h.
ENDED = 70

#: How long the process waits for the failure to be recorded before it ends, s.
NOTE_SECONDS = 5.0


@contextlib.contextmanager
def watch(work: str, note: Callable[[DeadlineError], bool]) -> Iterator[None]:
    """End the whole process when the block takes longer than `[lease] deadline`.

    `note` is called first, in another thread, for at most NOTE_SECONDS: it records the error, or
    returns False when the work is done after all and the process may continue.
    """
    seconds = settings.lease().deadline
    error = DeadlineError(
        f"{work} took longer than {seconds:g} s ([lease] deadline); nothing was published. "
        "Find out what it waited for (`workflow status DATE`), or raise the deadline; then run the "
        "date again."
    )
    done = threading.Event()

    def record() -> None:
        if not note(error):
            done.set()

    def end() -> None:
        recording = threading.Thread(target=record, daemon=True)
        recording.start()
        recording.join(NOTE_SECONDS)
        if not done.is_set():
            log.critical("Error: %s", error)
            os._exit(ENDED)

    watchdog = threading.Timer(seconds, end)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        done.set()
        watchdog.cancel()
