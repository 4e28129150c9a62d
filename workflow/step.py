"""What every step does around its work: lease, another look at the ledger, deadline, progress."""

import contextlib
import datetime
import logging
from collections.abc import Iterator
from typing import Any, ClassVar

import luigi
from luigi.rpc import RPCError

from workflow import settings
from workflow.errors import DataError, SettingsError, WorkflowError
from workflow.ledger.lease import Lease, Outcome, take_lease
from workflow.ledger.runs import Run
from workflow.ledger.target import LedgerTarget

log = logging.getLogger(__name__)


@contextlib.contextmanager
def sentence_instead_of_traceback() -> Iterator[None]:
    """Where Luigi would print a traceback for an error of ours, exit with its sentence."""
    try:
        yield
    except WorkflowError as exc:
        raise SystemExit(f"Error: {exc}") from exc


class PartitionDate(luigi.DateParameter):
    """A date; by default today's in UTC, looked up when the task is created."""

    def parse(self, value: str) -> datetime.date:
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            raise SystemExit(
                f"Error: {value!r} is not a date of the calendar; write it as YYYY-MM-DD."
            ) from None

    def task_value(self, task_name: str, param_name: str) -> datetime.date:
        return super().task_value(task_name, param_name) or settings.utc_today()


class Dated(luigi.Task):
    """A task of one partition date; bad settings or a bad date are refused."""

    date: datetime.date = PartitionDate(  # type: ignore[assignment]
        default=None,  # type: ignore[arg-type]  # means today, see task_value
        description="partition date, YYYY-MM-DD; today in UTC",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        with sentence_instead_of_traceback():
            settings.check()
            today = settings.utc_today()
            if self.date > today:
                raise SettingsError(
                    f"{self.date} is in the future: today is {today} in UTC. "
                    "Choose today's date or an earlier one."
                )

    def steps(self) -> "list[Step]":
        """The steps that this task needs, itself included, each after the steps that it reads."""
        needed = [step for task in self.deps() for step in task.steps()]
        return list(dict.fromkeys([*needed, self] if isinstance(self, Step) else needed))

    def versions(self) -> dict[str, int]:
        """The logic version of each of `steps`."""
        return {step.task_family: step.logic_version for step in self.steps()}


class Step(Dated):
    """A task that is complete when its ledger row says so.

    Raise `logic_version` by hand when the step's code gives other rows than before.
    """

    logic_version: ClassVar[int]
    _visualiser_is_away = False

    def output(self) -> LedgerTarget:
        return LedgerTarget(self.task_family, self.date, self.versions())

    def complete(self) -> bool:
        with sentence_instead_of_traceback():
            return self.output().exists()

    def run(self) -> None:
        """Take the lease, look again, work.

        Raises LeaseError when another process keeps it, DataError when an input is missing.
        """
        with take_lease(self.task_family, self.date, self.versions()) as lease:
            current = lease.current_runs()
            if self.task_family in current:
                log.info("%s of %s was done by another process", self.task_family, self.date)
                return
            inputs = [current.get(task.task_family) for task in self.deps()]
            found = [run for run in inputs if run is not None]
            if len(found) < len(inputs):
                raise DataError(
                    f"An input of {self.task_family} of {self.date} was invalidated meanwhile; "
                    "run the date again."
                )
            outcome = self.work(lease, *found)
            counts = (
                f"{outcome.rows_out + outcome.rows_rejected:,} in, {outcome.rows_out:,} out, "
                f"{outcome.rows_rejected:,} rejected"
            )
            self.show_progress(counts, 100)
            log.info("%s %s: %s", self.task_family, self.date, counts)

    def work(self, lease: Lease, *inputs: Run) -> Outcome:
        """Do the step in an attempt and publish it; `inputs` are those of `requires()`."""
        raise NotImplementedError

    def show_progress(self, message: str, percent: int) -> None:
        """Show the step's progress in the visualiser; a luigid that is away fails no step."""
        if self._visualiser_is_away:
            return
        try:
            self.set_status_message(message)  # type: ignore[misc]  # Luigi sets both during run()
            self.set_progress_percentage(percent)  # type: ignore[misc]
        except RPCError as exc:
            self._visualiser_is_away = True  # each try takes 10 s
            log.warning("The visualiser does not show the progress of %s: %s", self, exc)
