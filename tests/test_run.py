"""`workflow run` keeps Luigi in a child: what a signal to either of them does."""

import datetime
import signal

import psutil

from tests.conftest import Pipeline
from tests.days import states
from tests.exactness.processes import until
from tests.exactness.sickness import started
from tests.rehearsal import Rehearsal

DATE = datetime.date(2026, 11, 20)


def hang(pipeline: Pipeline, name: str) -> None:
    url = pipeline.stack.standin_url.replace("/api/", f"/faults/{name}/hang/api/")
    pipeline.set("source", url=url, users_per_day=20, read_timeout=5)


def test_a_run_whose_child_is_killed_goes_on_with_the_other_dates(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    stop = DATE + datetime.timedelta(days=1)
    command = ("workflow", "run", str(DATE), str(stop), "--local-scheduler")
    with Rehearsal(pipeline, "killed") as source:
        source.has("hang,requests=1")
        with started(pipeline, *command) as run:
            run.until(lambda: source.requests == 1, "it extracts")
            (child,) = psutil.Process(run.process.pid).children()
            child.kill()
            assert run.ends(within=60) == 1, run.output
    assert sorted(states(pipeline)).count(("LoadUsers", "succeeded")) == 1


def test_a_run_that_is_killed_leaves_no_child_at_work(pipeline: Pipeline) -> None:
    hang(pipeline, "orphan")
    with started(pipeline, "workflow", "run", str(DATE), "--local-scheduler") as run:
        run.until(lambda: states(pipeline) == [("ExtractUsers", "running")], "it extracts")
        (child,) = psutil.Process(run.process.pid).children()
        run.process.kill()
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "its end")


def test_ctrl_c_is_passed_on_and_recorded(pipeline: Pipeline) -> None:
    hang(pipeline, "ctrl-c")
    with started(pipeline, "workflow", "run", str(DATE), "--local-scheduler") as run:
        run.until(lambda: states(pipeline) == [("ExtractUsers", "running")], "it extracts")
        run.process.send_signal(signal.SIGINT)
        assert run.ends(within=60) == 1, run.output
    assert states(pipeline) == [("ExtractUsers", "interrupted")]
    assert "Traceback" not in run.output
