"""The warehouse: users, rejected users and statistics of a date in PostgreSQL."""

import csv
import datetime
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.csv
from psycopg2.sql import SQL, Identifier, Literal

from spark_apps.users import COLUMNS, DIMENSIONS, FIGURES, KEY, REJECTS, STATISTICS, TABLE
from workflow import sql
from workflow.errors import DataError, StoreError
from workflow.stores.lake import CLEAN, REJECTED, ParquetRun
from workflow.stores.postgres import Cursor, connect, fetch, first_line, query, transaction

_SQL = sql.load("warehouse.sql")

#: Users, rejects and statistics of a date, in the order of TABLES, as `rows_of_day` gives them.
DayRows = tuple[Iterable[pa.RecordBatch], Iterable[pa.RecordBatch], Iterable[pa.RecordBatch]]

#: Row counts and content digests of what a date holds: `users`, `users_digest`, …, and in
#: `columns` by table which columns the digests cover.
Fingerprint = dict[str, Any]

#: Columns by table.
Columns = Mapping[str, Sequence[str]]

#: The columns of the three tables after their date, in the order of users.py.
USER_COLUMNS = (*(column.name for column in COLUMNS), "position")
STATISTICS_COLUMNS = ("dimension", "member", *(figure.name for figure in FIGURES))

#: The tables of a day, each with all its columns, the one of the date first.
TABLES: Columns = {
    TABLE: ["partition_date", *USER_COLUMNS],
    REJECTS: ["partition_date", "position", KEY.name, "reasons", "offending"],
    STATISTICS: ["stat_date", *STATISTICS_COLUMNS],
}

#: What a fingerprint without `columns` covers: the columns of the first schema.
FIRST_COLUMNS: Columns = {
    TABLE: ["partition_date", *USER_COLUMNS[:23], "position"],
    REJECTS: TABLES[REJECTS][:5],
    STATISTICS: TABLES[STATISTICS][:9],
}

_CSV = pyarrow.csv.WriteOptions(include_header=False)


def ensure_month(date: datetime.date) -> None:
    """Create the partition of `users` for a date. Commits at once, blocks no reader."""
    with connect("workflow ensure_month") as connection, transaction(connection) as cursor:
        cursor.execute(_SQL.ensure_month, {"date": date})


def rows_of_day(users: ParquetRun, statistics: ParquetRun) -> DayRows:
    """Clean users, rejects and statistics as the tables take them, in bounded batches.

    `users` with USER_COLUMNS; rejects with position, key and reasons (a list of structs
    reason, field, value); `statistics` with STATISTICS_COLUMNS.
    """
    return (
        users.batches(USER_COLUMNS, CLEAN),
        users.batches(["position", KEY.name, "reasons"], REJECTED),
        statistics.batches(STATISTICS_COLUMNS),
    )


def replace_day(cursor: Cursor, date: datetime.date, rows: DayRows) -> Fingerprint:
    """Replace what a date holds in the three tables, inside the caller's transaction.

    The rows are streamed. Returns the date's fingerprint.
    """
    for table, names in TABLES.items():
        statement = SQL(_SQL.delete_date).format(table=Identifier(table), date=Identifier(names[0]))
        cursor.execute(statement, {"date": date})
    copy_day(cursor, date, rows)
    return _fingerprint(cursor, date, TABLES)


def fingerprint(date: datetime.date, columns: Columns = TABLES) -> Fingerprint:
    """The fingerprint of what a date holds now, over some columns.

    Raises DataError when a table no longer has one of them.
    """
    try:
        with connect("workflow") as connection, transaction(connection) as cursor:
            return _fingerprint(cursor, date, columns)
    except StoreError as exc:
        if not isinstance(exc.__cause__, psycopg2.errors.UndefinedColumn):
            raise
        raise DataError(
            f"{date} was loaded with a column that PostgreSQL no longer has "
            f"({first_line(exc.__cause__)})"
        ) from exc


def _fingerprint(cursor: Cursor, date: datetime.date, columns: Columns) -> Fingerprint:
    """In one statement, so that all tables are read in one snapshot."""
    statement = SQL(" UNION ALL ").join(
        [
            SQL(_SQL.fingerprint).format(
                name=Literal(table),
                table=Identifier(table),
                date=Identifier(names[0]),
                columns=SQL(", ").join(map(Identifier, names)),
            )
            for table, names in columns.items()
        ],
    )
    found: Fingerprint = {"columns": columns}
    for row in fetch(cursor, statement, {"date": date}):
        found |= {row.name: row.rows, f"{row.name}_digest": row.digest}
    return found


def statistics(date: datetime.date) -> list[Any]:
    """The statistics of a date, in the order of DIMENSIONS."""
    statement = SQL(_SQL.statistics_of_date).format(
        columns=SQL(", ").join(map(Identifier, STATISTICS_COLUMNS)), table=Identifier(STATISTICS)
    )
    return query(statement, date=date, dimensions=[dimension.name for dimension in DIMENSIONS])


def copy_day(cursor: Cursor, date: datetime.date, rows: DayRows, prefix: str = "") -> None:
    """Stream a date into the three tables, or into those whose names begin with a prefix."""
    users, rejected, statistics = rows
    for (table, columns), chunks in zip(
        TABLES.items(),
        (
            _csv_of_batches(date, users),
            _csv_of_rejects(date, rejected),
            _csv_of_batches(date, statistics),
        ),
        strict=True,
    ):
        _copy(cursor, f"{prefix}{table} ({', '.join(columns)})", chunks)


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
    """The same with Python's csv: pyarrow writes no lists, and rejects are few."""
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
                [date, row["position"], row[KEY.name], json.dumps(reasons), json.dumps(offending)]
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
