"""`workflow init-db`: once, in order, and never over an edited file."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT, Pipeline
from workflow.errors import SchemaError
from workflow.stores import migrate, schema


@pytest.fixture
def db_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of db-init/ that a test may edit."""
    copy = tmp_path / "db-init"
    shutil.copytree(PROJECT / "db-init", copy)
    monkeypatch.setattr(schema, "resource", lambda _: copy)
    return copy


@pytest.fixture
def keyspace(pipeline: Pipeline, cassandra: Any) -> Iterator[str]:
    pipeline.set("cassandra", keyspace="schema_test")
    yield "schema_test"
    cassandra.execute("DROP KEYSPACE IF EXISTS schema_test", timeout=60)


def apply() -> list[str]:
    said: list[str] = []
    migrate.apply(said.append)
    return said


def test_applied_once_and_recorded(pipeline: Pipeline, keyspace: str, cassandra: Any) -> None:
    pipeline.set("cassandra", replication="{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}")
    assert apply() == [f"cassandra/{file.name}: applied" for file in schema.files("cassandra")]
    assert apply() == []
    (row,) = cassandra.execute(
        "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s", (keyspace,)
    )
    assert row.replication["class"].endswith("NetworkTopologyStrategy")
    recorded = pipeline.rows("SELECT name, sha256 FROM schema_migrations ORDER BY name")
    assert [row.name for row in recorded] == [file.name for file in schema.files("postgresql")]
    tables = cassandra.execute(
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (keyspace,)
    )
    assert {row.table_name for row in tables} == {
        "raw_users", "extraction_pages", "extraction_metadata", "schema_migrations",
    }  # fmt: skip


def test_replication_is_a_setting(pipeline: Pipeline, keyspace: str) -> None:
    apply()
    pipeline.set("cassandra", replication="{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}")
    (said,) = apply()
    assert "replication of schema_test is now" in said
    assert apply() == []


def test_a_new_file_is_applied_alone(pipeline: Pipeline, db_init: Path) -> None:
    (db_init / "postgresql/900_more.sql").write_text("CREATE TABLE more (); -- 50% of nothing")
    assert apply() == ["postgresql/900_more.sql: applied"]
    assert apply() == []
    (db_init / "postgresql/900_more.sql").unlink()
    with pytest.raises(SchemaError, match=r"has the schema file 900_more\.sql, which this version"):
        apply()


@pytest.mark.parametrize("name", ["postgresql/001_ledger.sql", "cassandra/001_raw.cql"])
def test_an_edited_file_is_refused(pipeline: Pipeline, db_init: Path, name: str) -> None:
    with (db_init / name).open("a") as file:
        file.write("-- edited\n")
    with pytest.raises(SchemaError, match=f"{name} was edited after it was applied"):
        apply()


def test_a_broken_file_leaves_nothing_behind(pipeline: Pipeline, db_init: Path) -> None:
    (db_init / "postgresql/900_bad.sql").write_text("CREATE TABLE half (); SELECT nonsense")
    with pytest.raises(Exception, match="nonsense"):
        apply()
    assert pipeline.rows("SELECT to_regclass('half') AS half")[0].half is None
    (db_init / "postgresql/900_bad.sql").write_text("CREATE TABLE half ()")
    assert apply() == ["postgresql/900_bad.sql: applied"]
