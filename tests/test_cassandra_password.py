"""A Cassandra that asks for a password: the local stack's own program with authentication on."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.conftest import Pipeline, free_ports
from tests.exactness.processes import until
from tests.sentences import Keep
from workflow.errors import StoreError
from workflow.stack import cassandra
from workflow.stores.cassandra import connect

DATE = "2026-11-20"
PASSWORD = "cassandra"  # of the role that Cassandra itself makes


@pytest.fixture
def locked(pipeline: Pipeline, tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline on an empty Cassandra that asks for a password, which its file holds."""
    native, storage = free_ports(2)
    node = cassandra.Node(
        address="127.0.0.1",
        port=native,
        storage_port=storage,
        seed="127.0.0.1",
        folder=tmp_path / "cassandra",
        heap_mb=512,
        ring_delay_ms=0,
    )
    program = cassandra.program(node, Console(quiet=True))
    configuration = node.folder / "cassandra.yaml"
    text = configuration.read_text()
    configuration.write_text(text.replace("AllowAllAuthenticator", "PasswordAuthenticator"))
    java, *options = program.command
    process = subprocess.Popen(
        [java, "-Dcassandra.superuser_setup_delay_ms=0", *options],
        cwd=program.directory,
        env={**os.environ, **program.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    pipeline.set(
        "cassandra", port=native, user="cassandra", password_file=str(tmp_path / "password")
    )

    def answers() -> bool:
        with contextlib.suppress(StoreError), connect():
            return True
        return False

    try:
        until(answers, "Cassandra takes the password", process)
        yield pipeline
    finally:
        process.terminate()
        process.wait(30)


def test_the_right_password_gives_a_day_and_a_wrong_one_a_sentence(
    locked: Pipeline, sentence: Keep, tmp_path: Path
) -> None:
    locked.set("source", users_per_day=20)
    locked.run("workflow", "init-db")
    locked.day(DATE)
    (row,) = locked.rows("SELECT total_users FROM user_statistics_daily")
    assert row.total_users == 20

    wrong = tmp_path / "wrong"
    wrong.write_text("not this one")
    options = ("--cassandra-password-file", str(wrong))
    done = locked.day("2026-11-21", *options, check=None)
    assert done.returncode != 0
    sentence("Stores", "Cassandra rejects the password", done.stderr)
    assert "not this one" not in done.stderr

    done = locked.run(
        "workflow", "rerun", DATE, "--from", "TransformUsers", "--local-scheduler", *options,
        check=1,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    done = locked.day(DATE, "--cassandra-password-file", str(tmp_path / "nowhere"), check=None)
    assert done.returncode != 0
    sentence("Settings", "the password file for Cassandra is missing", done.stderr)
