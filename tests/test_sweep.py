"""What ended attempts left behind is used or swept; a late write of an old attempt never wins."""

import datetime
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests import days
from tests.conftest import Pipeline
from tests.days import STEPS, VERSIONS
from tests.test_raw_store import page_of
from workflow.extraction import Extraction
from workflow.ledger import runs
from workflow.ledger.lease import take_lease
from workflow.stores import lake, raw_store

DATE = datetime.date(2026, 11, 20)
LATER = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
EARLIER = LATER - datetime.timedelta(seconds=1)


def attempts(job: str) -> list[runs.Run]:
    return [run for run in runs.history(DATE) if run.job == job and run.state != "invalidated"]


def extraction_ids(session: Any) -> set[uuid.UUID]:
    """The extractions of DATE that Cassandra holds documents of."""
    found = session.execute(
        "SELECT extraction_id FROM batch_keyspace.raw_users WHERE extraction_date = %s "
        "ALLOW FILTERING",
        (DATE,),
    )
    return {row.extraction_id for row in found}


def test_a_half_written_parquet_run_is_swept_by_the_next_attempt(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=50, url=f"{pipeline.stack.standin_url}?exc=gender")
    pipeline.day(DATE, check=None)  # too many rejects
    (failed,) = attempts("TransformUsers")
    assert lake.run_ids("TransformUsers", DATE) == {failed.run_id}
    said = pipeline.run("workflow", "verify").stdout
    assert f"leftover: TransformUsers: the Parquet run {failed.run_id} was not finished" in said
    # the same of one whose process is gone
    pipeline.rows("UPDATE extraction_metadata SET state = 'running', finished_at = NULL "
                  "WHERE state = 'failed'")  # fmt: skip
    assert pipeline.run("workflow", "verify").stdout == said

    done = pipeline.day(DATE, "--rules-rejected-percent-max", "100")
    assert f"Removed the unfinished Parquet run {failed.run_id}" in done.stderr
    _, succeeded = attempts("TransformUsers")
    assert lake.run_ids("TransformUsers", DATE) == {succeeded.run_id}
    assert "leftover" not in pipeline.run("workflow", "verify").stdout


def test_what_a_killed_diff_left_is_named_until_the_next_one(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    days.run(DATE, *STEPS)
    left = Path(lake.run_url(lake.DIFFERENCE, DATE, uuid.uuid4()))
    left.mkdir(parents=True)
    with take_lease(lake.DIFFERENCE, DATE, VERSIONS):  # one that is at work
        assert "leftover" not in pipeline.run("workflow", "verify").stdout
    assert f"leftover: PlanDiff: the Parquet run {left.name[7:]}" in (
        pipeline.run("workflow", "verify").stdout
    )
    pipeline.run("workflow", "plan", str(DATE), "--diff")
    assert "leftover" not in pipeline.run("workflow", "verify").stdout


def test_published_runs_that_were_superseded_stay(pipeline: Pipeline, cassandra: Any) -> None:
    pipeline.set("source", users_per_day=20)
    days.run(DATE, *STEPS)
    before = extraction_ids(cassandra)
    pipeline.run("workflow", "rerun", str(DATE), "--from", "ExtractUsers", "--local-scheduler")
    assert len(lake.run_ids("TransformUsers", DATE)) == 2
    assert len(extraction_ids(cassandra) - before) == 1
    assert before <= extraction_ids(cassandra)


def test_an_extraction_that_nobody_can_go_on_with_is_swept(
    pipeline: Pipeline, cassandra: Any
) -> None:
    plan = f"{pipeline.stack.standin_url.removesuffix('/api/1.4/')}/faults/swept/status=500,pages=3"
    pipeline.set(
        "source", url=f"{plan}/api/1.4/", users_per_day=30, page_size=10, deadline=1,
        requests_in_flight=1,
    )  # fmt: skip
    before = extraction_ids(cassandra)
    pipeline.day(DATE, check=None)
    (failed,) = attempts("ExtractUsers")
    unfinished = uuid.UUID(failed.details["extraction_id"])
    assert extraction_ids(cassandra) - before == {unfinished}

    pipeline.set("source", url=pipeline.stack.standin_url)  # another source: no resumption
    pipeline.day(DATE)
    assert unfinished not in extraction_ids(cassandra)
    assert raw_store.RawStore(cassandra, DATE, unfinished).pages() == {}
    pipeline.run("workflow", "verify")


def test_an_older_attempt_that_writes_later_changes_nothing(cassandra: Any) -> None:
    extraction_id = uuid.uuid4()
    newer = raw_store.RawStore(cassandra, DATE, extraction_id, written_at=LATER)
    older = raw_store.RawStore(cassandra, DATE, extraction_id, written_at=EARLIER)
    newer.write_page(page_of('{"age": 41}'))
    before = newer.pages()
    older.write_page(page_of('{"age": 40}'))
    assert [*newer.documents(0)] == [(0, '{"age": 41}')]
    assert newer.pages() == before


def test_what_comes_after_the_sweep_is_swept_too(cassandra: Any) -> None:
    extraction_id = uuid.uuid4()
    older = raw_store.RawStore(cassandra, DATE, extraction_id, written_at=EARLIER)
    extraction = Extraction(
        url="http://h/1.4/", api_version="1.4", seed="s", users_per_day=1, page_size=1
    )
    older.write_page(page_of("{}"))
    older.publish_manifest(extraction, EARLIER)
    raw_store.RawStore(cassandra, DATE, extraction_id, written_at=LATER).remove(extraction_id, 1)
    older.write_page(page_of("{}"))
    assert [*older.documents(0)] == []
    assert older.pages() == {}
    assert older.manifest() is None


def test_attempts_start_one_after_the_other_whatever_the_clock_says(pipeline: Pipeline) -> None:
    future = datetime.datetime(2999, 1, 1, tzinfo=datetime.UTC)
    with take_lease("ExtractUsers", DATE, VERSIONS) as held:
        with (
            pytest.raises(KeyboardInterrupt),
            held.attempt((), rows_in=1),
        ):
            pipeline.rows("UPDATE extraction_metadata SET started_at = %s", future)
            raise KeyboardInterrupt
        with (
            pytest.raises(KeyboardInterrupt),
            held.attempt((), rows_in=1) as attempt,
        ):
            raise KeyboardInterrupt
    assert attempt.started_at == future + datetime.timedelta(microseconds=1)
