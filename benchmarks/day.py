"""How long a new date takes, whole process, on a stack of its own.

    make bench              RUNS=5 dates, 1,000 users each, from the stand-in

Prints the median of `luigi --module workflow RunDaily --local-scheduler` for new dates and
for a complete one, in seconds of wall clock and of processor time, against the budgets.
"""

import datetime
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from tests.conftest import BIN, environment, free_ports, write_config  # noqa: E402

USERS = 1_000
BUDGETS = {"a new date": ("wall", 3.5), "a complete date": ("processor", 1.5)}


def measure(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """(wall, processor) seconds of a command, its children included."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=PROJECT, env=env, check=True, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def main() -> None:
    """Start a stack, measure, stop it."""
    runs = int(os.environ.get("RUNS", "5"))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        root = Path(folder)
        postgres, native, storage, luigid, standin = free_ports(5)
        config = write_config(
            root / "bench.cfg",
            {
                "stack": {
                    "data_dir": str(root / "data"),
                    "log_dir": str(root / "logs"),
                    "standin_port": str(standin),
                    "cassandra_storage_port": str(storage),
                },
                "postgres": {"port": str(postgres), "passfile": str(root / "data/pgpass")},
                "cassandra": {"port": str(native)},
                "core": {"scheduler_port": str(luigid)},
                "source": {
                    "url": f"http://127.0.0.1:{standin}/api/1.4/",
                    "users_per_day": str(USERS),
                },
                "lake": {"url": str(root / "lake")},
            },
        )
        env = environment(config)
        workflow = str(BIN / "workflow")
        try:
            for command in (["stack", "up"], ["init-db"]):
                subprocess.run([workflow, *command], cwd=PROJECT, env=env, check=True)
            show(days(env, runs))
        finally:
            subprocess.run([workflow, "stack", "reset", "--yes"], cwd=PROJECT, env=env, check=True)


def days(env: dict[str, str], runs: int) -> dict[str, list[tuple[float, float]]]:
    """The measured runs: each date once new, then once more; one date before to warm up."""
    today = datetime.datetime.now(datetime.UTC).date()
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in BUDGETS}
    for n in range(runs + 1):
        date = str(today - datetime.timedelta(days=n))
        command = [str(BIN / "luigi"), "--module", "workflow", "RunDaily", "--local-scheduler"]
        for name in BUDGETS:
            result = measure([*command, "--date", date], env)
            if n:
                results[name].append(result)
    return results


def show(results: dict[str, list[tuple[float, float]]]) -> None:
    """Print medians and ranges beside the budgets."""
    table = Table(title=f"{USERS:,} users, {os.cpu_count()} processors", title_justify="left")
    table.add_column("")
    for heading in ("wall s", "from", "to", "processor s", "budget"):
        table.add_column(heading, justify="right")
    for name, figures in results.items():
        walls, processors = zip(*figures, strict=True)
        kind, budget = BUDGETS[name]
        table.add_row(
            name,
            f"{statistics.median(walls):.2f}",
            f"{min(walls):.2f}",
            f"{max(walls):.2f}",
            f"{statistics.median(processors):.2f}",
            f"{kind} {budget:g}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
