"""How long a new date takes, whole process, on a stack of its own.

    make bench              RUNS=5 dates, 1,000 users each, from the stand-in

Prints the median of `luigi --module workflow RunDaily --local-scheduler` for new dates and
for a complete one, in seconds of wall clock and of processor time, against the budgets.
"""

import datetime
import os
import statistics

from harness import Cost, luigi, measure, stack
from rich.console import Console
from rich.table import Table

from tests.conftest import environment

USERS = 1_000
BUDGETS = {"a new date": ("wall", 3.5), "a complete date": ("processor", 1.5)}


def main() -> None:
    """Start a stack, measure, stop it."""
    runs = int(os.environ.get("RUNS", "5"))
    with stack() as config:
        show(days(environment(config), runs))


def days(env: dict[str, str], runs: int) -> dict[str, list[Cost]]:
    """The measured runs: each date once new, then once more; one date before to warm up."""
    today = datetime.datetime.now(datetime.UTC).date()
    results: dict[str, list[Cost]] = {name: [] for name in BUDGETS}
    for n in range(runs + 1):
        date = str(today - datetime.timedelta(days=n))
        for name in BUDGETS:
            users = str(USERS)
            cost = measure(luigi("RunDaily", date, "--source-users-per-day", users), env)
            if n:
                results[name].append(cost)
    return results


def show(results: dict[str, list[Cost]]) -> None:
    """Print medians and ranges beside the budgets."""
    table = Table(title=f"{USERS:,} users, {os.cpu_count()} processors", title_justify="left")
    table.add_column("")
    for heading in ("wall s", "from", "to", "processor s", "budget"):
        table.add_column(heading, justify="right")
    for name, costs in results.items():
        walls = [cost.wall for cost in costs]
        kind, budget = BUDGETS[name]
        table.add_row(
            name,
            f"{statistics.median(walls):.2f}",
            f"{min(walls):.2f}",
            f"{max(walls):.2f}",
            f"{statistics.median(cost.processor for cost in costs):.2f}",
            f"{kind} {budget:g}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
