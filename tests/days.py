"""What tests of whole days share: a rehearsed source, steps in this process, what came of them."""

import datetime
import re
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg2.extras import Json

from tests.conftest import Pipeline
from tests.rehearsal import Rehearsal
from workflow.ledger.lease import Attempt, Outcome
from workflow.step import Step
from workflow.stores.postgres import Cursor
from workflow.tasks import ComputeStats, ExtractUsers, LoadUsers, TransformUsers

STEPS: tuple[type[Step], ...] = (ExtractUsers, TransformUsers, ComputeStats, LoadUsers)
VERSIONS = {step.__name__: step.logic_version for step in STEPS}

#: The tables that analysts read, and the order of their rows; the first column is the date.
TABLES = {
    "users": "partition_date, position",
    "rejected_users": "partition_date, position",
    "user_statistics": "stat_date, dimension, member",
}

Tables = dict[str, list[str]]
NOTHING: Tables = {table: [] for table in TABLES}


@pytest.fixture
def source(pipeline: Pipeline, request: pytest.FixtureRequest) -> Iterator[Rehearsal]:
    """A source without faults; this process and the test's own read from it."""
    pipeline.set("source", users_per_day=20, page_size=10, read_timeout=0.5, deadline=20)
    with Rehearsal(pipeline, re.sub(r"[^\w.-]", "-", request.node.name)) as source:
        yield source


def run(date: datetime.date, *steps: type[Step]) -> None:
    """Run steps of a date as a Luigi worker does, in this process."""
    for step in steps:
        task: Any = step(date=date)
        task.set_status_message = task.set_progress_percentage = lambda _: None
        task.run()
        assert task.complete()


def publish(attempt: Attempt, outcome: Outcome) -> None:
    """Publish an attempt that writes no rows of its own."""
    with attempt.publishing() as cursor:
        attempt.succeed(cursor, outcome)


def tables(pipeline: Pipeline, *dates: datetime.date) -> Tables:
    """All rows of the three tables, of all dates or of some, with each value's type and digits."""
    found = {
        table: pipeline.rows(f"SELECT * FROM {table} ORDER BY {order}")
        for table, order in TABLES.items()
    }
    return {
        table: [repr(row) for row in rows if not dates or row[0] in dates]
        for table, rows in found.items()
    }


def attempts(pipeline: Pipeline) -> list[Any]:
    """The rows of the ledger, in their order."""
    return pipeline.rows("SELECT * FROM extraction_metadata ORDER BY seq")


def everything(pipeline: Pipeline) -> tuple[Tables, list[Any]]:
    """The tables and the ledger."""
    return tables(pipeline), attempts(pipeline)


def states(pipeline: Pipeline) -> list[tuple[str, str]]:
    """(step, state) of the ledger's rows, in their order."""
    return [(run.job, run.state) for run in attempts(pipeline)]


def forget(pipeline: Pipeline) -> None:
    """Empty the ledger and the tables, as if nothing had run yet."""
    pipeline.rows(f"TRUNCATE extraction_metadata, {', '.join(TABLES)}")


def complete_dates(cursor: Cursor, first: datetime.date, days: int) -> None:
    """Put rows of complete dates into the ledger, and nothing into the tables."""
    cursor.execute(
        """
        INSERT INTO extraction_metadata (run_id, job, partition_date, state, inputs, logic_version,
            rows_in, rows_out, rows_rejected, rows_erased, finished_at, host, process, requested_by)
        SELECT md5(job || d)::uuid, job, d, 'succeeded',
            ARRAY(SELECT md5(i || d)::uuid FROM unnest(reads) i),
            (%s::jsonb ->> job)::integer, 1, 1, 0, 0, now(), 'h', 1, 'u'
        FROM generate_series(%s::date, %s::date + %s - 1, interval '1 day') AS s (t),
            LATERAL (SELECT t::date AS d) AS dates,
            (VALUES ('ExtractUsers', ARRAY[]::text[]), ('TransformUsers', ARRAY['ExtractUsers']),
                    ('ComputeStats', ARRAY['TransformUsers']),
                    ('LoadUsers', ARRAY['TransformUsers', 'ComputeStats'])) AS j (job, reads)
        """,
        (Json(VERSIONS), first, first, days),
    )
