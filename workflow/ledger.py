"""The ledger: what is done, who works on what, and what came of it.

A step of a date is done exactly when `current_runs` returns a run of it. Whoever works on
a step holds its *lease*, a session-level advisory lock on a connection of its own: the
result is published on that very connection, so a holder that lost it cannot publish, and
one that was killed blocks nobody.

    with lease("LoadUsers", date) as held:
        held.current_runs(versions)               done meanwhile by somebody else?
        with held.attempt(inputs=…, …) as attempt:
            …                                     the work
            attempt.publish(versions, outcome)    one transaction with the work's rows
"""

import contextlib
import dataclasses
import datetime
import getpass
import logging
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import psycopg2
from psycopg2.extras import Json

from workflow import deadline, schema, sql
from workflow.errors import DataError, LeaseError, WorkflowError, innermost
from workflow.postgres import (
    Connection,
    Cursor,
    connect,
    fetch,
    fetch_once,
    first_line,
    transaction,
)
from workflow.settings import lease as lease_settings

log = logging.getLogger(__name__)
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
            raise ValueError("a run's times carry their time zone")

    @property
    def ended_in_vain(self) -> bool:
        """Whether it was an attempt that published nothing and never will."""
        return self.state in ("failed", "interrupted")

    @property
    def left_over(self) -> bool:
        """Whether an extraction ended in vain and was not swept since."""
        return self.ended_in_vain and "swept" not in self.details

    @property
    def extraction_id(self) -> uuid.UUID:
        """Under which id an attempt of ExtractUsers wrote to Cassandra."""
        return uuid.UUID(self.details["extraction_id"])

    @property
    def seconds(self) -> float | None:
        """How long the attempt took, or None while it runs."""
        if self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an attempt hands over: rows_in = rows_out + rows_rejected, or it is refused."""

    rows_in: int
    rows_out: int
    rows_rejected: int = 0
    bytes: int
    details: dict[str, Any]


def _runs(rows: list[Any]) -> list[Run]:
    return [Run(**row._asdict()) for row in rows]


def current_runs(
    versions: Versions, first: datetime.date, last: datetime.date
) -> dict[tuple[datetime.date, str], Run]:
    """The current run of each (date, job) from first to last, both inclusive. One query."""
    rows = fetch_once(_SQL.current_runs, versions=Json(versions), first=first, last=last)
    return {(run.partition_date, run.job): run for run in _runs(rows)}


def known_dates(
    first: datetime.date | None = None, last: datetime.date | None = None
) -> list[datetime.date]:
    """The dates that the ledger has rows of, in order, between the bounds given."""
    rows = fetch_once(_SQL.known_dates, first=first, last=last)
    return [row.partition_date for row in rows]


def history(date: datetime.date) -> list[Run]:
    """All rows of a date, attempts and invalidations, in the order of `seq`."""
    return _runs(fetch_once(_SQL.history, date=date))


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
            rows = _runs(fetch(cursor, _SQL.newest_rows, dates))
            current = _runs(fetch(cursor, _SQL.current_runs, {"versions": Json(versions), **dates}))
            holders = _holders(cursor, list(versions), first, last)
    return Snapshot(
        newest={(run.partition_date, run.job): run for run in rows},
        current={(run.partition_date, run.job): run for run in current},
        holders=holders,
    )


def holder(job: str, date: datetime.date) -> str | None:
    """Who holds the lease of a step and date, if anybody does."""
    with connect("workflow") as connection, transaction(connection) as cursor:
        return _holders(cursor, [job], date, date).get((date, job))


def abandoned(runs: Sequence[Run]) -> set[uuid.UUID]:
    """Those of a date's attempts that are marked `running` and whose process is gone.

    The next holder of their lease marks them as interrupted.
    """
    unheld = {
        run.run_id: run.partition_date
        for run in runs
        if run.state == "running" and not holder(run.job, run.partition_date)
    }
    # or it has just ended
    again = [run for date in set(unheld.values()) for run in history(date)]
    return {run.run_id for run in again if run.state == "running" and run.run_id in unheld}


_EPOCH = datetime.date(2000, 1, 1)


def _holders(
    cursor: Cursor, jobs: Sequence[str], first: datetime.date, last: datetime.date
) -> dict[tuple[datetime.date, str], str]:
    rows = fetch(cursor, _SQL.lease_holders, {"jobs": list(jobs), "first": first, "last": last})
    return {
        (_EPOCH + datetime.timedelta(days=row.days), row.job): (
            # another role's start is shown to nobody
            f"{row.name}, since {row.since:%Y-%m-%d %H:%M:%S} UTC" if row.since else row.name
        )
        for row in rows
    }


def busy(job: str, date: datetime.date, holder: str) -> str:
    """The sentence for a wait that was in vain."""
    return (
        f"{job} of {date} is being worked on by somebody else ({holder}); "
        f"we waited {lease_settings().wait:g} s ([lease] wait). Run the date again later."
    )


def invalidate(
    job: str, dates: Sequence[datetime.date], *, logic_version: int, reason: str | None
) -> None:
    """Make a step of some dates due, and with it all that follows; old runs stay as history."""
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
                    **_requester(),
                },
            )


def _requester() -> dict[str, object]:
    """Who asks for a ledger row, and from where."""
    return {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "requested_by": getpass.getuser(),
    }


@contextlib.contextmanager
def _kept(connection: Connection) -> Iterator[Cursor]:
    """A transaction on the lease's connection. Raises LeaseError when that was lost."""
    outcome = "so nothing was published. Run the date again when PostgreSQL is back"
    try:
        with transaction(connection) as cursor:
            yield cursor
            outcome = (
                "and the answer to the commit with it. Run the date again when PostgreSQL is back: "
                "it goes on from what was published"
            )
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as exc:
        if not connection.closed:
            raise
        reason = first_line(innermost(exc))  # not that of the rollback that then failed, too
        raise LeaseError(
            f"The connection that holds the lease was lost ({reason}), {outcome}."
        ) from exc


class Attempt:
    """A row `running` in the ledger, until it is published or ended otherwise.

    `started_at` is later than that of all earlier attempts of its step and date.
    """

    def __init__(
        self,
        connection: Connection,
        run_id: uuid.UUID,
        inputs: Sequence[Run],
        started_at: datetime.datetime,
    ) -> None:
        self._connection = connection
        self.run_id = run_id
        self.inputs = inputs
        self.started_at = started_at
        self.published = False

    def publish(
        self, versions: Versions, outcome: Outcome | Callable[[Cursor], Outcome]
    ) -> Outcome:
        """Publish the outcome in one transaction on the lease's connection.

        A function instead of an outcome gets that transaction's cursor: the rows that it
        writes become visible together with the ledger row, or not at all.

        Raises DataError when rows are missing or an input was replaced meanwhile, LeaseError
        when the lease was lost, and whatever the function raises; nothing is published then.
        A commit whose answer was lost with the connection counts when PostgreSQL says so.
        """
        try:
            with _kept(self._connection) as cursor:
                done = outcome(cursor) if callable(outcome) else outcome
                self._succeed(cursor, versions, done)
        except LeaseError:
            if not self._is_committed():
                raise
        self.published = True
        return done

    def _succeed(self, cursor: Cursor, versions: Versions, done: Outcome) -> None:
        if done.rows_in != done.rows_out + done.rows_rejected:
            raise DataError(
                f"{done.rows_in:,} rows came in, but {done.rows_out:,} went out and "
                f"{done.rows_rejected:,} were rejected; nothing was published. Run the "
                "date again; if this stays, `workflow verify` names the broken store."
            )
        self._require_current_inputs(cursor, versions)
        cursor.execute(
            _SQL.succeed,
            {
                "run_id": self.run_id,
                "rows_in": done.rows_in,
                "rows_out": done.rows_out,
                "rows_rejected": done.rows_rejected,
                "bytes": done.bytes,
                "details": Json(done.details),
            },
        )
        if cursor.rowcount != 1:
            raise LeaseError(
                "Another process took this step over while we worked, and our attempt "
                "is marked as interrupted; nothing was published. Run it again."
            )

    def _is_committed(self) -> bool:
        """Whether the row says that it succeeded, as far as PostgreSQL can be asked."""
        with contextlib.suppress(WorkflowError):
            rows = fetch_once(_SQL.state_after_commit, run_id=self.run_id)
            return [row.state for row in rows] == ["succeeded"]
        return False

    def _require_current_inputs(self, cursor: Cursor, versions: Versions) -> None:
        if not self.inputs:
            return
        dates = [run.partition_date for run in self.inputs]
        rows = fetch(
            cursor,
            _SQL.current_runs,
            {"versions": Json(versions), "first": min(dates), "last": max(dates)},
        )
        current = {row.run_id for row in rows}
        for run in self.inputs:
            if run.run_id not in current:
                raise DataError(
                    f"The input from {run.job} of {run.partition_date} was replaced while we "
                    "worked on it; nothing was published. Run the date again."
                )

    def _end(self, state: str, error: BaseException) -> None:
        """Note how the attempt ended, on a new connection: ours may be what failed."""
        with connect("workflow ledger") as connection, connection.cursor() as cursor:
            cursor.execute(
                _SQL.end_without_success,
                {
                    "run_id": self.run_id,
                    "state": state,
                    # text in PostgreSQL holds no NUL, and what failed may have sent one
                    "error": (str(error) or repr(error)).replace("\0", "\\0"),
                },
            )


class Lease:
    """The right to work on one step of one date, as long as its connection lives."""

    def __init__(self, connection: Connection, job: str, date: datetime.date) -> None:
        self._connection = connection
        self.job = job
        self.date = date

    def current_runs(self, versions: Versions) -> dict[str, Run]:
        """The current runs of the date by job, as seen by the lease's own connection."""
        with _kept(self._connection) as cursor:
            rows = fetch(
                cursor,
                _SQL.current_runs,
                {"versions": Json(versions), "first": self.date, "last": self.date},
            )
        return {run.job: run for run in _runs(rows)}

    def history(self) -> list[Run]:
        """All rows of this step and date, attempts and invalidations, in the order of `seq`."""
        with _kept(self._connection) as cursor:
            return _runs(fetch(cursor, _SQL.history_of_step, {"job": self.job, "date": self.date}))

    def mark_swept(self, runs: Sequence[Run]) -> None:
        """Note that what these attempts left behind is gone."""
        with _kept(self._connection) as cursor:
            cursor.execute(_SQL.mark_swept, {"run_ids": [run.run_id for run in runs]})

    @contextlib.contextmanager
    def attempt(
        self, *, inputs: Sequence[Run], logic_version: int, rows_in: int, details: dict[str, Any]
    ) -> Iterator[Attempt]:
        """A committed ledger row `running`; `failed` or `interrupted` if the block raises."""
        run_id = uuid.uuid4()
        with _kept(self._connection) as cursor:
            (row,) = fetch(
                cursor,
                _SQL.start_attempt,
                {
                    "run_id": run_id,
                    "job": self.job,
                    "date": self.date,
                    "inputs": [run.run_id for run in inputs],
                    "logic_version": logic_version,
                    "rows_in": rows_in,
                    "details": Json(details),
                    **_requester(),
                },
            )
        attempt = Attempt(self._connection, run_id, inputs, row.started_at)
        try:
            yield attempt
        except BaseException as raised:
            exc = deadline.behind(raised)
            state = "failed" if isinstance(exc, Exception) else "interrupted"
            if not attempt.published:
                with contextlib.suppress(WorkflowError):  # the next holder marks the row
                    attempt._end(state, exc)
            raise


@contextlib.contextmanager
def lease(job: str, date: datetime.date) -> Iterator[Lease]:
    """Take the lease of a step of a date; wait for it at most `[lease] wait` seconds.

    Rows that an earlier holder left as `running` become `interrupted`.

    Raises LeaseError, which names the holder, when the wait was in vain; SchemaError when the
    database is not of this version; StoreError.
    """
    wait = lease_settings().wait
    # the server cuts names at 63 bytes: the number of the process must not be cut
    name = f"{job} {date} on {socket.gethostname()[:17]}, process {os.getpid()}"
    with connect(name) as connection:
        key = {"job": job, "date": date}
        with transaction(connection) as cursor:
            # a session that waits for the work, and ends soon after its process is killed
            cursor.execute(
                "SET idle_session_timeout = 0; SET client_connection_check_interval = '5s'"
            )
            applied = fetch(cursor, _SQL.schema_migrations, {})
            schema.require("PostgreSQL", {row.name: row.sha256 for row in applied})
            held = fetch(cursor, _SQL.try_lease, key)[0].held
        if not held:
            _wait_for_lease(connection, key, wait)
        with transaction(connection) as cursor:
            cursor.execute(_SQL.interrupt_abandoned, key)
        yield Lease(connection, job, date)


def _wait_for_lease(connection: Connection, key: dict[str, Any], wait: float) -> None:
    with transaction(connection) as cursor:
        job, date = key["job"], key["date"]
        holder = _holders(cursor, [job], date, date).get((date, job), "unknown")
    log.info("Waiting up to %g s for another process: %s", wait, holder)
    try:
        with transaction(connection) as cursor:
            milliseconds = max(1, int(wait * 1000))
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET LOCAL lock_timeout = %s", (milliseconds,))
            cursor.execute(_SQL.wait_for_lease, key)
    except psycopg2.errors.LockNotAvailable as exc:
        raise LeaseError(busy(job, date, holder)) from exc
