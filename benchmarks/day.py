"""How long a new date takes, whole process, on a stack of its own.

    make bench              RUNS=5 dates, 1,000 users each, from the stand-in

Prints the median of `luigi --module workflow RunDaily --local-scheduler` for new dates and
for a complete one, and of RangeDaily over a complete year, in seconds of wall clock and of
processor time, against the budgets.
"""

import datetime
import os
import statistics

from harness import Cost, luigi, measure, stack
from rich.console import Console
from rich.table import Table

from tests.conftest import environment, load_config
from tests.days import complete_dates
from workflow.stores.postgres import connect

USERS = 1_000
NEW, COMPLETE, YEAR = "a new date", "a complete date", "a complete year"
BUDGETS = {NEW: ("wall", 3.5), COMPLETE: ("processor", 1.5), YEAR: ("wall", 2)}


def main() -> None:
    """Start a stack, measure, stop it."""
    runs = int(os.environ.get("RUNS", "5"))
    with stack() as config:
        load_config(config)
        env = environment(config)
        show({**days(env, runs), YEAR: years(env, runs)})


def days(env: dict[str, str], runs: int) -> dict[str, list[Cost]]:
    """The measured runs: each date once new, then once more; one date before to warm up."""
    today = datetime.datetime.now(datetime.UTC).date()
    results: dict[str, list[Cost]] = {NEW: [], COMPLETE: []}
    for n in range(runs + 1):
        date = str(today - datetime.timedelta(days=n))
        for costs in results.values():
            command = luigi("RunDaily", "--date", date, "--source-users-per-day", str(USERS))
            cost = measure(command, env)
            if n:
                costs.append(cost)
    return results


def years(env: dict[str, str], runs: int) -> list[Cost]:
    """RangeDaily over 365 dates that the ledger calls complete; one more run to warm up."""
    first = datetime.date(2016, 1, 1)
    with connect("bench") as connection, connection.cursor() as cursor:
        complete_dates(cursor, first, 365)
    command = luigi(
        "RangeDaily", "--of", "RunDaily", "--start", str(first),
        "--stop", str(first + datetime.timedelta(days=365)), "--days-back", "99999",
    )  # fmt: skip
    return [measure(command, env) for _ in range(runs + 1)][1:]


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
