"""Each step makes of fixed input the rows that are recorded for its logic version."""

from collections.abc import Callable
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_apps.compute_statistics import compute
from spark_apps.transform_users import transform
from tests import days
from tests.conftest import Pipeline
from tests.golden import record
from tests.golden.conftest import Hold, clean_users, rows_of
from tests.golden.documents import ANSWERS, DATE, REQUESTED_AT, documents
from tests.golden.record import Golden
from tests.spark_apps.test_same_rows import store
from tests.test_client import Answer, Api
from workflow.ledger.runs import current_runs
from workflow.spark import engine
from workflow.tasks import ComputeStats, ExtractUsers, LoadUsers, TransformUsers, published

DOCUMENTS = documents()

#: Columns in Cassandra that differ from run to run; `server` names the Python of these tests.
OF_THE_RUN = {"extraction_id", "ingested_at", "started_at", "finished_at", "server"}


def test_transform_users_and_compute_stats(
    spark: SparkSession, raw_frame: Callable[[list[str]], DataFrame], hold: Hold
) -> None:
    users = transform(raw_frame(DOCUMENTS), DATE, REQUESTED_AT)
    transformed = hold("TransformUsers", record.digest(DOCUMENTS), rows_of(users))
    clean = clean_users(users)
    nobody = clean.where("false")
    hold("ComputeStats", transformed, [*rows_of(compute(clean)), *rows_of(compute(nobody))])


def test_load_users(pipeline: Pipeline, cassandra: Any, hold: Hold) -> None:
    """A whole day of the real steps: TransformUsers gives the same as its DataFrame alone."""
    pipeline.set("rules", rejected_percent_max=100)
    store(cassandra, DATE, DOCUMENTS)
    pipeline.rows("UPDATE extraction_metadata SET started_at = %s", REQUESTED_AT)
    days.run(DATE, TransformUsers, ComputeStats, LoadUsers)
    runs = current_runs(days.VERSIONS, DATE, DATE)
    spark = engine.session()
    users, statistics = (
        rows_of(spark.read.parquet(published(runs[DATE, step]).url))
        for step in ("TransformUsers", "ComputeStats")
    )
    transformed = hold("TransformUsers", record.digest(DOCUMENTS), users)
    given = record.digest([transformed, record.digest(statistics)])
    hold("LoadUsers", given, [row for rows in days.tables(pipeline).values() for row in rows])


def test_extract_users(pipeline: Pipeline, cassandra: Any, api: Api, hold: Hold) -> None:
    """Its rows are the requests made, and what is stored, without names and times of the run."""
    page_1, *page_2, page_3, _ = ANSWERS.split(b"\n\n")
    answers = {1: [page_1], 2: page_2, 3: [page_3]}
    api.script = [lambda asked: Answer(body=answers[asked.page].pop(0))] * 4
    pipeline.set("source", url=api.url, users_per_day=5, page_size=2)
    days.run(DATE, ExtractUsers)
    rows: list[Any] = [asked.line for asked in api.asked]
    (run,) = days.attempts(pipeline)
    for table in ("raw_users", "extraction_pages", "extraction_metadata"):
        bucket = "AND bucket = 0" if table == "raw_users" else ""
        for row in cassandra.execute(
            f"SELECT * FROM batch_keyspace.{table} WHERE extraction_date = '{DATE}' "
            f"AND extraction_id = {run.details['extraction_id']} {bucket}"
        ):
            values = {name: str(value) for name, value in row._asdict().items()}
            if values.get("unstorable") == "None":  # a later column, null for a document
                del values["unstorable"]
            rows.append(
                {n: v.replace(api.url, "") for n, v in values.items() if n not in OF_THE_RUN}
            )
    hold("ExtractUsers", record.digest([ANSWERS.decode()]), rows)


GOLDEN = Golden(logic_version=2, given="a", rows=3, sha256="x")


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (GOLDEN, None),
        (GOLDEN._replace(sha256="y"), "undo that, or raise"),
        (GOLDEN._replace(rows=4), "undo that, or raise"),
        (GOLDEN._replace(logic_version=1), "must not come back"),
        (GOLDEN._replace(logic_version=3, sha256="y"), "which is not recorded"),
        (GOLDEN._replace(given="b", sha256="y"), "which is not recorded"),
    ],
)
def test_what_is_said_and_what_may_be_recorded(now: Golden, said: str | None) -> None:
    problem = record.problem("LoadUsers", now, GOLDEN)
    assert problem is None if said is None else said in str(problem)
    refused = said is not None and "not recorded" not in said
    assert (record.refusal("LoadUsers", now, GOLDEN) is not None) == refused


def test_the_record_is_of_these_steps() -> None:
    assert record.read().keys() == days.VERSIONS.keys()
