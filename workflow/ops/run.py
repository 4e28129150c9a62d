"""Run a range of dates: Luigi in a child process, as often as it takes."""

import datetime
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, suppress

from luigi.cmdline_parser import CmdlineParser
from luigi.retcodes import run_with_retcodes

from workflow import deadline, settings
from workflow.ledger import runs
from workflow.tasks import RunDaily

RANGE_CHUNK = 30  # dates in one Luigi process; its scheduler's time grows quadratically


def settings_from(options: Sequence[str]) -> AbstractContextManager[CmdlineParser]:
    """Inside, the options set the settings, as in a Luigi process that gets them."""
    return CmdlineParser.global_instance(["--module", "workflow", "RunDaily", *options])


def run_due(dates: Sequence[datetime.date], options: Sequence[str]) -> list[datetime.date]:
    """Run Luigi on the dates that are due, each once; returns those that still are due.

    A child is forked before anything is connected in it. After one that was ended at a step's
    deadline, or killed, another runs the dates that it did not get to.
    """
    tried: set[datetime.date] = set()
    while due := _due(dates, options, tried):
        # Luigi runs everything due from the first to the last: no tried date may be between them
        stops = [due[0] + datetime.timedelta(days=RANGE_CHUNK), *(d for d in tried if d > due[0])]
        chunk = [date for date in due if date < min(stops)]
        context = multiprocessing.get_context("fork")
        child = context.Process(target=_luigi, args=(chunk[0], chunk[-1], options))
        # of one date nothing is left to tell apart: the daily run need not ask
        before = _newest(chunk, options) if len(chunk) > 1 else []
        child.start()
        interrupted = False
        while child.is_alive():
            try:
                child.join()
            except KeyboardInterrupt:
                interrupted = True
                with suppress(ProcessLookupError):
                    os.killpg(child.pid or 0, signal.SIGINT)
        if interrupted:
            raise KeyboardInterrupt
        if child.exitcode == 1:  # it has printed why nothing can run
            sys.exit(1)
        ended = child.exitcode == deadline.ENDED or (child.exitcode or 0) < 0
        tried |= (ended and _worked_on(chunk, child.pid, before, options)) or set(chunk)
    return _due(dates, options)


def _due(
    dates: Sequence[datetime.date],
    options: Sequence[str],
    tried: Collection[datetime.date] = frozenset(),
) -> list[datetime.date]:
    with settings_from(options):
        settings.check()
        done = {*RunDaily.bulk_complete(dates), *tried}
    return [date for date in dates if date not in done]


def _newest(dates: Sequence[datetime.date], options: Sequence[str]) -> list[runs.Run]:
    """The newest row of each step of some dates."""
    with settings_from(options):
        return [*runs.snapshot({}, dates[0], dates[-1]).newest.values()]


def _worked_on(
    dates: Sequence[datetime.date],
    process: int | None,
    before: Sequence[runs.Run],
    options: Sequence[str],
) -> set[datetime.date]:
    """The dates on which a process has left an attempt without success."""
    # in containers every child may have the same number: only rows that came since are its own
    last = max((run.seq for run in before), default=0)
    return {
        run.partition_date
        for run in _newest(dates, options)
        if run.seq > last and run.process == process and run.state != "succeeded"
    }


def _luigi(first: datetime.date, last: datetime.date, options: Sequence[str]) -> None:
    """Run Luigi in this process; the ledger, not its exit status, has the outcome."""
    os.setsid()  # in a group of its own: one Ctrl-C must not arrive twice
    threading.Thread(target=_end_with_parent, daemon=True).start()
    task = ["RunDaily", "--date", str(first)]
    if first != last:
        days = (settings.utc_today() - first).days + 1
        task = ["RangeDaily", "--of", "RunDaily", "--start", str(first)]
        # RangeDaily's stop is exclusive; beyond these two limits it does nothing, with status 0
        task += ["--stop", str(last + datetime.timedelta(days=1))]
        task += ["--days-back", str(days), "--task-limit", str(RANGE_CHUNK)]
    try:
        run_with_retcodes(["--module", "workflow", *task, *options])
    except KeyboardInterrupt:
        sys.exit(130)


def _end_with_parent() -> None:
    """End this process when its parent ends, even by SIGKILL."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
