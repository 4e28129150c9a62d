"""`workflow plan`: what is done, what is due, and why. Reads the ledger, changes nothing."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence

from workflow.ledger import runs
from workflow.ledger.details import Extracting
from workflow.ledger.runs import Run, Snapshot
from workflow.step import Step
from workflow.tasks import EXTRACT, RunDaily


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepPlan:
    """A step of a date. `reason` is for programs, `why` says the same to people.

    `current` is the run by which it is done.

    reason: done, never_ran, running, failed, interrupted, marked, logic_changed, input_replaced,
    input_due
    """

    step: str
    reason: str
    why: str
    current: Run | None

    @property
    def due(self) -> bool:
        """Whether the next run includes it."""
        return self.reason != "done"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatePlan:
    """A date: its steps in order, and which settings it was made with that have changed since."""

    date: datetime.date
    steps: list[StepPlan]
    other_settings: list[str]

    @property
    def due(self) -> bool:
        """Whether the next run includes the date."""
        return any(step.due for step in self.steps)


def plan(dates: Sequence[datetime.date]) -> list[DatePlan]:
    """The plan of some dates, in order, in a few queries whatever their number."""
    day = RunDaily(date=dates[0])
    known = runs.snapshot(day.versions(), min(dates), max(dates))
    if any(_is_orphan(run, known) for run in known.newest.values()):  # or it has just finished
        known = runs.snapshot(day.versions(), min(dates), max(dates))
    steps = {step: [task.task_family for task in step.deps()] for step in day.steps()}
    return [_date_plan(date, known, steps) for date in dates]


def _date_plan(
    date: datetime.date, known: Snapshot, steps: Mapping[Step, Sequence[str]]
) -> DatePlan:
    """`steps`, with what they read, may be of another date: all dates have the same."""
    plans = [_step_plan(date, known, step, inputs) for step, inputs in steps.items()]
    extract = known.current.get((date, EXTRACT))
    other = Extracting.of(extract).extraction.other_settings(date) if extract else []
    return DatePlan(date=date, steps=plans, other_settings=other)


def _step_plan(date: datetime.date, known: Snapshot, step: Step, inputs: Sequence[str]) -> StepPlan:
    job = step.task_family
    current, newest = known.current.get((date, job)), known.newest.get((date, job))
    if current:
        reason, why = "done", f"since {_time(current.finished_at)}"
    elif newest is None:
        reason, why = "never_ran", "never ran"
    elif newest.state == "succeeded":
        reads = {name: known.current.get((date, name)) for name in inputs}
        reason, why = _reason_of_stale(newest, step.logic_version, reads)
    else:
        reason, why = _reason_of_unpublished(newest, known)
    return StepPlan(step=job, reason=reason, why=why, current=current)


def _is_orphan(run: Run, known: Snapshot) -> bool:
    return run.state == "running" and (run.partition_date, run.job) not in known.holders


def _reason_of_unpublished(run: Run, known: Snapshot) -> tuple[str, str]:
    """Why a step whose newest row is not a success is due."""
    began = f"{_time(run.started_at)} in process {run.process} on {run.host}"
    because = f": {run.reason}" if run.reason else ""
    reasons = {
        "running": ("running", f"running since {began}"),
        "orphan": (
            "interrupted",
            f"interrupted: it began {began} and exited without recording a result",
        ),
        "failed": ("failed", f"failed {_time(run.finished_at)}: {run.error}"),
        "interrupted": ("interrupted", f"interrupted {_time(run.finished_at)}: {run.error}"),
        "invalidated": ("marked", f"marked by {run.requested_by} {_time(run.started_at)}{because}"),
    }
    return reasons["orphan" if _is_orphan(run, known) else run.state]


def _reason_of_stale(run: Run, version: int, reads: Mapping[str, Run | None]) -> tuple[str, str]:
    """Why a run that succeeded, and was not marked, is not current; `reads` are today's inputs."""
    if run.logic_version != version:
        return "logic_changed", f"logic changed: version {run.logic_version}, now {version}"
    due = [job for job, current in reads.items() if current is None]
    if due:
        return "input_due", f"input due: {' and '.join(due)}"
    again = [job for job, current in reads.items() if current and current.run_id not in run.inputs]
    return "input_replaced", f"input replaced: {' and '.join(again)} ran again"


def _time(when: datetime.datetime | None) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}" if when else "?"
