"""A day beside sick services: commands that go on meanwhile, and what must come of them."""

import contextlib
import dataclasses
import datetime
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests import days
from tests.conftest import BIN, PROJECT, Pipeline, environment
from tests.days import STEPS, TABLES, Tables, forget, tables
from tests.exactness.processes import PATIENCE, until

DATE = "2026-11-20"
_undisturbed: dict[tuple[str, ...], Tables] = {}


def undisturbed(pipeline: Pipeline, date: str = DATE) -> Tables:
    """What a date's tables hold when nothing is wrong. The pipeline is as empty as before.

    A date's rows are decided by its seed, the users and the pages asked for: each such day is
    run once for all tests.
    """
    source = pipeline.config["source"]
    key = (date, *(source.get(name, "") for name in ("users_per_day", "page_size")))
    if key not in _undisturbed:
        days.run(datetime.date.fromisoformat(date), *STEPS)
        _undisturbed[key] = tables(pipeline)
        forget(pipeline)
        shutil.rmtree(pipeline.config["lake"]["url"])
    return _undisturbed[key]


def require_whole(pipeline: Pipeline, expected: Tables) -> None:
    """The tables hold what an undisturbed day leaves, and all stores what the ledger says."""
    found = tables(pipeline)
    for table in TABLES:
        assert found[table] == expected[table], table
    verified = pipeline.run("workflow", "verify").stdout
    assert " ok " in verified, verified
    assert "due" not in verified, verified


def require_sentence(output: str, *parts: str) -> None:
    """What a failed command wrote is a sentence with these parts, and no traceback."""
    assert "Traceback" not in output, output
    for part in parts:
        assert part in output, output


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """A command that goes on in a process of its own."""

    process: "subprocess.Popen[str]"
    written: Path

    @property
    def output(self) -> str:
        """What it has written so far, to both streams."""
        return self.written.read_text(encoding="utf-8", errors="replace")

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition that must come before the command ends."""

        def holds() -> bool:
            ended = self.process.poll() is not None
            if condition():
                return True
            assert not ended, f"ended before {what}:\n{self.output}"
            return False

        until(holds, what)

    def ends(self, within: float = PATIENCE) -> int:
        """Wait for its end, at most so many s; returns the exit status."""
        return self.process.wait(within)


@contextlib.contextmanager
def started(pipeline: Pipeline, *command: str) -> Iterator[Command]:
    """Start a command of the virtual environment; kill it if the test leaves before its end."""
    written = pipeline.config_path.with_name(f"{Path(command[0]).name}-{time.monotonic_ns()}.log")
    with written.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [str(BIN / command[0]), *command[1:]],
            cwd=PROJECT,
            env=environment(pipeline.config_path),
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield Command(process=process, written=written)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def day(scheduler: str = "--local-scheduler", *, date: str = DATE) -> list[str]:
    """The stock command for a date; without its scheduler's option it asks luigid."""
    command = ["luigi", "--module", "workflow", "RunDaily", "--date", date]
    return [*command, scheduler] if scheduler else command


def held_after(pages: int) -> str:
    """A plan that gives so many pages and then holds an extraction until there is another plan.

    Whoever sees one request more knows that all of them were given.
    """
    return f"status=503,requests={pages + 1}-"
