"""What is made before PostgreSQL's first start, without a server."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from workflow.errors import StackError
from workflow.stack import postgresql
from workflow.stack.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A stack's place without a cluster."""
    made = Place(
        project=tmp_path,
        data=tmp_path,
        logs=tmp_path,
        passfile=tmp_path / "pgpass",
        lake=None,
        address="127.0.0.1",
        postgres_address="127.0.0.1",
        postgres_port=1,
        postgres_database="warehouse",
        postgres_user="pipeline",
        cassandra_port=2,
        cassandra_storage_port=3,
        cassandra_heap_mb=1,
        luigid_port=4,
        standin_port=5,
    )
    yield made
    shutil.rmtree(postgresql.home(made))


def test_a_password_that_could_not_be_set_is_not_written(place: Place) -> None:
    service = postgresql.service(place)
    service.prepare(Console(quiet=True))
    place.passfile.unlink()
    version = postgresql.home(place) / "cluster/PG_VERSION"
    version.rename(version.with_suffix(".away"))
    with pytest.raises(StackError, match=r"PostgreSQL's postgres failed"):
        service.prepare(Console(quiet=True))
    assert not place.passfile.exists()
    version.with_suffix(".away").rename(version)
    service.prepare(Console(quiet=True))
    assert place.passfile.exists()
