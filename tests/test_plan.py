"""What `workflow plan` says is due, and why; `--diff`: test_difference.py."""

import contextlib
import datetime
import json
import re
from typing import Any

from tests import days
from tests.conftest import Pipeline
from tests.days import NOTHING, STEPS, VERSIONS, everything, publish
from workflow.ledger import runs
from workflow.ledger.details import Written
from workflow.ledger.lease import Outcome, take_lease

DATE = datetime.date(2026, 11, 20)


def plan(pipeline: Pipeline, *arguments: str) -> list[dict[str, Any]]:
    """The records of `workflow plan --json`, whose exit status must say whether anything is due."""
    done = pipeline.run("workflow", "plan", *arguments, "--json", check=None)
    dates: list[dict[str, Any]] = json.loads(done.stdout)["dates"]
    assert done.returncode == any(date["due"] for date in dates)
    return dates


def reasons(pipeline: Pipeline, *options: str) -> list[str]:
    (date,) = plan(pipeline, str(DATE), *options)
    return [step["reason"] for step in date["steps"]]


def why(pipeline: Pipeline, step: str) -> str:
    (date,) = plan(pipeline, str(DATE))
    return next(str(found["why"]) for found in date["steps"] if found["step"] == step)


def test_a_range_from_nothing_to_done(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    fresh = pipeline.run("workflow", "plan", "2026-11-18", "2026-11-20", check=1).stdout
    assert "2026-11-18 to 2026-11-20" in fresh
    assert fresh.count("never ran") == 4
    assert "3 of 3 dates due" in fresh
    before = everything(pipeline)
    days.run(DATE, *STEPS)
    assert [date["due"] for date in plan(pipeline, "2026-11-18", "2026-11-20")] == [
        True,
        True,
        False,
    ]
    pipeline.run("workflow", "run", "2026-11-18", "2026-11-19", "--local-scheduler")
    after = everything(pipeline)
    assert "3 dates complete" in pipeline.run("workflow", "plan", "2026-11-18", "2026-11-20").stdout
    assert everything(pipeline) == after != before


def test_a_step_that_was_marked_and_what_follows_it(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    days.run(DATE, *STEPS)
    pipeline.run(
        "workflow", "rerun", str(DATE), "--from", "TransformUsers", "--mark-only",
        "--reason", "a new rule",
    )  # fmt: skip
    assert reasons(pipeline) == ["done", "marked", "input_due", "input_due"]
    assert re.fullmatch(r"marked by \w+ [-0-9: ]+: a new rule", why(pipeline, "TransformUsers"))
    assert why(pipeline, "LoadUsers") == "input due: TransformUsers and ComputeStats"
    pipeline.run("luigi", "--module", "workflow", "TransformUsers", "--date", str(DATE),
                 "--local-scheduler")  # fmt: skip
    assert reasons(pipeline) == ["done", "done", "input_replaced", "input_due"]
    assert why(pipeline, "ComputeStats") == "input replaced: TransformUsers ran again"


def test_a_new_logic_version(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    days.run(DATE, *STEPS)
    pipeline.rows("UPDATE extraction_metadata SET logic_version = 0 WHERE job = 'ComputeStats'")
    assert reasons(pipeline) == ["done", "done", "logic_changed", "input_due"]
    assert why(pipeline, "ComputeStats") == "logic changed: version 0, now 2"


def test_a_failure_an_interruption_and_a_run_that_goes_on(pipeline: Pipeline) -> None:
    pipeline.day(
        DATE, "--source-url", "http://127.0.0.1:9/api/1.4/", "--source-deadline", "1", check=None
    )
    assert reasons(pipeline)[0] == "failed"
    assert "http://127.0.0.1:9/api/1.4/ did not deliver page 1" in why(pipeline, "ExtractUsers")
    with (
        take_lease("ExtractUsers", DATE, VERSIONS) as held,
        held.attempt((), rows_in=1) as attempt,
    ):
        assert reasons(pipeline)[0] == "running"
        assert re.match(r"running since .* in process \d+ on ", why(pipeline, "ExtractUsers"))
        publish(attempt, Outcome(rows_out=1, bytes=0, details=Written(url="")))
    pipeline.rows("UPDATE extraction_metadata SET state = 'running', finished_at = NULL "
                  "WHERE state = 'succeeded'")  # fmt: skip
    assert reasons(pipeline)[0] == "interrupted"  # nobody holds its lease
    shown = pipeline.run("workflow", "status", str(DATE)).stdout
    assert "ExtractUsers   interrupted" in shown
    assert "running" not in shown


def test_other_settings_are_said_and_make_nothing_due(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    days.run(DATE, *STEPS)
    (date,) = plan(pipeline, str(DATE), "--source-users-per-day", "30")
    assert not date["due"]
    assert date["other_settings"] == ["users per day 20 (now 30)"]
    (date,) = plan(pipeline, str(DATE), "--source-url", "http://127.0.0.1:9/api/1.4/")
    assert date["other_settings"] == [
        f"source {pipeline.stack.standin_url} (now http://127.0.0.1:9/api/1.4/)"
    ]
    long = f"http://127.0.0.1:9/{'long/' * 20}api/1.4/"
    shown = pipeline.run("workflow", "plan", str(DATE), "--source-url", long).stdout
    assert long in re.sub(r"[\s│]", "", shown)


def test_the_plan_runs_nothing_and_refuses_nonsense(pipeline: Pipeline) -> None:
    for arguments, sentence in (
        (("2026-11-20", "2026-11-18"), "is reversed"),
        (("2999-01-01",), "is in the future"),
        (("2026-11-18", "2026-11-20", "--diff"), "--diff takes one date"),
        (("2026-11-20", "--diff"), "was never extracted"),
    ):
        done = pipeline.run("workflow", "plan", *arguments, check=None)
        assert done.returncode in (1, 2)
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
    assert everything(pipeline) == (NOTHING, [])


def test_other_locks_of_the_database_do_no_harm(pipeline: Pipeline) -> None:
    with contextlib.closing(pipeline.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext('source_requests'), -2000000000)")
        with take_lease("ExtractUsers", DATE, VERSIONS):
            held_by = runs.holder("ExtractUsers", DATE)
            assert held_by
            assert held_by.startswith(f"ExtractUsers {DATE} on ")
        assert reasons(pipeline) == ["never_ran"] * 4
