"""Bad input from everywhere but the API: one sentence, a status, and nothing half published."""

import datetime
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests import days
from tests.conftest import Pipeline, write_config
from tests.days import NOTHING, STEPS, everything, tables
from tests.sentences import Keep
from workflow.tasks import ExtractUsers

DATE = datetime.date(2026, 11, 20)

SETTINGS: dict[str, tuple[str, str, str]] = {
    "an unknown engine": ("spark", "engine", "flink"),
    "an unknown section": ("sourec", "url", "x"),
    "an unknown key in a section": ("source", "users_a_day", "5"),
    "no users per day": ("source", "users_per_day", "0"),
    "a negative number of users per day": ("source", "users_per_day", "-1"),
    "far too many users per day": ("source", "users_per_day", "1000000000"),
    "users per day that are not a number": ("source", "users_per_day", "many"),
    "pages larger than the API allows": ("source", "page_size", "5001"),
    "an invalid URL": ("source", "url", "randomuser.me"),
    "a URL without the API version": ("source", "url", "https://randomuser.me/api/"),
    "an unset environment variable": ("source", "url", "${NOT_SET}"),
    "an unset environment variable in a section of Luigi": ("core", "scheduler_host", "${NOT_SET}"),
    "the password file for PostgreSQL is missing": ("postgres", "passfile", "nowhere/pgpass"),
    "the engine connect without an address": ("spark", "engine", "connect"),
}


@pytest.mark.parametrize("wrong", SETTINGS)
def test_settings(pipeline: Pipeline, sentence: Keep, wrong: str) -> None:
    section, key, value = SETTINGS[wrong]
    config = {name: dict(values) for name, values in pipeline.config.items()}
    config.setdefault(section, {})[key] = value
    good = pipeline.config_path.read_text()
    write_config(pipeline.config_path, config)
    done = pipeline.day(DATE, check=None)
    pipeline.config_path.write_text(good)
    assert done.returncode != 0
    sentence("Settings", wrong, done.stderr)
    assert everything(pipeline) == (NOTHING, [])


def test_a_settings_file_that_is_not_there(pipeline: Pipeline, sentence: Keep) -> None:
    done = pipeline.run("workflow", "status", check=1, env={"LUIGI_CONFIG_PATH": "nowhere.cfg"})
    sentence("Settings", "LUIGI_CONFIG_PATH names a missing file", done.stderr)


COMMANDS: dict[str, list[str]] = {
    "a date that does not exist": [
        "luigi", "--module", "workflow", "RunDaily", "--local-scheduler", "--date", "2026-02-30",
    ],
    "a date in the future": [
        "luigi", "--module", "workflow", "RunDaily", "--local-scheduler", "--date", "2999-01-01",
    ],
    "an unknown task": ["luigi", "--module", "workflow", "RunDialy"],
    "luigid does not respond": [
        "luigi", "--module", "workflow", "RunDaily", "--scheduler-port", "9",
    ],
    "a reversed range": ["workflow", "run", "2026-11-20", "2026-11-19"],
    "more than two dates": ["workflow", "run", "2026-11-18", "2026-11-19", "2026-11-20"],
    "an unknown step": ["workflow", "rerun", "2026-11-20", "--from", "Extract"],
    "a rerun without a date": ["workflow", "rerun", "--from", "LoadUsers"],
    "a word that is not a date": ["workflow", "verify", "yesterday"],
}  # fmt: skip


@pytest.mark.parametrize("wrong", COMMANDS)
def test_command_line(pipeline: Pipeline, sentence: Keep, wrong: str) -> None:
    pipeline.set("core", rpc_retry_wait=0)
    done = pipeline.run(*COMMANDS[wrong], check=None)
    assert done.returncode != 0
    sentence("Command line", wrong, done.stderr)
    assert everything(pipeline) == (NOTHING, [])


def test_postgresql_is_down(pipeline: Pipeline, sentence: Keep) -> None:
    done = pipeline.day(DATE, "--postgres-port", "9", check=None)
    assert done.returncode != 0
    sentence("Stores", "PostgreSQL does not respond", done.stderr)


def test_postgresql_refuses_the_password(
    pipeline: Pipeline, sentence: Keep, tmp_path: Path
) -> None:
    passfile = tmp_path / "pgpass"
    passfile.write_text("*:*:*:*:wrong")
    passfile.chmod(0o600)
    done = pipeline.day(DATE, "--postgres-passfile", str(passfile), check=None)
    assert done.returncode != 0
    sentence("Stores", "PostgreSQL rejects the password", done.stderr)


def test_cassandra_is_down(pipeline: Pipeline, sentence: Keep) -> None:
    done = pipeline.day(DATE, "--cassandra-port", "9", check=None)
    assert done.returncode != 0
    sentence("Stores", "Cassandra does not respond", done.stderr)
    assert tables(pipeline) == NOTHING


def test_a_schema_is_missing(pipeline: Pipeline, sentence: Keep) -> None:
    done = pipeline.day(DATE, "--cassandra-keyspace", "nowhere", check=None)
    sentence("Stores", "Cassandra has no schema", done.stderr)
    pipeline.rows("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    done = pipeline.day(DATE, check=None)
    assert done.returncode != 0
    sentence("Stores", "PostgreSQL has no schema", done.stderr)


def test_a_schema_is_old_or_newer(pipeline: Pipeline, sentence: Keep) -> None:
    pipeline.rows("INSERT INTO schema_migrations (name, sha256) VALUES ('999_next.sql', 'x')")
    done = pipeline.day(DATE, check=None)
    assert done.returncode != 0
    sentence("Stores", "the PostgreSQL schema is newer than the code", done.stderr)
    pipeline.rows("DELETE FROM schema_migrations WHERE name ~ '999|003'")
    sentence("Stores", "the PostgreSQL schema is too old", pipeline.day(DATE, check=None).stderr)
    assert everything(pipeline) == (NOTHING, [])


@pytest.fixture
def extracted(pipeline: Pipeline) -> tuple[Pipeline, uuid.UUID]:
    """A pipeline whose date is extracted and nothing more."""
    pipeline.set("source", users_per_day=40)
    days.run(DATE, ExtractUsers)
    (run,) = pipeline.rows("SELECT details FROM extraction_metadata")
    return pipeline, uuid.UUID(run.details["extraction_id"])


KEY = "WHERE extraction_date = %s AND extraction_id = %s"


def test_a_raw_row_that_is_not_json_is_a_reject(
    extracted: tuple[Pipeline, uuid.UUID], cassandra: Any, sentence: Keep
) -> None:
    pipeline, extraction_id = extracted
    cassandra.execute(
        f"UPDATE batch_keyspace.raw_users SET raw_data = '{{''a'': 1}}' {KEY} "
        "AND bucket = 0 AND position = 7",
        (DATE, extraction_id),
    )
    pipeline.set("rules", rejected_percent_max=1)
    done = pipeline.day(DATE, check=None)
    assert done.returncode != 0
    sentence("Stores", "too many raw rows violate a rule", done.stderr)
    assert tables(pipeline) == NOTHING
    pipeline.set("rules", rejected_percent_max=5)
    pipeline.day(DATE)
    (row,) = pipeline.rows("SELECT * FROM rejected_users")
    assert (row.position, row.user_id, row.reasons) == (7, None, ["invalid_json"])


@pytest.mark.parametrize(
    ("wrong", "statement"),
    [
        ("an extraction lost a bucket", f"raw_users {KEY} AND bucket = 0"),
        ("an extraction lost a row", f"raw_users {KEY} AND bucket = 0 AND position = 39"),
    ],
)
def test_an_extraction_that_lost_rows(
    extracted: tuple[Pipeline, uuid.UUID],
    cassandra: Any,
    sentence: Keep,
    wrong: str,
    statement: str,
) -> None:
    pipeline, extraction_id = extracted
    cassandra.execute(f"DELETE FROM batch_keyspace.{statement}", (DATE, extraction_id))
    done = pipeline.day(DATE, check=None)
    assert done.returncode != 0
    sentence("Stores", wrong, done.stderr)
    assert tables(pipeline) == NOTHING
    pipeline.run("workflow", "rerun", str(DATE), "--from", "ExtractUsers", "--local-scheduler")


def test_an_extraction_that_cassandra_no_longer_has(
    extracted: tuple[Pipeline, uuid.UUID], cassandra: Any, sentence: Keep
) -> None:
    pipeline, extraction_id = extracted
    for table in ("raw_users", "extraction_pages", "extraction_metadata"):
        bucket = " AND bucket = 0" if table == "raw_users" else ""
        cassandra.execute(
            f"DELETE FROM batch_keyspace.{table} {KEY}{bucket}", (DATE, extraction_id)
        )
    done = pipeline.day(DATE, check=None)
    assert done.returncode != 0
    sentence("Stores", "Cassandra no longer has an extraction", done.stderr)
    assert tables(pipeline) == NOTHING


@pytest.mark.parametrize(
    ("job", "due"), [("TransformUsers", "ComputeStats"), ("ComputeStats", "LoadUsers")]
)
def test_a_parquet_run_was_deleted(pipeline: Pipeline, sentence: Keep, job: str, due: str) -> None:
    pipeline.set("source", users_per_day=20)
    days.run(DATE, *STEPS)
    before = tables(pipeline)
    (run,) = pipeline.rows("SELECT details FROM extraction_metadata WHERE job = %s", job)
    shutil.rmtree(run.details["url"])
    done = pipeline.run("workflow", "rerun", str(DATE), "--from", due, "--local-scheduler", check=1)
    sentence(
        "Stores", f"the Parquet run of {job} was deleted", done.stderr.rpartition("\nError")[0]
    )
    assert tables(pipeline) == before
    pipeline.run("workflow", "rerun", str(DATE), "--from", job, "--local-scheduler")
    pipeline.run("workflow", "verify")
    assert tables(pipeline) == before
