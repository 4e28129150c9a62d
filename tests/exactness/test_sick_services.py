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
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import BIN, Pipeline, Stack, running_stack
from tests.days import NOTHING, STEPS, forget, states, tables
from tests.exactness.processes import until
from tests.exactness.sickness import (
    DATE,
    Command,
    day,
    held_after,
    require_sentence,
    require_whole,
    started,
    undisturbed,
)
from tests.rehearsal import Rehearsal
from workflow.stack import place


@pytest.fixture(scope="module")
def stack(services: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
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

    def settled_pid(self, name: str) -> int:
        """The same once the supervisor would start the service again.

        It gives up one that ends within seconds of its start.
        """
        until(lambda: "RUNNING" in self.supervisor("status", name), f"{name} has run for a while")
        return self.pid(name)

    def running(self) -> bool:
        """Whether all of them answer."""
        status = self._pipeline.run("workflow", "stack", "status", check=None)
        return status.returncode == 0

    def supervisor(self, *command: str) -> str:
        """Let the stack's supervisor start or stop a service, or say how it is."""
        socket = place.from_settings().socket
        done = subprocess.run(
            [BIN / "supervisorctl", "-s", f"unix://{socket}", *command],
            check=command[0] != "status",  # whose exit status is not 0 for a service that is away
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Let a service take connections and answer nothing, until the end of the block."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def away(self, name: str) -> Iterator[None]:
        """Kill a service and keep it away; start it at the end of the block."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGSTOP)  # it must not hear the supervisor, who must not restart it
        with ThreadPoolExecutor(1) as beside:
            beside.submit(self.supervisor, "stop", name)
            until(lambda: "STOPPING" in self.supervisor("status", name), f"{name} is to stop")
            os.kill(pid, signal.SIGKILL)
        try:
            yield
        finally:
            self._pipeline.run("workflow", "stack", "up")


@pytest.fixture
def supervised(pipeline: Pipeline) -> Iterator[Services]:
    """The stack's services, which run again when the next test begins."""
    supervised = Services(pipeline)
    yield supervised
    until(supervised.running, "the services run again")


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


def test_postgresql_restarted_in_the_middle_of_a_load(
    pipeline: Pipeline, supervised: Services, full: bool
) -> None:
    pipeline.set("source", users_per_day=50_000 if full else 1_000)
    expected = undisturbed(pipeline)
    sicknesses = ("fast shutdown", "killed", "a backend killed")
    for sickness in sicknesses if full else sicknesses[:2]:
        postmaster = supervised.settled_pid("postgres")
        with started(pipeline, *day()) as command, load_held(pipeline, command) as backend:
            match sickness:
                case "fast shutdown":
                    os.kill(postmaster, signal.SIGINT)
                case "killed":
                    os.kill(postmaster, signal.SIGKILL)
                case "a backend killed":
                    os.kill(backend, signal.SIGKILL)
            assert command.ends() != 0, sickness
        require_sentence(command.output, "Error: The connection that holds the lease was lost (")
        until(supervised.running, f"PostgreSQL runs again ({sickness})")
        assert tables(pipeline) == NOTHING
    pipeline.day(DATE)
    require_whole(pipeline, expected)
    once = [("ExtractUsers", "succeeded"), ("TransformUsers", "succeeded")]
    assert states(pipeline)[:2] == once  # the load alone was done again


# ---- Cassandra ---------------------------------------------------------------------------


def test_an_extraction_goes_on_when_cassandra_comes_back(
    pipeline: Pipeline, supervised: Services, source: Rehearsal, full: bool
) -> None:
    seconds = 20 if full else 3
    pipeline.set("source", users_per_day=20_000 if full else 800, page_size=500 if full else 20)
    expected = undisturbed(pipeline)
    absences = ((supervised.frozen, held_after(5)), (supervised.away, ""))
    source.has(held_after(5))
    with started(pipeline, *day()) as command:
        for away, then in absences if full else absences[1:]:
            command.until(lambda: source.requests > 5, "the extraction is held")
            with away("cassandra"):
                source.has(then)
                command.until(lambda: source.requests > 0, "pages come again")
                time.sleep(seconds)  # how long it is away is what is tried
                assert command.process.poll() is None, command.output
                assert tables(pipeline)["users"] == []
        assert command.ends() == 0, command.output
    assert states(pipeline) == [(step.__name__, "succeeded") for step in STEPS]
    require_whole(pipeline, expected)


# ---- luigid ------------------------------------------------------------------------------

#: What Luigi or we say when luigid has lost its state, and when it is away.
FORGOTTEN = "not granted run permission by the scheduler"
AWAY = "Error: luigid does not respond ("


@pytest.mark.parametrize("restarted", [True, False], ids=["restarted", "away"])
def test_luigid_killed_in_the_middle_of_a_day(
    pipeline: Pipeline, supervised: Services, source: Rehearsal, restarted: bool, full: bool
) -> None:
    pipeline.set("source", users_per_day=100, page_size=10, requests_in_flight=1)
    expected = undisturbed(pipeline)
    if not full and not restarted:
        pipeline.set("core", rpc_retry_attempts=2, rpc_retry_wait=1)
    commands = [day(""), ["workflow", "run", DATE]]
    for command_line in commands if full else commands[restarted:][:1]:
        source.has(held_after(3))
        with started(pipeline, *command_line) as command:
            command.until(lambda: source.requests > 3, "the extraction is held")
            if restarted:
                os.kill(supervised.pid("luigid"), signal.SIGKILL)
                until(supervised.running, "luigid runs again")
                source.has("")
                status = command.ends()
            else:
                with supervised.away("luigid"):
                    source.has("")
                    status = command.ends()
        until(supervised.running, "luigid runs again")
        complete = ("LoadUsers", "succeeded") in states(pipeline)
        assert (status == 0) == complete, command.output
        if not complete:
            require_sentence(command.output)
            assert FORGOTTEN in command.output or AWAY in command.output, command.output
            assert tables(pipeline) == NOTHING
        source.has("")
        pipeline.run(*day(""))
        require_whole(pipeline, expected)
        forget(pipeline)
