"""Two Luigi processes on one date with one luigid: one works, the other waits and finds it done."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import BIN, PROJECT, Pipeline, environment
from tests.test_day import STEPS, states

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(pipeline: Pipeline) -> Iterator[Start]:
    """Starts `luigi --module workflow RunDaily` through the session's luigid."""
    with contextlib.ExitStack() as stack:

        def start(date: str, *options: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [BIN / "luigi", "--module", "workflow", "RunDaily", "--date", date, *options],
                cwd=PROJECT,
                env=environment(pipeline.config_path),
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def until_running(pipeline: Pipeline) -> None:
    while not states(pipeline):
        time.sleep(0.05)


def slow(pipeline: Pipeline, name: str, plan: str) -> None:
    url = pipeline.stack.standin_url.replace("/api/", f"/faults/{name}/{plan}/api/")
    pipeline.set("source", users_per_day=20, url=url)


@pytest.mark.parametrize("workers", ["1", "3"])
def test_the_second_waits_and_finds_the_date_done(
    pipeline: Pipeline, start: Start, workers: str
) -> None:
    slow(pipeline, f"second-{workers}", "delay=4")
    date = f"2026-09-0{workers}"
    first = start(date)
    until_running(pipeline)
    second = start(date, "--workers", workers)
    _, said = second.communicate(timeout=100)
    assert second.returncode == 0, said
    first.communicate(timeout=100)
    assert first.returncode == 0
    assert f"Waiting up to 120 s for another process: ExtractUsers {date} on " in said
    assert states(pipeline) == [(step, "succeeded") for step in STEPS]


def test_a_wait_in_vain_names_the_holder(pipeline: Pipeline, start: Start) -> None:
    slow(pipeline, "vain", "hang")
    pipeline.set("lease", wait=1)
    first = start("2026-09-11")
    until_running(pipeline)
    second = start("2026-09-11")
    _, said = second.communicate(timeout=100)
    assert second.returncode == 10
    assert "ExtractUsers of 2026-09-11 is being worked on by somebody else" in said
    assert f"process {first.pid}, since" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("waits", [True, False])
def test_a_holder_that_was_killed_does_not_block(
    pipeline: Pipeline, start: Start, waits: bool
) -> None:
    date = f"2026-09-2{waits:d}"
    slow(pipeline, f"killed-{waits}", "delay=3,times=1")
    first = start(date)
    until_running(pipeline)
    if not waits:
        first.send_signal(signal.SIGKILL)
    second = start(date)
    if waits:
        assert second.stderr is not None
        while "Waiting up to" not in second.stderr.readline():
            pass
        first.send_signal(signal.SIGKILL)
    _, said = second.communicate(timeout=100)
    assert second.returncode == 0, said
    assert states(pipeline) == [
        ("ExtractUsers", "interrupted"), *((step, "succeeded") for step in STEPS)
    ]  # fmt: skip


def test_what_fails_in_one_is_tried_once_by_the_one_that_waited(
    pipeline: Pipeline, start: Start
) -> None:
    slow(pipeline, "fails", "status=503")
    pipeline.set("source", deadline=4)
    first = start("2026-09-13")
    until_running(pipeline)
    second = start("2026-09-13")
    for process in (first, second):
        process.communicate(timeout=100)
        assert process.returncode == 30
    assert states(pipeline) == [("ExtractUsers", "failed")] * 2
