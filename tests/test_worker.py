"""Two Luigi processes on one date with one luigid: one works, the other waits and finds it done."""

import datetime
from typing import Any

import pytest

from tests import days
from tests.conftest import Pipeline
from tests.days import states
from tests.exactness.sickness import Command, day, require_sentence, started
from tests.test_day import STEPS
from workflow.ledger import runs
from workflow.ledger.details import Extracting
from workflow.tasks import ExtractUsers


def until_running(pipeline: Pipeline, command: Command) -> None:
    command.until(lambda: states(pipeline), "its first attempt")


def slow(pipeline: Pipeline, name: str, plan: str) -> None:
    url = pipeline.stack.standin_url.replace("/api/", f"/faults/{name}/{plan}/api/")
    pipeline.set("source", users_per_day=20, url=url)


@pytest.mark.parametrize("workers", ["1", "3"])
def test_the_second_waits_and_finds_the_date_done(pipeline: Pipeline, workers: str) -> None:
    slow(pipeline, f"second-{workers}", "delay=3")
    date = f"2026-09-0{workers}"
    with started(pipeline, *day("", date=date)) as first:
        until_running(pipeline, first)
        with started(pipeline, *day("", date=date), "--workers", workers) as second:
            assert second.ends(within=100) == 0, second.output
        assert first.ends(within=100) == 0, first.output
    waits = f"Waiting up to 120 s for another process: ExtractUsers {date} on "
    assert waits in second.output
    assert states(pipeline) == [(step, "succeeded") for step in STEPS]


def test_a_wait_in_vain_names_the_holder(pipeline: Pipeline) -> None:
    slow(pipeline, "vain", "hang")
    pipeline.set("lease", wait=1)
    with started(pipeline, *day("", date="2026-09-11")) as first:
        until_running(pipeline, first)
        with started(pipeline, *day("", date="2026-09-11")) as second:
            assert second.ends(within=100) == 10
    require_sentence(
        second.output,
        "ExtractUsers of 2026-09-11 is held by another process",
        f"process {first.process.pid}, since",
    )


@pytest.mark.parametrize("waits", [True, False])
def test_a_holder_that_was_killed_does_not_block(pipeline: Pipeline, waits: bool) -> None:
    date = f"2026-09-2{waits:d}"
    slow(pipeline, f"killed-{waits}", "delay=3,times=1")
    with started(pipeline, *day("", date=date)) as first:
        until_running(pipeline, first)
        if not waits:
            first.process.kill()
        with started(pipeline, *day("", date=date)) as second:
            if waits:
                second.until(lambda: "Waiting up to" in second.output, "it waits")
                first.process.kill()
            assert second.ends(within=100) == 0, second.output
    assert states(pipeline) == [
        ("ExtractUsers", "interrupted"), *((step, "succeeded") for step in STEPS)
    ]  # fmt: skip


def test_what_fails_in_one_is_tried_once_by_the_one_that_waited(pipeline: Pipeline) -> None:
    slow(pipeline, "fails", "status=503")
    pipeline.set("source", deadline=3)
    with started(pipeline, *day("", date="2026-09-13")) as first:
        until_running(pipeline, first)
        with started(pipeline, *day("", date="2026-09-13")) as second:
            assert first.ends(within=100) == 30
            assert second.ends(within=100) == 30
    assert states(pipeline) == [("ExtractUsers", "failed")] * 2


def test_a_failed_date_does_not_keep_it_from_waiting_for_another(
    pipeline: Pipeline, cassandra: Any
) -> None:
    elsewhere, broken = datetime.date(2026, 9, 15), datetime.date(2026, 9, 16)
    pipeline.set("source", users_per_day=20)
    days.run(broken, ExtractUsers)
    (run,) = runs.history(broken)
    cassandra.execute(
        "DELETE FROM batch_keyspace.raw_users WHERE extraction_date = %s AND extraction_id = %s "
        "AND bucket = 0",
        (broken, Extracting.of(run).extraction_id),
    )
    slow(pipeline, "elsewhere", "delay=4")
    with started(pipeline, *day("", date=str(elsewhere))) as first:
        first.until(lambda: len(states(pipeline)) > 1, "its first attempt")
        with started(pipeline, "workflow", "run", str(elsewhere), str(broken)) as second:
            assert second.ends(within=100) == 1
        assert first.ends(within=100) == 0, first.output
    assert "Waiting up to 120 s for another process" in second.output
    assert f"1 of 2 dates are not complete: {broken}." in second.output
    assert [run.state for run in runs.history(broken)] == ["succeeded", "failed"]  # tried once
