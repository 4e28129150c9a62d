"""The ledger's rows: what happened to each step and date, and what is current.

A step of a date is done exactly when `current_runs` returns a run of it. ledger/lease.py writes
most rows; ledger/details.py knows what their details hold.
"""

import dataclasses
import datetime
import getpass
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg2.extras import Json

from workflow import sql
from workflow.stores.postgres import Cursor, connect, fetch, query, transaction

_SQL = sql.load("ledger.sql")

Versions = Mapping[str, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One row of the ledger. Times are in UTC, `bytes` as each step's docstring says."""

    seq: int
    run_id: uuid.UUID
    job: str
    partition_date: datetime.date
    state: str
    inputs: list[uuid.UUID]
    logic_version: int
    rows_in: int | None
    rows_out: int | None
    rows_rejected: int | None
    rows_erased: int | None
    bytes: int | None
    started_at: datetime.datetime
    finished_at: datetime.datetime | None
    host: str
    process: int
    requested_by: str
    reason: str | None
    error: str | None
    details: dict[str, Any]

    def __post_init__(self) -> None:
        if self.started_at.tzinfo is None:
            raise ValueError("the times of a run need a time zone")

    @property
    def unpublished(self) -> bool:
        """Whether it was an attempt that published nothing and never will."""
        return self.state in ("failed", "interrupted")

    @property
    def seconds(self) -> float | None:
        """How long the attempt took, or None while it runs."""
        if self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


def as_runs(rows: list[Any]) -> list[Run]:
    """The runs that rows of the table are."""
    return [Run(**row._asdict()) for row in rows]


def current_runs(
    versions: Versions, first: datetime.date, last: datetime.date
) -> dict[tuple[datetime.date, str], Run]:
    """The current run of each (date, job) from first to last, both inclusive. One query."""
    rows = query(_SQL.current_runs, versions=Json(versions), first=first, last=last)
    return {(run.partition_date, run.job): run for run in as_runs(rows)}


def known_dates(
    first: datetime.date | None = None, last: datetime.date | None = None
) -> list[datetime.date]:
    """The dates with rows in the ledger, in order, between the bounds if given."""
    rows = query(_SQL.known_dates, first=first, last=last)
    return [row.partition_date for row in rows]


def history(date: datetime.date) -> list[Run]:
    """All rows of a date, attempts and invalidations, in the order of `seq`."""
    return as_runs(query(_SQL.history, date=date))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What the ledger says of some dates at one moment, each by (date, job)."""

    newest: dict[tuple[datetime.date, str], Run]
    current: dict[tuple[datetime.date, str], Run]
    holders: dict[tuple[datetime.date, str], str]


def snapshot(versions: Versions, first: datetime.date, last: datetime.date) -> Snapshot:
    """The newest row, the current run and the holder of the lease of each step of some dates.

    Three queries, whatever the number of dates. The holders are those of the moment itself:
    a row `running` without one may also have ended since.
    """
    dates = {"first": first, "last": last}
    with connect("workflow") as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with transaction(connection) as cursor:
            rows = as_runs(fetch(cursor, _SQL.newest_rows, dates))
            current = as_runs(
                fetch(cursor, _SQL.current_runs, {"versions": Json(versions), **dates})
            )
            held_by = holders(cursor, list(versions), first, last)
    return Snapshot(
        newest={(run.partition_date, run.job): run for run in rows},
        current={(run.partition_date, run.job): run for run in current},
        holders=held_by,
    )


def holder(job: str, date: datetime.date) -> str | None:
    """Who holds the lease of a step and date, or None."""
    with connect("workflow") as connection, transaction(connection) as cursor:
        return holders(cursor, [job], date, date).get((date, job))


def abandoned(runs: Sequence[Run]) -> set[uuid.UUID]:
    """Those of a date's attempts that are marked `running` although their process has exited.

    The next holder of their lease marks them as interrupted.
    """
    unheld = {
        run.run_id: run.partition_date
        for run in runs
        if run.state == "running" and not holder(run.job, run.partition_date)
    }
    # or it has just finished
    again = [run for date in set(unheld.values()) for run in history(date)]
    return {run.run_id for run in again if run.state == "running" and run.run_id in unheld}


_EPOCH = datetime.date(2000, 1, 1)


def holders(
    cursor: Cursor, jobs: Sequence[str], first: datetime.date, last: datetime.date
) -> dict[tuple[datetime.date, str], str]:
    """Who holds the leases of some jobs and dates now, by (date, job)."""
    rows = fetch(cursor, _SQL.lease_holders, {"jobs": list(jobs), "first": first, "last": last})
    return {
        (_EPOCH + datetime.timedelta(days=row.days), row.job): (
            # the start of another role's session is hidden
            f"{row.name}, since {row.since:%Y-%m-%d %H:%M:%S} UTC" if row.since else row.name
        )
        for row in rows
    }


def invalidate(
    job: str, dates: Sequence[datetime.date], *, logic_version: int, reason: str | None
) -> None:
    """Make a step of some dates due, and with it all that follow; old runs stay as history."""
    with connect("workflow rerun") as connection, transaction(connection) as cursor:
        for date in dates:
            cursor.execute(
                _SQL.invalidate,
                {
                    "run_id": uuid.uuid4(),
                    "job": job,
                    "date": date,
                    "logic_version": logic_version,
                    "reason": reason,
                    **requester(),
                },
            )


def requester() -> dict[str, object]:
    """Who asks for a ledger row, and from where."""
    return {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "requested_by": getpass.getuser(),
    }
