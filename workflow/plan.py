"""`workflow plan`: what is done, what is due, and why. Asks the ledger, changes nothing."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Self

from workflow import ledger
from workflow.ledger import Run, Versions
from workflow.randomuser import Extraction

#: What each step reads, by the names of the steps, in the order in which they run.
Inputs = Mapping[str, Sequence[str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepPlan:
    """A step of a date. `reason` is a word for programs, `why` the same for people.

    reason: done, never_ran, running, failed, interrupted, marked, logic_changed, input_replaced,
    input_due
    """

    step: str
    reason: str
    why: str

    @property
    def due(self) -> bool:
        """Whether the next run works on it."""
        return self.reason != "done"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatePlan:
    """A date: its steps in order, and with which other settings it was made."""

    date: datetime.date
    steps: list[StepPlan]
    other_settings: list[str]

    @property
    def due(self) -> bool:
        """Whether the next run works on the date."""
        return any(step.due for step in self.steps)


def plan(dates: Sequence[datetime.date], versions: Versions, inputs: Inputs) -> list[DatePlan]:
    """The plan of some dates, in order, by a few queries whatever their number."""
    known = _Known.of(dates, versions, inputs)
    if known.orphans:  # or these have ended between two of the queries
        known = _Known.of(dates, versions, inputs)
    return [_date_plan(date, known) for date in dates]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Known:
    """What the ledger says of some dates, each by (date, step)."""

    newest: dict[tuple[datetime.date, str], Run]
    current: dict[tuple[datetime.date, str], Run]
    holders: dict[tuple[datetime.date, str], str]
    versions: Versions
    inputs: Inputs

    @classmethod
    def of(cls, dates: Sequence[datetime.date], versions: Versions, inputs: Inputs) -> Self:
        first, last = min(dates), max(dates)
        rows = sorted(ledger.newest_by_state(first, last), key=lambda run: run.seq)
        return cls(
            newest={(run.partition_date, run.job): run for run in rows},
            holders=ledger.holders(list(inputs), first, last),
            current=ledger.current_runs(versions, first, last),
            versions=versions,
            inputs=inputs,
        )

    @property
    def orphans(self) -> bool:
        """Whether a row says `running` and nobody holds its lease."""
        return any(
            run.state == "running" and key not in self.holders for key, run in self.newest.items()
        )


def _date_plan(date: datetime.date, known: _Known) -> DatePlan:
    extract = known.current.get((date, "ExtractUsers"))
    steps = []
    for job in known.inputs:
        reason, why = _reason(date, job, known)
        steps.append(StepPlan(step=job, reason=reason, why=why))
    return DatePlan(
        date=date, steps=steps, other_settings=_other_settings(extract) if extract else []
    )


def _reason(date: datetime.date, job: str, known: _Known) -> tuple[str, str]:
    """`StepPlan.reason` and `.why` of a step."""
    run = known.newest.get((date, job))
    if (date, job) in known.current:
        return "done", f"since {_time(known.current[date, job].finished_at)}"
    if run is None:
        return "never_ran", "never ran"
    if run.state == "succeeded":
        return _reason_of_stale(run, known)
    began = f"{_time(run.started_at)} in process {run.process} on {run.host}"
    because = f": {run.reason}" if run.reason else ""
    reasons = {
        "running": ("running", f"running since {began}"),
        "orphan": ("interrupted", f"interrupted: it began {began} and ended without a word"),
        "failed": ("failed", f"failed {_time(run.finished_at)}: {run.error}"),
        "interrupted": ("interrupted", f"interrupted {_time(run.finished_at)}: {run.error}"),
        "invalidated": ("marked", f"marked by {run.requested_by} {_time(run.started_at)}{because}"),
    }
    orphan = run.state == "running" and (date, job) not in known.holders
    return reasons["orphan" if orphan else run.state]


def _reason_of_stale(run: Run, known: _Known) -> tuple[str, str]:
    """Why a run that succeeded, and was not marked, is not current."""
    version = known.versions[run.job]
    if run.logic_version != version:
        return "logic_changed", f"logic changed: version {run.logic_version}, now {version}"
    reads = {job: known.current.get((run.partition_date, job)) for job in known.inputs[run.job]}
    due = [job for job, current in reads.items() if current is None]
    if due:
        return "input_due", f"input due: {' and '.join(due)}"
    again = [job for job, current in reads.items() if current and current.run_id not in run.inputs]
    return "input_replaced", f"input replaced: {' and '.join(again)} ran again"


def _time(when: datetime.datetime | None) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}" if when else "?"


def _other_settings(extract: Run) -> list[str]:
    """How a date's extraction differs from what today's settings ask for; makes nothing due."""
    made, now = extract.details["extraction"], Extraction.of(extract.partition_date)
    return [
        f"{what} {made[key]} (now {getattr(now, key)})"
        for key, what in (("url", "source"), ("users_per_day", "users per day"))
        if made[key] != getattr(now, key)
    ]
