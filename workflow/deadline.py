"""A deadline for work that may hang anywhere: in Spark, in a lake, in a driver.

The deadlines of statements and requests end most waits long before. This one is for the rest,
so that a run that nobody watches ends before the next one begins. It ends the process: nothing
is lost by that, because a step that was killed at any moment is simply due again.
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

#: How long the process waits for what it has to note before it ends, s.
NOTE_SECONDS = 5.0


@contextlib.contextmanager
def watch(work: str, note: Callable[[DeadlineError], bool]) -> Iterator[None]:
    """End the whole process when the block takes longer than `[lease] deadline`.

    `note` is called first, in another thread: it records the error, or returns False when the
    work is done after all, and the process goes on. It gets NOTE_SECONDS.
    """
    seconds = settings.lease().deadline
    error = DeadlineError(
        f"{work} took longer than {seconds:g} s ([lease] deadline); nothing was published. See "
        "what it waited for (`workflow status DATE`), or allow more; then run the date again."
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
