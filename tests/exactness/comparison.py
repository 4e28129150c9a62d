"""A day that is killed, and what a day left behind, to be held against an undisturbed one."""

import contextlib
import dataclasses
import datetime
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests import days
from tests.conftest import (
    PROJECT,
    Pipeline,
    Stack,
    empty_pipeline,
    environment,
    running_stack,
)
from tests.days import STEPS, TABLES, VERSIONS
from tests.exactness.crash_points import DATE, Point, Victim
from workflow.ledger import runs
from workflow.stores import warehouse

PAGE = 20

#: What a step's ledger row must say whenever it was published, by the keys of its details. The
#: sha256 of the raw documents is not among them: the API writes ages as of the moment it is asked.
SAME_DETAILS = ("extraction", "server", "pages", "buckets", "statistics", "fingerprint")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standing:
    """What stands of a date: the rows of the three tables, and the current ledger."""

    tables: days.Tables
    ledger: dict[str, dict[str, Any]]


def use_source(pipeline: Pipeline, users: int, *, plan: str = "missing=gender,users=2") -> None:
    """Take `users` a day, in pages of PAGE or a tenth of them, a few of them to be rejected."""
    root = pipeline.stack.standin_url.removesuffix("/api/1.4/")
    url = f"{root}/faults/crash/{plan}/api/1.4/" if plan else pipeline.stack.standin_url
    pipeline.set("source", url=url, users_per_day=users, page_size=max(PAGE, users // 10))
    pipeline.set("rules", rejected_percent_max=20)


def current_ledger(date: datetime.date) -> dict[str, dict[str, Any]]:
    """The current steps of a date: their counts, logic versions and what is reproducible."""
    return {
        job: {
            "logic_version": run.logic_version,
            "rows": (run.rows_in, run.rows_out, run.rows_rejected, run.rows_erased),
            **{key: run.details[key] for key in SAME_DETAILS if key in run.details},
        }
        for (_, job), run in runs.current_runs(VERSIONS, date, date).items()
    }


def standing(pipeline: Pipeline, date: datetime.date = DATE) -> Standing:
    """What stands of a date now."""
    return Standing(tables=days.tables(pipeline, date), ledger=current_ledger(date))


def digest(pipeline: Pipeline, dates: Sequence[datetime.date]) -> dict[str, Any]:
    """What stands of some dates in few words, each under a name that people understand."""
    found: dict[str, Any] = {}
    for date in dates:
        print_ = warehouse.fingerprint(date)
        found |= {f"{date} {table}": (print_[table], print_[f"{table}_digest"]) for table in TABLES}
        steps = current_ledger(date)
        found |= {f"{date} {step.__name__}": steps.get(step.__name__) for step in STEPS}
    found["attempts left running"] = len(left_running(pipeline))
    return found


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What is not as it should be, a sentence each."""
    return [
        f"{name}: {found[name]!r} instead of {value!r}"
        for name, value in expected.items()
        if found[name] != value
    ]


@contextlib.contextmanager
def stack_of_its_own() -> Iterator[tuple[Stack, Path]]:
    """A stack for a program that is no test, and a folder; both are gone afterwards."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped by SIGTERM."))
    with (
        tempfile.TemporaryDirectory(prefix="exactness-") as name,
        running_stack(Path(name), quiet=True) as stack,
    ):
        yield stack, Path(name)


@contextlib.contextmanager
def fresh(stack: Stack, folder: Path, name: str, *, users: int) -> Iterator[Pipeline]:
    """A pipeline of such a stack, with a database NAME, whose settings hold in this process."""
    lake = folder / name
    lake.mkdir()
    with empty_pipeline(stack, name, lake) as pipeline:
        use_source(pipeline, users)
        yield pipeline


def left_running(pipeline: Pipeline) -> list[Any]:
    """Ledger rows that nobody ended."""
    return pipeline.rows(
        "SELECT job, partition_date FROM extraction_metadata WHERE state = 'running'"
    )


def launcher(point: Point, *, call: int | None = None) -> list[str]:
    """The command that runs a point's date and dies there."""
    name = f"{point.name}:{call}" if call else point.name
    return [
        sys.executable, "-m", "tests.exactness.crash_points", name, "--",
        "--module", "workflow", "RunDaily", "--date", str(point.date), *point.options,
    ]  # fmt: skip


def kill(pipeline: Pipeline, point: Point, *, call: int | None = None) -> str | None:
    """Run a point's date and kill it at a point; what is wrong if it did not die there.

    A fork that outlives its parent is not waited for: the next run has to cope with it.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            launcher(point, call=call),
            cwd=PROJECT,
            env=environment(pipeline.config_path),
            stdout=log,
            stderr=log,
        )
        status = process.wait(120)
        log.seek(0)
        said = log.read().decode()
    fork_died = "--workers" in point.options and point.victim is Victim.PROCESS
    died = "died unexpectedly with exit code -9" in said if fork_died else status == -signal.SIGKILL
    return None if died else f"{point.name} was not reached (exit status {status}):\n{said}"
