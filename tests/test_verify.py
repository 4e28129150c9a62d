"""`workflow verify` finds what changed in any of the three stores after it was published."""

import datetime
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests import days
from tests.conftest import Pipeline
from tests.days import STEPS
from workflow.cli.main import main
from workflow.stores.raw_store import RawStore

DATE = datetime.date(2026, 11, 20)


@pytest.fixture
def day(pipeline: Pipeline) -> Pipeline:
    pipeline.set("source", users_per_day=50, page_size=20)
    days.run(DATE, *STEPS)
    return pipeline


def details(day: Pipeline, job: str) -> dict[str, Any]:
    (run,) = day.rows("SELECT details FROM extraction_metadata WHERE job = %s", job)
    found: dict[str, Any] = run.details
    return found


def raw(statement: str) -> Callable[[Pipeline, Any], None]:
    def change(day: Pipeline, session: Any) -> None:
        extraction_id = uuid.UUID(details(day, "ExtractUsers")["extraction_id"])
        session.execute(statement, (DATE, extraction_id))

    return change


def sql(statement: str) -> Callable[[Pipeline, Any], None]:
    def change(day: Pipeline, _: Any) -> None:
        day.rows(statement)

    return change


def lose_parquet(job: str) -> Callable[[Pipeline, Any], None]:
    return lambda day, _: shutil.rmtree(Path(details(day, job)["url"]))


WHERE = "WHERE extraction_date = %s AND extraction_id = %s"
CHANGES = {
    "a document edited": (
        raw(f"UPDATE batch_keyspace.raw_users SET raw_data = '{{}}' {WHERE} "
            "AND bucket = 0 AND position = 30"),
        "Page 2 of extraction",
    ),
    "a document lost": (
        raw(f"DELETE FROM batch_keyspace.raw_users {WHERE} AND bucket = 0 AND position = 30"),
        "lacks the document at position 30",
    ),
    "a document too many": (
        raw(f"UPDATE batch_keyspace.raw_users SET raw_data = '{{}}' {WHERE} "
            "AND bucket = 0 AND position = 50"),
        "holds 51 documents instead of 50",
    ),
    "the last document lost": (
        raw(f"DELETE FROM batch_keyspace.raw_users {WHERE} AND bucket = 0 AND position = 49"),
        "holds 49 documents instead of 50",
    ),
    "a bucket lost": (
        raw(f"DELETE FROM batch_keyspace.raw_users {WHERE} AND bucket = 0"),
        "holds 0 documents instead of 50",
    ),
    "a page lost": (
        raw(f"DELETE FROM batch_keyspace.extraction_pages {WHERE} AND page = 2"),
        "are not those that it published",
    ),
    "the manifest lost": (
        raw(f"DELETE FROM batch_keyspace.extraction_metadata {WHERE}"),
        "Cassandra does not have extraction",
    ),
    "clean users deleted": (lose_parquet("TransformUsers"), "cannot be read"),
    "statistics deleted": (lose_parquet("ComputeStats"), "cannot be read"),
    "a user deleted": (
        sql("DELETE FROM users WHERE position = 7"),
        "PostgreSQL holds 49 rows in users of 2026-11-20, not the 50 that were loaded",
    ),
    "a user edited": (
        sql("UPDATE users SET age = age + 1 WHERE position = 7"),
        "users of 2026-11-20 was changed in PostgreSQL",
    ),
    "a figure edited": (
        sql("UPDATE user_statistics SET age_avg = 1 WHERE dimension = 'all'"),
        "user_statistics of 2026-11-20 was changed",
    ),
    "a reject invented": (
        sql("INSERT INTO rejected_users VALUES ('2026-11-20', 99, NULL, '[]', '{}')"),
        "PostgreSQL holds 1 rows in rejected_users of 2026-11-20, not the 0",
    ),
}  # fmt: skip


def test_every_change_is_found(day: Pipeline, cassandra: Any, tmp_path: Path) -> None:
    """One day serves all changes: each is found, undone, and not found again."""
    extraction_id = uuid.UUID(details(day, "ExtractUsers")["extraction_id"])
    store = RawStore(cassandra, DATE, extraction_id)
    backup = tmp_path / "backup"
    shutil.copytree(tmp_path / "lake", backup)
    tables = ("users", "rejected_users", "user_statistics")
    for table in tables:
        day.rows(f"CREATE TABLE saved_{table} AS TABLE {table}")
    before = snapshot(cassandra, extraction_id)

    assert "1 date holds what the ledger says" in day.run("workflow", "verify").stdout
    for name, (change, sentence) in CHANGES.items():
        change(day, cassandra)
        done = CliRunner().invoke(main, ["verify", str(DATE)])
        assert done.exit_code == 1, name
        text = " ".join(done.stdout.split())
        assert sentence in text, f"{name}:\n{done.output}"
        assert "`workflow rerun 2026-11-20 --from " in text, name
        assert "1 of 1 dates do not hold what the ledger says" in done.stderr
        for table in tables:
            day.rows(f"TRUNCATE {table}; INSERT INTO {table} TABLE saved_{table}")
        shutil.copytree(backup, tmp_path / "lake", dirs_exist_ok=True)
        cassandra.execute(
            f"DELETE FROM batch_keyspace.raw_users {WHERE} AND bucket = 0 AND position = 50",
            (DATE, extraction_id),
        )
        restore(cassandra, before)
    assert store.manifest() is not None
    day.run("workflow", "verify")


def snapshot(session: Any, extraction_id: uuid.UUID) -> list[tuple[str, list[Any]]]:
    tables = {"raw_users": " AND bucket = 0", "extraction_pages": "", "extraction_metadata": ""}
    return [
        (
            table,
            list(
                session.execute(
                    f"SELECT * FROM batch_keyspace.{table} WHERE extraction_date = %s "
                    f"AND extraction_id = %s{more}",
                    (DATE, extraction_id),
                )
            ),
        )
        for table, more in tables.items()
    ]


def restore(session: Any, saved: list[tuple[str, list[Any]]]) -> None:
    for table, rows in saved:
        names = rows[0]._fields
        marks = ", ".join("?" for _ in names)
        statement = session.prepare(
            f"INSERT INTO batch_keyspace.{table} ({', '.join(names)}) VALUES ({marks})"
        )
        for row in rows:
            session.execute(statement, row)


def test_rows_of_a_date_that_was_never_loaded(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    days.run(DATE, *STEPS)
    pipeline.rows("DELETE FROM extraction_metadata WHERE job = 'LoadUsers'")
    done = pipeline.run("workflow", "verify", check=1)
    assert "but no load succeeded" in " ".join(done.stdout.split())


def test_an_empty_ledger_and_a_date_that_it_does_not_know(pipeline: Pipeline) -> None:
    for command in (["verify"], ["verify", "2026-11-20"]):
        assert "nothing to verify" in pipeline.run("workflow", *command).stdout


def test_a_date_that_is_partly_due_is_not_called_ok(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    days.run(DATE, *STEPS)
    pipeline.set("source", users_per_day=30)
    pipeline.run("workflow", "rerun", str(DATE), "--from", "ExtractUsers", "--mark-only")
    pipeline.run(
        "luigi", "--module", "workflow", "ExtractUsers", "--date", str(DATE), "--local-scheduler"
    )
    shown = pipeline.run("workflow", "verify").stdout
    assert "2026-11-20  due     30 raw | 20 users + 0 rejected" in shown
    assert "due: TransformUsers, ComputeStats, LoadUsers" in shown


def test_a_stray_file_in_the_lake_does_no_harm(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    days.run(DATE, *STEPS)
    folder = Path(pipeline.config["lake"]["url"]) / f"transform_users/partition_date={DATE}"
    (folder / ".DS_Store").touch()
    pipeline.run("workflow", "verify")
