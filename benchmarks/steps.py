"""What each step of a day costs, by size of the day, on a stack of its own.

    make bench SIZES=1000,20000
    python benchmarks/steps.py [--sizes 1000,20000,100000] [--json FILE]

Each step runs once, as a process of its own, on a date that is new, with the stand-in as the
source and the engine of luigi.cfg. Seconds are the ledger's, from the step's start to its
publication; `process s`, `processor s` and `memory` are of the whole process, Python's and
the engine's start included, but not of Cassandra, PostgreSQL and the stand-in.
"""

import argparse
import datetime
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import luigi, measure, stack
from rich.console import Console
from rich.table import Table

from tests.conftest import environment, load_config
from tests.days import STEPS
from workflow import settings
from workflow.ledger import runs
from workflow.spark import jobs


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A step of a day of `users`; memory is in bytes, all times are in seconds."""

    users: int
    step: str
    seconds: float
    rows_per_second: float
    process_seconds: float
    processor_seconds: float
    memory_bytes: int


def main() -> None:
    """Measure all steps of all sizes, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--sizes", default="1000,20000,100000", help="users, comma-separated")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    with stack() as config:
        load_config(config)
        engine = jobs.describe().as_json()
        today = settings.utc_today()
        day(config, today, 1_000)  # services that were asked before answer faster
        figures = [
            measured
            for n, users in enumerate(sizes, start=1)
            for measured in day(config, today - datetime.timedelta(days=n), users)
        ]
    show(figures, engine)
    if options.json:
        machine = {"processors": os.cpu_count(), "python": sys.version.split()[0], **engine}
        content = {"machine": machine, "steps": [asdict(measured) for measured in figures]}
        options.json.write_text(json.dumps(content, indent=2) + "\n")


def day(config: Path, date: datetime.date, users: int) -> list[Measured]:
    """Run the steps of a new date one after the other."""
    costs = {
        step.__name__: measure(
            luigi(step.__name__, "--date", str(date), "--source-users-per-day", str(users)),
            environment(config),
        )
        for step in STEPS
    }
    return [
        Measured(
            users=users,
            step=run.job,
            seconds=round(run.seconds, 3),
            rows_per_second=round((run.rows_in or 0) / run.seconds),
            process_seconds=round(costs[run.job].wall, 3),
            processor_seconds=round(costs[run.job].processor, 3),
            memory_bytes=costs[run.job].memory,
        )
        for run in runs.history(date)
        if run.state == "succeeded" and run.seconds
    ]


def show(figures: list[Measured], engine: dict[str, Any]) -> None:
    """Print a row per step and size."""
    title = f"{os.cpu_count()} processors, {engine['engine']} {engine['version']}"
    table = Table(title=title, title_justify="left")
    table.add_column("users", justify="right")
    table.add_column("step", no_wrap=True)
    for heading in ("seconds", "rows/s", "process s", "processor s", "memory MB"):
        table.add_column(heading, justify="right")
    for measured in figures:
        table.add_row(
            f"{measured.users:,}",
            measured.step,
            f"{measured.seconds:.2f}",
            f"{measured.rows_per_second:,.0f}",
            f"{measured.process_seconds:.2f}",
            f"{measured.processor_seconds:.2f}",
            f"{measured.memory_bytes / 1e6:,.0f}",
            end_section=measured.step == STEPS[-1].__name__,
        )
    Console().print(table)


if __name__ == "__main__":
    main()
