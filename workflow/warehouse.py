"""The warehouse: users, rejected users and statistics of a date in PostgreSQL."""

import csv
import dataclasses
import datetime
import io
import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv

from workflow import sql
from workflow.postgres import Cursor, connect, fetch, fetch_once, transaction

_SQL = sql.load("warehouse.sql")

#: Columns of `users` after partition_date, as TransformUsers names them.
USER_COLUMNS = (
    "user_id", "username", "title", "first_name", "last_name", "gender", "birth_date", "age",
    "email", "phone", "cell", "street_number", "street_name", "city", "state", "country",
    "postcode", "latitude", "longitude", "timezone_offset", "nationality", "registered_at",
    "picture_url", "position",
)  # fmt: skip

#: Columns of `user_statistics` after stat_date, as ComputeStats names them.
STATISTICS_COLUMNS = (
    "dimension", "member", "users", "share", "age_avg", "age_min", "age_median", "age_max",
)  # fmt: skip

#: Users, rejects and statistics of a date, see `replace_day`.
DayRows = tuple[Iterable[pa.RecordBatch], Iterable[pa.RecordBatch], Iterable[pa.RecordBatch]]

_CSV = pyarrow.csv.WriteOptions(include_header=False)


def ensure_month(date: datetime.date) -> None:
    """Make the partition of `users` that holds a date. Commits at once, blocks no reader."""
    with connect("workflow ensure_month") as connection, transaction(connection) as cursor:
        cursor.execute(_SQL.ensure_month, {"date": date})


def replace_day(
    cursor: Cursor,
    date: datetime.date,
    users: Iterable[pa.RecordBatch],
    rejected: Iterable[pa.RecordBatch],
    statistics: Iterable[pa.RecordBatch],
) -> dict[str, Any]:
    """Replace what a date holds in the three tables, inside the caller's transaction.

    The batches are streamed: `users` with USER_COLUMNS; `rejected` with position, user_id
    and reasons (a list of structs reason, field, value); `statistics` with
    STATISTICS_COLUMNS. Returns the date's `fingerprint`.
    """
    for statement in (
        _SQL.delete_users,
        _SQL.delete_rejected_users,
        _SQL.delete_user_statistics,
    ):
        cursor.execute(statement, {"date": date})
    _copy_day(cursor, date, (users, rejected, statistics))
    return dict(fetch(cursor, _SQL.fingerprint, {"date": date})[0]._asdict())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Changes:
    """What would change in a table: how many rows, and the first of them.

    Each row has a `key` (user_id, position, or dimension and member), and what is there `old`
    and `new` as a dictionary, None where there is nothing.
    """

    total: int
    new: int
    gone: int
    rows: list[Any]


def differences(date: datetime.date, rows: DayRows, *, limit: int | None) -> dict[str, Changes]:
    """What `replace_day` would change, by table, with at most `limit` rows of each or all.

    Changes nothing. The three tables are looked at in one moment.
    """
    with connect("workflow differences") as connection:
        connection.set_session(isolation_level="REPEATABLE READ")
        with transaction(connection) as cursor:
            cursor.execute(_SQL.create_new_tables)
            _copy_day(cursor, date, rows, prefix="new_")
            found = {
                table: _changes(fetch(cursor, statement, {"date": date, "limit": limit}))
                for table, statement in (
                    ("users", _SQL.different_users),
                    ("rejected_users", _SQL.different_rejected_users),
                    ("user_statistics", _SQL.different_user_statistics),
                )
            }
            connection.rollback()
    return found


def _changes(rows: list[Any]) -> Changes:
    """Each row carries the counts of all."""
    if not rows:
        return Changes(total=0, new=0, gone=0, rows=[])
    first = rows[0]
    return Changes(total=first.total, new=first.total_new, gone=first.total_gone, rows=rows)


def where_is(date: datetime.date, user_id: uuid.UUID) -> list[Any]:
    """Where a person stands on a date, as the tables say: `table`, `position`, `row`."""
    return fetch_once(_SQL.where_is, date=date, user_id=user_id)


def fingerprint(date: datetime.date) -> dict[str, Any]:
    """Row counts and content digests of what a date holds now, see `fingerprint` in SQL."""
    return dict(fetch_once(_SQL.fingerprint, date=date)[0]._asdict())


def statistics(date: datetime.date) -> list[Any]:
    """The rows of `user_statistics` of a date: all, gender, age_band, nationality."""
    return fetch_once(_SQL.statistics_of_date, date=date)


def _copy_day(cursor: Cursor, date: datetime.date, rows: DayRows, prefix: str = "") -> None:
    """Stream a date into the three tables, or into those whose names begin with a prefix."""
    users, rejected, statistics = rows
    _copy(
        cursor,
        f"{prefix}users (partition_date, {', '.join(USER_COLUMNS)})",
        _csv_of_batches(date, users),
    )
    _copy(
        cursor,
        f"{prefix}rejected_users (partition_date, position, user_id, reasons, offending)",
        _csv_of_rejects(date, rejected),
    )
    _copy(
        cursor,
        f"{prefix}user_statistics (stat_date, {', '.join(STATISTICS_COLUMNS)})",
        _csv_of_batches(date, statistics),
    )


def _csv_of_batches(date: datetime.date, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """CSV as PostgreSQL reads it: null is nothing, the empty string is two quotes."""
    for batch in batches:
        if not batch.num_rows:
            continue
        dates = pa.array([date] * batch.num_rows, pa.date32())
        dated = pa.RecordBatch.from_arrays(
            [dates, *batch.columns], names=["partition_date", *batch.schema.names]
        )
        sink = io.BytesIO()
        pyarrow.csv.write_csv(dated, sink, _CSV)
        yield sink.getvalue()


def _csv_of_rejects(date: datetime.date, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """The same by Python's csv: pyarrow writes no lists, and rejects are few."""
    for batch in batches:
        text = io.StringIO()
        writer = csv.writer(text)
        for row in batch.to_pylist():
            # a row may have one reason in several fields
            reasons = list(dict.fromkeys(reason["reason"] for reason in row["reasons"]))
            offending = {
                reason["field"]: reason["value"] for reason in row["reasons"] if reason["field"]
            }
            writer.writerow(
                [date, row["position"], row["user_id"], json.dumps(reasons), json.dumps(offending)]
            )
        yield text.getvalue().encode()


class _Chunks(io.RawIOBase):
    """Chunks of bytes as the readable file that COPY wants."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _copy(cursor: Cursor, table: str, chunks: Iterator[bytes]) -> None:
    stream = io.BufferedReader(_Chunks(chunks), buffer_size=1 << 20)
    cursor.copy_expert(f"COPY {table} FROM STDIN (FORMAT csv)", stream, size=1 << 18)
