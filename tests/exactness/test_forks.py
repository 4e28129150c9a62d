"""Nothing that was connected before Luigi's fork (`--workers N`) is used after it.

A launcher runs the stock command line and lets every fork write down what it inherited, the
moment it begins, and what it has, the moment before it ends.
"""

import dataclasses
import datetime
import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.conftest import Pipeline
from tests.days import STEPS

DATE = datetime.date(2026, 11, 20)

#: `python -c` of this with a file for the records, then luigi's own arguments.
LAUNCHER = """
import json, os, sys
from multiprocessing import util
import psutil

record, *arguments = sys.argv[1:]
connected = set()

def audit(event, details):
    if event == "socket.connect" and isinstance(details[1], tuple):
        connected.add(details[1][1])

def note(when):
    me, engine = psutil.Process(), sys.modules.get("workflow.spark.engine")
    line = {
        "when": when,
        "pid": me.pid,
        "parent": me.ppid(),
        # this process has them open: sockets that are inherited count as well
        "open": [c.raddr.port for c in me.net_connections("tcp") if c.raddr],
        "connected": sorted(connected),
        "session of": engine._started_in if engine else None,
    }
    with open(record, "a") as file:
        file.write(json.dumps(line) + "\\n")

def begin():
    connected.clear()
    note("begin")

def forked_by_multiprocessing(_):
    # before the session's own end, which has priority 0
    util.Finalize(None, note, ("end",), exitpriority=10)

sys.addaudithook(audit)
os.register_at_fork(after_in_child=begin)
util.register_after_fork(note, forked_by_multiprocessing)
"""
LUIGI = """
from luigi.cmdline import luigi_run
luigi_run(arguments)
"""
CONNECT_AT_IMPORT = """
from workflow.stores import postgres
kept = postgres.connect("kept")
kept.__enter__()
"""
SESSION_AT_IMPORT = """
import workflow
from workflow.spark import engine
engine.session().range(5).count()
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fork:
    """What a fork of the launcher inherited, and what it had at its end."""

    pid: int
    inherited: list[int]
    connected: set[int]
    open_at_end: list[int]
    session_at_begin: int | None
    session_at_end: int | None


def launch(pipeline: Pipeline, folder: Path, before: str = "", check: int = 0) -> list[Fork]:
    """`luigi RangeDaily --workers 2` over two dates, with code that runs before it."""
    record = folder / "forks.jsonl"
    pipeline.run(
        "python", "-c", LAUNCHER + before + LUIGI, str(record),
        "--module", "workflow", "RangeDaily", "--of", "RunDaily", "--start", str(DATE),
        "--stop", str(DATE + datetime.timedelta(days=2)), "--days-back", "9999",
        "--workers", "2", "--local-scheduler", check=check,
    )  # fmt: skip
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    begins: dict[int, Any] = {line["pid"]: line for line in lines if line["when"] == "begin"}
    ends: dict[int, Any] = {line["pid"]: line for line in lines if line["when"] == "end"}
    return [
        Fork(
            pid=pid,
            inherited=begin["open"],
            connected=set(ends[pid]["connected"]),
            open_at_end=ends[pid]["open"],
            session_at_begin=begin["session of"],
            session_at_end=ends[pid]["session of"],
        )
        for pid, begin in begins.items()
    ]


def test_forks_inherit_no_connection_and_make_their_own(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.set("source", users_per_day=20)
    forks = {fork.pid: fork for fork in launch(pipeline, tmp_path)}
    assert [fork.inherited for fork in forks.values()] == [[]] * len(forks)
    assert {fork.session_at_begin for fork in forks.values()} == {None}

    runs = pipeline.rows("SELECT job, state, process FROM extraction_metadata")
    assert Counter(run.job for run in runs) == {step.__name__: 2 for step in STEPS}
    assert {run.state for run in runs} == {"succeeded"}
    # a row of the ledger is written on the lease's connection, by the process that it names
    assert len({run.process for run in runs}) == len(runs) == 2 * len(STEPS)
    assert {run.process for run in runs} <= forks.keys()

    cassandra = int(pipeline.config["cassandra"]["port"])
    standin = int(pipeline.config["stack"]["standin_port"])
    for run in runs:
        fork = forks[run.process]
        extracts = run.job == "ExtractUsers"
        assert {cassandra, standin} <= fork.connected if extracts else standin not in fork.connected
        computes = run.job in ("TransformUsers", "ComputeStats")
        assert fork.session_at_end == (fork.pid if computes else None)
        assert bool(fork.open_at_end) == computes  # to Sail in the fork itself; the rest is closed


def test_a_connection_that_is_kept_over_the_fork_would_be_seen(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.set("source", users_per_day=20)
    forks = launch(pipeline, tmp_path, before=CONNECT_AT_IMPORT)
    postgres = int(pipeline.config["postgres"]["port"])
    assert [fork.inherited for fork in forks] == [[postgres]] * len(forks)


def test_a_session_before_the_fork_fails_the_day_and_nothing_hangs(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.set("source", users_per_day=20)
    forks = launch(pipeline, tmp_path, before=SESSION_AT_IMPORT, check=30)
    assert {fork.session_at_begin for fork in forks} != {None}
    rows = pipeline.rows("SELECT job, state, error FROM extraction_metadata ORDER BY 1, 2, 3")
    sentence = "A process that had a Spark session was forked; start a new one."
    assert [tuple(row) for row in rows] == [
        *[("ExtractUsers", "succeeded", None)] * 2,
        *[("TransformUsers", "failed", sentence)] * 2,
    ]
