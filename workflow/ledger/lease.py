"""The lease: who may work on a step of a date, and how the result is published.

A lease is a session-level advisory lock on a connection of its own, and the result is published
on that very connection: a holder that lost it cannot publish, and one that was killed blocks
nobody.

    with take_lease("LoadUsers", date, versions) as lease:
        lease.current_runs()                            has another process done it meanwhile?
        with lease.attempt(inputs, rows_in=…, …) as attempt:
            …                                           the work, watched by a deadline
            with attempt.publishing() as cursor:        one transaction with the work's rows
                return attempt.succeed(cursor, Outcome(…))
"""

import contextlib
import dataclasses
import datetime
import logging
import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg2
from psycopg2.extras import Json

from workflow import deadline, settings, sql
from workflow.errors import SENTENCE_MAX, DataError, LeaseError, WorkflowError, innermost
from workflow.ledger.details import Details
from workflow.ledger.runs import Run, Versions, as_runs, holders, requester
from workflow.printable import printable
from workflow.stores import schema
from workflow.stores.postgres import (
    Connection,
    Cursor,
    connect,
    fetch,
    first_line,
    query,
    transaction,
)

log = logging.getLogger(__name__)
_SQL = sql.load("ledger.sql")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an attempt publishes: rows in = rows_out + rows_rejected, or it is refused."""

    rows_out: int
    rows_rejected: int = 0
    bytes: int
    details: Details


def busy(job: str, date: datetime.date, holder: str) -> str:
    """The sentence for a wait that timed out."""
    return (
        f"{job} of {date} is held by another process ({holder}), for which we waited "
        f"{settings.lease().wait:g} s ([lease] wait). Run the date again later."
    )


@contextlib.contextmanager
def _lease_transaction(connection: Connection) -> Iterator[Cursor]:
    """A transaction on the lease's connection. Raises LeaseError when that was lost."""
    outcome = "so nothing was published. Run the date again when PostgreSQL is back"
    try:
        with transaction(connection) as cursor:
            yield cursor
            outcome = (
                "and with it the reply to the commit. Run the date again when PostgreSQL is back: "
                "it resumes from what was published"
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
        self, lease: "Lease", inputs: Sequence[Run], row: Any, connection: Connection
    ) -> None:
        self.run_id: uuid.UUID = row.run_id
        self.started_at: datetime.datetime = row.started_at
        self._rows_in: int = row.rows_in
        self._lease = lease
        self._inputs = inputs
        self._connection = connection
        self._succeeded = False

    @contextlib.contextmanager
    def publishing(self) -> Iterator[Cursor]:
        """One transaction on the lease's connection, in which `succeed` must be called.

        The rows that the block writes become visible together with the ledger row, or not at all.

        Raises LeaseError when the lease was lost, and whatever the block raises; nothing is
        published then. A commit whose reply was lost with the connection counts if PostgreSQL
        confirms it.
        """
        if self._succeeded:
            raise RuntimeError("an attempt is published once")
        try:
            with _lease_transaction(self._connection) as cursor:
                yield cursor
                if not self._succeeded:
                    raise RuntimeError("an attempt publishes rows without its ledger row")
        except LeaseError:
            if not self._succeeded or not self._is_committed():
                raise

    def record(self, details: Details) -> None:
        """Add details to the ledger row, at once."""
        with _lease_transaction(self._connection) as cursor:
            parameters = {"run_id": self.run_id, "details": Json(details.as_json())}
            cursor.execute(_SQL.record_details, parameters)

    def succeed(self, cursor: Cursor, outcome: Outcome) -> Outcome:
        """Write the outcome into the ledger row, in the transaction of `publishing`.

        Raises DataError when rows are missing or an input was replaced meanwhile, LeaseError when
        another process took the step over.
        """
        if self._rows_in != outcome.rows_out + outcome.rows_rejected:
            raise DataError(
                f"{self._rows_in:,} rows came in, but {outcome.rows_out:,} went out and "
                f"{outcome.rows_rejected:,} were rejected; nothing was published. Run the "
                "date again; if the error persists, `workflow verify` names the broken store."
            )
        self._require_current_inputs(cursor)
        cursor.execute(
            _SQL.succeed,
            {
                "run_id": self.run_id,
                "rows_in": self._rows_in,
                "rows_out": outcome.rows_out,
                "rows_rejected": outcome.rows_rejected,
                "bytes": outcome.bytes,
                "details": Json(outcome.details.as_json()),
            },
        )
        if cursor.rowcount != 1:
            raise LeaseError(
                "Another process took this step over during the work, and our attempt is "
                "marked as interrupted; nothing was published. Run the date again."
            )
        self._succeeded = True
        return outcome

    def _require_current_inputs(self, cursor: Cursor) -> None:
        if not self._inputs:
            return
        current = {run.run_id for run in self._lease.fetch_current_runs(cursor)}
        for run in self._inputs:
            if run.run_id not in current:
                raise DataError(
                    f"The input from {run.job} of {run.partition_date} was replaced during the "
                    "work; nothing was published. Run the date again."
                )

    def _is_committed(self) -> bool:
        """Whether the row says that it succeeded, if PostgreSQL can be reached."""
        with contextlib.suppress(WorkflowError):
            rows = query(_SQL.state_after_commit, run_id=self.run_id)
            return [row.state for row in rows] == ["succeeded"]
        return False

    def end(self, error: BaseException) -> bool:
        """Record `failed` or `interrupted` with its error; whether the attempt was still running.

        On a new connection, because the lease's own may have failed. When PostgreSQL is away, the
        next holder of the lease marks the row.
        """
        parameters = {
            "run_id": self.run_id,
            "state": "failed" if isinstance(error, Exception) else "interrupted",
            # also because text in PostgreSQL holds no NUL
            "error": printable(str(error) or repr(error), SENTENCE_MAX),
        }
        with (
            contextlib.suppress(WorkflowError),
            connect("workflow ledger") as connection,
            transaction(connection) as cursor,
        ):
            cursor.execute(_SQL.end_without_success, parameters)
            return cursor.rowcount == 1
        return True


class Lease:
    """The right to work on one step of one date, as long as its connection lives.

    `versions` are the logic versions of the step and of all that it reads.
    """

    def __init__(
        self, connection: Connection, job: str, date: datetime.date, versions: Versions
    ) -> None:
        self._connection = connection
        self._versions = versions
        self.job = job
        self.date = date

    def current_runs(self) -> dict[str, Run]:
        """The current runs of the date by job, as seen by the lease's own connection."""
        with _lease_transaction(self._connection) as cursor:
            return {run.job: run for run in self.fetch_current_runs(cursor)}

    def fetch_current_runs(self, cursor: Cursor) -> list[Run]:
        """The same inside a transaction."""
        dates = {"first": self.date, "last": self.date}
        return as_runs(
            fetch(cursor, _SQL.current_runs, {"versions": Json(self._versions), **dates})
        )

    def history(self) -> list[Run]:
        """All rows of this step and date, attempts and invalidations, in the order of `seq`."""
        with _lease_transaction(self._connection) as cursor:
            return as_runs(
                fetch(cursor, _SQL.history_of_step, {"job": self.job, "date": self.date})
            )

    def mark_swept(self, runs: Sequence[Run]) -> None:
        """Record that what these attempts left behind is removed."""
        with _lease_transaction(self._connection) as cursor:
            cursor.execute(_SQL.mark_swept, {"run_ids": [run.run_id for run in runs]})

    @contextlib.contextmanager
    def attempt(
        self, inputs: Sequence[Run], *, rows_in: int, details: Details | None = None
    ) -> Iterator[Attempt]:
        """A committed ledger row `running`; `failed` or `interrupted` if the block raises.

        A block that takes longer than `[lease] deadline` ends as `failed`, and with it the process.
        """
        with _lease_transaction(self._connection) as cursor:
            (row,) = fetch(
                cursor,
                _SQL.start_attempt,
                {
                    "run_id": uuid.uuid4(),
                    "job": self.job,
                    "date": self.date,
                    "inputs": [run.run_id for run in inputs],
                    "logic_version": self._versions[self.job],
                    "rows_in": rows_in,
                    "details": Json(details.as_json() if details else {}),
                    **requester(),
                },
            )
        attempt = Attempt(self, inputs, row, self._connection)
        try:
            with deadline.watch(f"{self.job} of {self.date}", attempt.end):
                yield attempt
        except BaseException as exc:
            attempt.end(exc)  # which changes nothing in a row that is published
            raise


@contextlib.contextmanager
def take_lease(job: str, date: datetime.date, versions: Versions) -> Iterator[Lease]:
    """Take the lease of a step of a date; wait for it at most `[lease] wait` seconds.

    Rows that an earlier holder left as `running` become `interrupted`.

    Raises LeaseError, which names the holder, when the wait timed out; SchemaError when the
    database is not of this version; StoreError.
    """
    # the server cuts names at 63 bytes, and the number of the process must survive
    name = f"{job} {date} on {socket.gethostname()[:17]}, process {os.getpid()}"
    with connect(name) as connection:
        key = {"job": job, "date": date}
        with transaction(connection) as cursor:
            # the session idles during the work, and ends soon after its process is killed
            cursor.execute(
                "SET idle_session_timeout = 0; SET client_connection_check_interval = '5s'"
            )
            applied = fetch(cursor, _SQL.schema_migrations, {})
            schema.require("PostgreSQL", {row.name: row.sha256 for row in applied})
            taken = fetch(cursor, _SQL.try_lease, key)[0].taken
        if not taken:
            _wait_for_lease(connection, key)
        with transaction(connection) as cursor:
            cursor.execute(_SQL.interrupt_abandoned, key)
        yield Lease(connection, job, date, versions)


def _wait_for_lease(connection: Connection, key: dict[str, Any]) -> None:
    wait = settings.lease().wait
    with transaction(connection) as cursor:
        job, date = key["job"], key["date"]
        holder = holders(cursor, [job], date, date).get((date, job), "unknown")
    log.info("Waiting up to %g s for another process: %s", wait, holder)
    try:
        with transaction(connection) as cursor:
            milliseconds = max(1, int(wait * 1000))
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET LOCAL lock_timeout = %s", (milliseconds,))
            cursor.execute(_SQL.wait_for_lease, key)
    except psycopg2.errors.LockNotAvailable as exc:
        raise LeaseError(busy(job, date, holder)) from exc
