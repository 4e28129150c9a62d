"""A step that hangs ends with its process, is recorded as failed, and takes no other date along."""

import contextlib
import datetime
import os
import signal
import subprocess
import sys
import time
from concurrent import futures
from pathlib import Path

import grpc
import psutil
import pytest

from tests import days
from tests.conftest import PROJECT, Pipeline, write_config
from tests.days import states
from tests.exactness.sickness import day, require_sentence, started
from workflow.deadline import ENDED
from workflow.ledger import runs
from workflow.tasks import ExtractUsers

DATE = datetime.date(2026, 11, 20)


class Silent(grpc.GenericRpcHandler):  # type: ignore[misc]  # it publishes no types
    """A server that takes every request and does not respond before the test ends."""

    def service(self, _: object) -> object:
        return grpc.unary_unary_rpc_method_handler(lambda *_: time.sleep(20))


WATCHED = """
import sys, time
from workflow import deadline
def note(error):
    print("noted:", error, flush=True)
    if sys.argv[1] == "hangs":
        time.sleep(60)
    return sys.argv[1] != "done"
with deadline.watch("It", note):
    time.sleep(float(sys.argv[2]))
print("went on")
"""


@pytest.mark.parametrize(
    ("note", "seconds", "status"),
    [("due", 30, ENDED), ("hangs", 30, ENDED), ("hangs", 3, 0), ("done", 2, 0)],
)
def test_the_process_ends_unless_the_work_is_done_after_all(
    note: str, seconds: float, status: int, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "test.cfg", {"lease": {"deadline": "1"}})
    watched = subprocess.run(
        [sys.executable, "-c", WATCHED, note, str(seconds)],
        cwd=PROJECT,
        env={**os.environ, "LUIGI_CONFIG_PATH": str(config)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert watched.returncode == status, watched.stderr
    assert "noted: It took longer than 1 s ([lease] deadline); nothing was pub" in watched.stdout
    assert ("went on" in watched.stdout) is (status == 0)


def hang(pipeline: Pipeline, name: str, plan: str = "hang", deadline: int = 1) -> None:
    url = pipeline.stack.standin_url.replace("/api/", f"/faults/{name}/{plan}/api/")
    pipeline.set("source", url=url, users_per_day=20)
    pipeline.set("lease", deadline=deadline)


def mend(pipeline: Pipeline) -> None:
    pipeline.set("source", url=pipeline.stack.standin_url)
    pipeline.set("lease", deadline=600)


def test_a_step_that_hangs_ends_its_process_and_is_recorded(pipeline: Pipeline) -> None:
    hang(pipeline, "deadline")
    done = pipeline.day(DATE, check=ENDED)
    assert "ExtractUsers of 2026-11-20 took longer than 1 s ([lease] deadline)" in done.stderr
    assert "Traceback" not in done.stderr
    (run,) = runs.history(DATE)
    assert run.state == "failed"
    assert "took longer than 1 s" in str(run.error)
    mend(pipeline)
    pipeline.day(DATE)


def test_a_fork_that_hangs_fails_its_step_only(pipeline: Pipeline) -> None:
    hang(pipeline, "fork", "hang,requests=1", deadline=8)
    stop = str(DATE + datetime.timedelta(days=2))
    done = pipeline.run(
        "luigi", "--module", "workflow", "RangeDaily", "--of", "RunDaily", "--start", str(DATE),
        "--stop", stop, "--days-back", "9999", "--workers", "2", "--local-scheduler", check=30,
    )  # fmt: skip
    assert f"died unexpectedly with exit code {ENDED}" in done.stderr + done.stdout
    assert sorted(states(pipeline)).count(("LoadUsers", "succeeded")) == 1
    assert ("ExtractUsers", "failed") in states(pipeline)


def test_a_range_goes_on_with_the_other_dates(pipeline: Pipeline) -> None:
    hang(pipeline, "range", "hang,requests=2", deadline=8)
    days = [DATE + datetime.timedelta(days=n) for n in range(3)]
    command = ("workflow", "run", str(days[0]), str(days[-1]), "--local-scheduler")
    done = pipeline.run(*command, check=1)
    assert "Error: 1 of 3 dates are not complete: " in done.stderr
    ended = [day for day in days if [run.state for run in runs.history(day)] == ["failed"]]
    assert len(ended) == 1
    for complete in set(days) - set(ended):
        assert [run.state for run in runs.history(complete)] == ["succeeded"] * 4
    mend(pipeline)
    pipeline.run(*command)


def test_a_deadline_waits_for_no_lock_of_the_ledger(pipeline: Pipeline) -> None:
    hang(pipeline, "locked", deadline=3)
    with (
        started(pipeline, *day(date=str(DATE))) as command,
        contextlib.closing(pipeline.connect()) as connection,
        connection.cursor() as cursor,
    ):
        command.until(lambda: states(pipeline) == [("ExtractUsers", "running")], "it extracts")
        cursor.execute("BEGIN; SELECT FROM extraction_metadata FOR UPDATE")
        assert command.ends(within=20) == ENDED
    mend(pipeline)
    pipeline.day(DATE)


def test_a_spark_server_that_accepts_and_never_responds_ends_the_step(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    days.run(DATE, ExtractUsers)
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Silent(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    pipeline.set("spark", engine="connect", remote=f"sc://127.0.0.1:{port}")
    pipeline.set("lease", deadline=4)
    done = pipeline.day(DATE, check=ENDED)
    server.stop(None)
    assert "TransformUsers of 2026-11-20 took longer than 4 s" in done.stderr
    assert ("TransformUsers", "failed") in states(pipeline)


def test_a_step_whose_spark_server_hangs_ends(pipeline: Pipeline, spark_connect: str) -> None:
    pipeline.set("source", users_per_day=20)
    pipeline.set("spark", engine="connect", remote=spark_connect)
    port = int(spark_connect.rpartition(":")[2])
    (server,) = {c.pid for c in psutil.net_connections("tcp") if c.laddr[1:] == (port,) and c.pid
                 and c.status == psutil.CONN_LISTEN}  # fmt: skip
    pipeline.set("lease", deadline=8)
    with started(pipeline, *day(date=str(DATE))) as command:
        command.until(lambda: ("TransformUsers", "running") in states(pipeline), "it transforms")
        os.kill(server, signal.SIGSTOP)
        try:
            assert command.ends(within=80) == ENDED
        finally:
            os.kill(server, signal.SIGCONT)
    require_sentence(
        command.output, "TransformUsers of 2026-11-20 took longer than 8 s ([lease] deadline)"
    )
    pipeline.set("lease", deadline=600)
    pipeline.day(DATE)
