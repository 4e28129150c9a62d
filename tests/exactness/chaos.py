"""Minutes of starts and SIGKILLs at random, then one comparison: `make chaos MINUTES=5`.

The pipeline is the stock one, by the commands that people type. What is drawn at random
depends on the seed alone; how far a process gets before it is killed depends on the machine.
"""

import argparse
import contextlib
import datetime
import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence

from rich.console import Console

from tests.conftest import BIN, PROJECT, Pipeline, environment
from tests.days import STEPS, VERSIONS
from tests.exactness import comparison
from workflow import settings
from workflow.ledger import runs

USERS = 140
DATES = [datetime.date(2026, 8, 29) + datetime.timedelta(days=n) for n in range(5)]  # two months

#: s from a start to its kill. A process begins to work after about 1 s, and needs 1 s a date.
LIFE = (0.5, 6.0)


def main() -> int:
    """Run it; the exit status is 0 only if there were kills and nothing differs."""
    parser = argparse.ArgumentParser(description="Kill the pipeline at random and compare.")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"Seed {options.seed}, {options.minutes:g} min, {len(DATES)} dates from {DATES[0]}"
    )
    with comparison.stack_of_its_own() as (stack, folder):
        with comparison.fresh(stack, folder, "undisturbed", users=USERS) as pipeline:
            finish(pipeline)
            expected = comparison.digest(pipeline, DATES)
        with comparison.fresh(stack, folder, "chaos", users=USERS) as pipeline:
            chaos = Chaos(pipeline, console, options.seed)
            ends = time.monotonic() + options.minutes * 60
            while time.monotonic() < ends:
                chaos.round()
            finish(pipeline)
            found = comparison.digest(pipeline, DATES)
            pipeline.run("workflow", "verify")
    wrong = comparison.differences(expected, found)
    for sentence in wrong:
        console.print(sentence, markup=False)
    console.print(
        f"seed {options.seed}: {chaos.starts} starts, {chaos.reruns} reruns, {len(DATES)} dates"
    )
    console.print(f"{chaos.kills} kills, {len(wrong)} differences")
    return 0 if chaos.kills and not wrong else 1


def finish(pipeline: Pipeline) -> None:
    """Run all dates to their end, undisturbed and without luigid."""
    pipeline.run("workflow", "run", str(DATES[0]), str(DATES[-1]), "--local-scheduler", timeout=600)


class Chaos:
    """Rounds of starts and kills, and their numbers."""

    def __init__(self, pipeline: Pipeline, console: Console, seed: int) -> None:
        self._pipeline = pipeline
        self._console = console
        self._random = random.Random(seed)
        self.starts = self.kills = self.reruns = 0

    def round(self) -> None:
        """Perhaps make something due again, start one process or two, kill them."""
        draw = self._random
        # drawn in any case, so that the seed decides all of it
        reruns = [(draw.choice(DATES), draw.choice(STEPS).__name__) for _ in range(3)]
        wanted = draw.random() < 0.2
        commands = [self._command() for _ in range(2 if draw.random() < 0.3 else 1)]
        life = draw.uniform(*LIFE)
        if wanted or self._all_complete():
            for date, step in reruns:
                self._rerun(date, step)
        processes = [self._start(command) for command in commands]
        ends = time.monotonic() + life
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, ends - time.monotonic()))
        killed = [self._kill(process) for process in processes]
        for command, dead in zip(commands, killed, strict=True):
            told = f"killed after {life:.1f} s" if dead else "ended by itself"
            self._console.print(f"{told}: {' '.join(command)}", markup=False)

    def _rerun(self, date: datetime.date, step: str) -> None:
        self._pipeline.run("workflow", "rerun", str(date), "--from", step, "--mark-only")
        self.reruns += 1
        self._console.print(f"due again: {step} of {date}")

    def _all_complete(self) -> bool:
        current = runs.current_runs(VERSIONS, DATES[0], DATES[-1])
        return len(current) == len(DATES) * len(STEPS)

    def _command(self) -> list[str]:
        draw = self._random
        options = draw.choice([[], ["--workers", "2"]])
        options = [*options, *draw.choice([[], ["--local-scheduler"], ["--local-scheduler"]])]
        first, last = draw.choice(DATES[:2]), draw.choice(DATES[2:])
        if draw.random() < 0.5:
            return ["workflow", "run", str(first), str(last), *options]
        days_back = (settings.utc_today() - first).days + 1
        return [
            "luigi", "--module", "workflow", "RangeDaily", "--of", "RunDaily",
            "--start", str(first), "--stop", str(last + datetime.timedelta(days=1)),
            "--days-back", str(days_back), "--task-limit", str(len(DATES)), *options,
        ]  # fmt: skip

    def _start(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        self.starts += 1
        return subprocess.Popen(
            [str(BIN / command[0]), *command[1:]],
            cwd=PROJECT,
            env=environment(self._pipeline.config_path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # its forks die with it
        )

    def _kill(self, process: "subprocess.Popen[bytes]") -> bool:
        """Kill what a start has made; whether it was still at work."""
        if process.poll() is not None:
            return False
        os.killpg(process.pid, signal.SIGKILL)
        self.kills += process.wait() == -signal.SIGKILL
        return True


if __name__ == "__main__":
    raise SystemExit(main())
