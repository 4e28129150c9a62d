"""`workflow plan DATE --diff`: what the current rules would change, without publishing it."""

import contextlib
import dataclasses
import datetime
import uuid
from typing import Any

from psycopg2.sql import SQL, Composed, Identifier

from spark_apps.users import KEY
from workflow import deadline, sql
from workflow.errors import DataError, StoreError
from workflow.ledger import runs
from workflow.ledger.lease import take_lease
from workflow.spark import jobs
from workflow.stores import lake, warehouse
from workflow.stores.lake import ParquetRun
from workflow.stores.postgres import connect, fetch, transaction
from workflow.tasks import COMPUTE, EXTRACT, TRANSFORM

_SQL = sql.load("difference.sql")

JOB = lake.DIFFERENCE  # names the lease; it has no row in the ledger

#: What identifies a row of a date, by table.
KEYS = dict(zip(warehouse.TABLES, ([KEY.name], ["position"], ["dimension", "member"]), strict=True))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Changes:
    """What would change in a table: how many rows, and the first of them.

    Each row has a `key` (KEY, position, or dimension and member), and the `old` and the `new`
    row as dictionaries, None where there is no row.
    """

    total: int
    new: int
    gone: int
    rows: list[Any]


def difference(date: datetime.date, *, limit: int | None = None) -> dict[str, Changes]:
    """Transform a date's raw documents with this code, and compare the rows with PostgreSQL's.

    Returns the changes by table, with at most `limit` rows of each, or all. Meanwhile the new rows
    are in the lake's scratch folder.

    Raises DataError for a date that was never extracted, LeaseError when another process compares
    the same date, and what the Spark jobs raise.
    """
    succeeded = [
        run for run in runs.history(date) if (run.job, run.state) == (EXTRACT, "succeeded")
    ]
    if not succeeded:
        raise DataError(
            f"{date} was never extracted, so nothing can be compared; run `workflow run {date}`."
        )
    with (
        take_lease(JOB, date, {}),
        deadline.watch(f"The difference of {date}", lambda _: True),
        contextlib.ExitStack() as stack,
    ):
        for run_id in lake.run_ids(JOB, date):
            with contextlib.suppress(StoreError):  # the job of a killed client may still run
                lake.remove(lake.run_url(JOB, date, run_id))
        scratch = lake.run_url(JOB, date, uuid.uuid4())
        stack.callback(lake.remove, scratch)
        jobs.transform(succeeded[-1], output=f"{scratch}/users")
        jobs.compute_statistics(f"{scratch}/users", output=f"{scratch}/statistics")
        users = ParquetRun(f"{scratch}/users", job=TRANSFORM, date=date)
        statistics = ParquetRun(f"{scratch}/statistics", job=COMPUTE, date=date)
        return _compare(date, warehouse.rows_of_day(users, statistics), limit)


def _compare(date: datetime.date, rows: warehouse.DayRows, limit: int | None) -> dict[str, Changes]:
    """Compare rows with the three tables in one snapshot; changes nothing."""
    with connect("workflow differences") as connection:
        connection.set_session(isolation_level="REPEATABLE READ")
        with transaction(connection) as cursor:
            for table in KEYS:
                cursor.execute(_statement(_SQL.create_new_table, table))
            warehouse.copy_day(cursor, date, rows, prefix="new_")
            asked = {"date": date, "limit": limit}
            found = {
                table: _changes(fetch(cursor, _statement(_SQL.different_rows, table), asked))
                for table in KEYS
            }
            connection.rollback()
    return found


def _statement(text: str, table: str) -> Composed:
    return SQL(text).format(
        key=SQL(", ").join(map(Identifier, KEYS[table])),
        table=Identifier(table),
        new_table=Identifier(f"new_{table}"),
        date=Identifier(warehouse.TABLES[table][0]),
    )


def _changes(rows: list[Any]) -> Changes:
    """Each row carries the total counts."""
    if not rows:
        return Changes(total=0, new=0, gone=0, rows=[])
    first = rows[0]
    return Changes(total=first.total, new=first.total_new, gone=first.total_gone, rows=rows)
