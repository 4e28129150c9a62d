"""Services that are killed, restarted or away while a day is worked on, on a stack of its own.

The day is a process; what is done to the service is done where the ledger, the locks or the
source's counts say that it is in the middle, never after a guessed time.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.conftest import BIN, Pipeline, Stack, running_stack
from tests.exactness.sickness import (
    DATE,
    Command,
    attempts,
    day,
    require_sentence,
    require_whole,
    started,
    suspended,
    undisturbed,
    until,
)
from tests.rehearsal import Rehearsal
from workflow.stack import place


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose services these tests may hurt."""
    with running_stack(tmp_path_factory.mktemp("sick")) as started_stack:
        yield started_stack


class Services:
    """The services of the pipeline's stack, to be killed, kept away and brought back."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def pid(self, name: str) -> int:
        """The process of a service."""
        status = self._pipeline.run("workflow", "stack", "status", "--json", check=None)
        return int(json.loads(status.stdout)[name]["pid"])

    def running(self) -> bool:
        """Whether all of them answer."""
        status = self._pipeline.run("workflow", "stack", "status", check=None)
        return status.returncode == 0

    def supervisor(self, *command: str) -> None:
        """Let the stack's supervisor start or stop a service."""
        socket = place.from_settings().socket
        subprocess.run(
            [BIN / "supervisorctl", "-s", f"unix://{socket}", *command],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    @contextlib.contextmanager
    def away(self, name: str) -> Iterator[None]:
        """Kill a service and keep it away; start it at the end of the block."""
        os.kill(self.pid(name), signal.SIGKILL)
        self.supervisor("stop", name)
        try:
            yield
        finally:
            self.supervisor("start", name)


@pytest.fixture
def services(pipeline: Pipeline) -> Iterator[Services]:
    """The stack's services, which run again when the next test begins."""
    services = Services(pipeline)
    yield services
    until(services.running, "the services run again")


# ---- PostgreSQL --------------------------------------------------------------------------


@contextlib.contextmanager
def load_held(pipeline: Pipeline, command: Command) -> Iterator[int]:
    """Hold LoadUsers in its transaction, all users and rejects copied; gives its backend's pid.

    A row of ours with the key of a statistic, not committed, is what its last COPY waits for.
    """
    with contextlib.closing(pipeline.connect()) as connection:
        connection.autocommit = False
        connection.cursor().execute(
            "INSERT INTO user_statistics (stat_date, dimension, member, users) "
            "VALUES (%s, 'all', 'all', 0)",
            (DATE,),
        )

        def waiting() -> list[int]:
            rows = pipeline.rows(
                "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'LoadUsers %%' "
                "AND query LIKE 'COPY user_statistics %%' AND wait_event_type = 'Lock'"
            )
            return [row.pid for row in rows]

        command.until(waiting, "LoadUsers copies")
        (pid,) = waiting()
        yield pid


@pytest.mark.parametrize("sickness", ["fast-shutdown", "killed", "crashed-backend"])
def test_postgresql_restarted_in_the_middle_of_a_load(
    pipeline: Pipeline, services: Services, sickness: str, full: bool
) -> None:
    pipeline.set("source", users_per_day=50_000 if full else 1_000)
    expected = undisturbed(pipeline)
    postmaster = services.pid("postgres")
    with started(pipeline, *day()) as command, load_held(pipeline, command) as backend:
        match sickness:
            case "fast-shutdown":
                os.kill(postmaster, signal.SIGINT)
            case "killed":
                os.kill(postmaster, signal.SIGKILL)
            case _:
                os.kill(backend, signal.SIGKILL)
        status = command.ends()
    print(status, command.output)
    assert status != 0
    until(services.running, "PostgreSQL is back")
    print(attempts(pipeline))
    pipeline.day(DATE)
    require_whole(pipeline, expected)
