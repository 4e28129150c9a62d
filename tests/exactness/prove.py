"""Ten kills of one day, to be watched: `make prove`.

Starts a stack of its own, runs a day undisturbed, and then the same day once more in an empty
database, where the pipeline is killed at ten moments, each start going on from what the one
before it left. At last the day is run to its end and held against the undisturbed one.
"""

import argparse
import datetime
import re
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.conftest import Pipeline
from tests.days import TABLES
from tests.exactness import comparison
from tests.exactness.crash_points import BY_NAME, DATE

USERS = 3_000  # ten pages, eight chunks of COPY

#: In the order of a day, so that each start has something to go on from.
KILLS = (
    "extract-running", "extract-batches-half", "extract-page-without-row", "extract-manifest",
    "transform-writing", "transform-uncommitted", "statistics-written", "load-month-unattached",
    "load-copying-users", "load-uncommitted",
)  # fmt: skip


def main() -> int:
    """Run it; the exit status is 0 only if every kill happened and nothing differs."""
    parser = argparse.ArgumentParser(description="Kill a day ten times and compare.")
    parser.add_argument("--svg", type=Path, help="also write what is shown to this file")
    options = parser.parse_args()
    console = Console(
        record=True, highlight=False, soft_wrap=True, width=110 if options.svg else None
    )
    console.print("Starting Cassandra, PostgreSQL, luigid and the stand-in API …", style="dim")
    with comparison.stack_of_its_own() as (stack, folder):
        with comparison.fresh(stack, folder, "undisturbed", users=USERS) as pipeline:
            console.print(f"{DATE}, {USERS:,} users, undisturbed", style="bold")
            pipeline.day(DATE)
            expected = comparison.digest(pipeline, [DATE])
        with comparison.fresh(stack, folder, "killed", users=USERS) as pipeline:
            console.print(f"The same day in an empty database, {len(KILLS)} kills", style="bold")
            kills = sum(killed(console, pipeline, name) for name in KILLS)
            pipeline.day(DATE)
            console.print(f"{now()}  the last run is left alone")
            found = comparison.digest(pipeline, [DATE])
            pipeline.run("workflow", "verify")
            console.print(f"{now()}  workflow verify: the stores hold what the ledger says")
    wrong = comparison.differences(expected, found)
    console.print(side_by_side(expected, found))
    good = kills == len(KILLS) and not wrong
    console.print(
        f"{kills} kills, {len(wrong)} differences", style="bold green" if good else "bold red"
    )
    if options.svg:
        # rich names fonts on the web; a page that shows the picture shall ask for nothing
        svg = re.sub(
            r"@font-face \{.*?\}", "", console.export_svg(title="make prove"), flags=re.DOTALL
        )
        options.svg.write_text(svg, encoding="utf-8")
    return 0 if good else 1


def now() -> str:
    """The time of day, as the lines begin with."""
    return f"{datetime.datetime.now(datetime.UTC):%H:%M:%S}"


def killed(console: Console, pipeline: Pipeline, name: str) -> bool:
    """Kill the day at a point, and say so; whether it died there."""
    point = BY_NAME[name]
    problem = comparison.kill(pipeline, point)
    end = "[red]killed[/]" if problem is None else "[bold]not killed[/]"
    console.print(f"{now()}  {end}  [cyan]{point.step:14}[/] {point.state}")
    if problem:
        console.print(problem, markup=False)
    return problem is None


def side_by_side(expected: dict[str, Any], found: dict[str, Any]) -> Table:
    """Both days side by side."""
    table = Table("", title="undisturbed and killed ten times", title_justify="left")
    table.add_column("rows", justify="right")
    table.add_column("digest, undisturbed", justify="right")
    table.add_column("digest, killed", justify="right")
    table.add_column("")
    for table_name in TABLES:
        name = f"{DATE} {table_name}"
        rows, digest = expected[name]
        same = "the same" if expected[name] == found[name] else "[red]different[/]"
        table.add_row(table_name, f"{rows:,}", short(digest), short(found[name][1]), same)
    steps = [name for name, value in expected.items() if isinstance(value, dict)]
    equal = sum(expected[name] == found[name] for name in steps)
    table.add_row("current steps", f"{len(steps)}", "", "", f"{equal} the same")
    return table


def short(digest: str) -> str:
    """The end of a digest, which is enough to be seen."""
    return digest[-12:]


if __name__ == "__main__":
    raise SystemExit(main())
