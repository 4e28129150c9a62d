"""Many processes at a time: the work is done once, and readers see whole generations.

All processes are real. What is waited for is asked of PostgreSQL until it is so, and where
two must meet, a lock of the test's own holds both until they wait.
"""

import contextlib
import datetime
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import days
from tests.conftest import Pipeline
from tests.days import STEPS, Tables, attempts, everything, forget, tables
from tests.exactness.processes import PATIENCE, until
from tests.rehearsal import Rehearsal
from workflow.step import Step
from workflow.stores import warehouse
from workflow.tasks import ComputeStats, ExtractUsers, LoadUsers, TransformUsers

FIRST = datetime.date(2026, 3, 1)

source = days.source  # a fixture


def date_of(number: int) -> datetime.date:
    return FIRST + datetime.timedelta(days=number)


def ended(process: "subprocess.Popen[bytes]") -> int:
    return process.wait(PATIENCE)


def running(pipeline: Pipeline, step: type[Step], process: "subprocess.Popen[bytes]") -> bool:
    """Whether the process is at work on the step, as the ledger says."""
    return bool(
        pipeline.rows(
            "SELECT 1 FROM extraction_metadata "
            "WHERE job = %s AND state = 'running' AND process = %s",
            step.__name__,
            process.pid,
        )
    )


def overlapping_attempts(pipeline: Pipeline) -> list[Any]:
    """Pairs of attempts at the same step of a date, of which one began before the other ended."""
    return pipeline.rows(
        """
        SELECT a.run_id, b.run_id AS other
        FROM extraction_metadata a JOIN extraction_metadata b USING (partition_date, job)
        WHERE a.seq < b.seq AND 'invalidated' NOT IN (a.state, b.state)
          AND (a.finished_at IS NULL OR a.finished_at > b.started_at)
        """
    )


def jobs(pipeline: Pipeline, date: datetime.date) -> list[tuple[str, str]]:
    return [(run.job, run.state) for run in attempts(pipeline) if run.partition_date == date]


DONE_ONCE = [(step.__name__, "succeeded") for step in STEPS]


def undisturbed(pipeline: Pipeline, *dates: datetime.date) -> Tables:
    """What the tables hold when one process runs the dates alone. Forgets what was before."""
    forget(pipeline)
    for date in dates:
        days.run(date, *STEPS)
    return tables(pipeline)


def test_many_processes_on_one_date_do_the_work_once(pipeline: Pipeline, full: bool) -> None:
    pipeline.set("source", users_per_day=50, page_size=20)
    dates = [date_of(n) for n in range(20 if full else 1)]
    for date in dates:
        processes = [
            pipeline.start(
                "luigi", "--module", "workflow", "RunDaily", "--date", str(date),
                "--local-scheduler",
            )
            for _ in range(8)
        ]  # fmt: skip
        assert [ended(process) for process in processes] == [0] * 8
        assert jobs(pipeline, date) == DONE_ONCE
    assert overlapping_attempts(pipeline) == []
    assert tables(pipeline) == undisturbed(pipeline, *dates)


def test_a_range_on_four_workers_is_a_range_on_one(pipeline: Pipeline, full: bool) -> None:
    pipeline.set("source", users_per_day=20, page_size=7)
    dates = [date_of(n) for n in range(60 if full else 4)]  # the long one crosses two months
    pipeline.run(
        "luigi", "--module", "workflow", "RangeDaily", "--of", "RunDaily",
        "--start", str(dates[0]), "--stop", str(dates[-1] + datetime.timedelta(days=1)),
        "--days-back", "9999", "--task-limit", "9999", "--workers", "4", "--local-scheduler",
        timeout=1200,
    )  # fmt: skip
    for date in dates:
        assert jobs(pipeline, date) == DONE_ONCE
    assert overlapping_attempts(pipeline) == []
    assert len({run.process for run in attempts(pipeline)}) == 4 * len(dates)
    pipeline.run("workflow", "verify")
    assert tables(pipeline) == undisturbed(pipeline, *dates)


# ---- readers -----------------------------------------------------------------------------


class Reader:
    """Reads in a loop, in a thread and on a connection of its own, until the block ends."""

    def __init__(
        self, pipeline: Pipeline, read: Callable[[Any], object], *, options: str = "SELECT"
    ) -> None:
        self._pipeline = pipeline
        self._read = read
        self._options = options
        self._stop = threading.Event()
        self.seen: list[object] = []
        self.error: BaseException | None = None

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """The reader's first reading is before the block; what it met is raised after it."""
        thread = threading.Thread(target=self._loop)
        thread.start()
        try:
            self.reads_again()
            yield
        finally:
            self._stop.set()
            thread.join(PATIENCE)
        if self.error is not None:
            raise self.error

    def reads_again(self) -> None:
        """Wait until a whole reading was begun and ended."""
        enough = len(self.seen) + 2
        until(lambda: len(self.seen) >= enough or self.error, "the reader reads again")

    def _loop(self) -> None:
        try:
            with contextlib.closing(self._pipeline.connect()) as connection:
                with connection.cursor() as cursor:
                    cursor.execute(self._options)
                connection.autocommit = False
                connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
                while not self._stop.is_set():
                    with connection, connection.cursor() as cursor:
                        self.seen.append(self._read(cursor))
                    self._stop.wait(0.005)  # leaves the processors to those who are watched
        except BaseException as exc:  # whatever it is, the test shows it
            self.error = exc


def read_generation(cursor: Any) -> object:
    """The generation of FIRST that a reader's transaction sees in four statements, whole."""
    cursor.execute("SELECT count(*) AS users FROM users WHERE partition_date = %s", (FIRST,))
    users = cursor.fetchone().users
    cursor.execute("SELECT count(*) AS n FROM rejected_users WHERE partition_date = %s", (FIRST,))
    rejects = cursor.fetchone().n
    cursor.execute("SELECT total_users FROM user_statistics_daily WHERE stat_date = %s", (FIRST,))
    total = cursor.fetchone().total_users
    cursor.execute(
        "SELECT run_id, rows_in, rows_out, rows_rejected, details FROM extraction_metadata "
        "WHERE partition_date = %s AND job = 'LoadUsers' AND state = 'succeeded' "
        "ORDER BY seq DESC LIMIT 1",
        (FIRST,),
    )
    load = cursor.fetchone()
    held = warehouse._fingerprint(cursor, FIRST, warehouse.TABLES)
    assert (users, rejects, users + rejects) == (load.rows_out, load.rows_rejected, load.rows_in)
    assert total == users
    assert held == load.details["fingerprint"]
    return load.run_id


def test_a_reader_sees_one_generation_while_dates_are_rerun(
    pipeline: Pipeline, source: Rehearsal, full: bool
) -> None:
    pipeline.set("rules", rejected_percent_max=100)
    days.run(FIRST, *STEPS)
    reader = Reader(pipeline, read_generation)
    with reader.reading():
        for number in range(1, 26 if full else 4):
            step = ExtractUsers if number % 3 else TransformUsers
            source.has(f"missing=gender,users={number % 4 * 20}" if number % 4 else "")
            pipeline.run(
                "workflow", "rerun", str(FIRST), "--from", step.__name__, "--local-scheduler",
                "--source-users-per-day", str(20 + number % 5),
            )  # fmt: skip
            reader.reads_again()
    loads = {run.run_id for run in attempts(pipeline) if run.job == "LoadUsers"}
    assert set(reader.seen) == loads
    assert len(loads) == (26 if full else 4)
    contents = [run.details["fingerprint"] for run in attempts(pipeline) if run.job == "LoadUsers"]
    assert len({content["users_digest"] for content in contents}) > 2
    pipeline.run("workflow", "verify")


def waiting(pipeline: Pipeline) -> int:
    """How many sessions of this test's database wait for a lock, but not for a lease."""
    (row,) = pipeline.rows(
        "SELECT count(DISTINCT a.pid) AS n FROM pg_stat_activity a JOIN pg_locks l USING (pid) "
        "WHERE a.datname = current_database() AND NOT l.granted "
        "AND a.query NOT LIKE '%%pg_advisory_lock(%%'"
    )
    return int(row.n)


@contextlib.contextmanager
def holding(pipeline: Pipeline, lock: str) -> Iterator[Any]:
    """A transaction that took a lock; its end is the caller's."""
    with contextlib.closing(pipeline.connect()) as connection:
        connection.autocommit = False
        connection.cursor().execute(lock)
        yield connection


def read_all(cursor: Any) -> object:
    for table in days.TABLES:
        cursor.execute(f"SELECT count(*) AS n FROM {table}")
    return cursor.fetchone().n


def test_two_loads_of_one_month_neither_lock_each_other_nor_a_reader(
    pipeline: Pipeline, full: bool
) -> None:
    """Both are held back until both wait and the reader has read, at one lock after the other."""
    pipeline.set("source", users_per_day=50, page_size=20)
    options = "SET lock_timeout = '250ms'; SET statement_timeout = '60s'"
    dates: list[datetime.date] = []
    for month in range(1, 9 if full else 2):
        both = [datetime.date(2026, month, 5), datetime.date(2026, month, 6)]
        dates += both
        for date in both:
            days.run(date, ExtractUsers, TransformUsers, ComputeStats)
        new_month = f"hashtext('ensure_month'), hashtext('users_2026_{month:02}')"
        first_load = (
            f"SELECT pg_advisory_xact_lock({new_month})",  # before the month is made
            "LOCK TABLE rejected_users IN SHARE MODE",  # inside the load, after the month was made
        )
        second_load = (
            f"SELECT 1 FROM users WHERE partition_date >= '2026-{month}-1' FOR UPDATE",
            "LOCK TABLE user_statistics IN SHARE MODE",
        )
        for locks in (first_load, second_load):
            reader = Reader(pipeline, read_all, options=options)
            with reader.reading(), contextlib.ExitStack() as stack:
                holders = [stack.enter_context(holding(pipeline, lock)) for lock in locks]
                processes = [
                    pipeline.start(
                        "luigi", "--module", "workflow", "LoadUsers", "--date", str(date),
                        "--local-scheduler",
                    )
                    for date in both
                ]  # fmt: skip
                for holder in holders:
                    until(lambda: waiting(pipeline) == 2, "both loads wait", *processes)
                    reader.reads_again()
                    holder.rollback()
                assert [ended(process) for process in processes] == [0, 0]
            pipeline.run("workflow", "rerun", *map(str, both), "--from", "LoadUsers", "--mark-only")
    states = {run.state for run in attempts(pipeline)}
    assert states == {"succeeded", "invalidated"}
    (row,) = pipeline.rows(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    assert row.deadlocks == 0
    loaded = tables(pipeline)
    pipeline.run("workflow", "verify")
    assert loaded == undisturbed(pipeline, *dates)


# ---- slow old attempts -------------------------------------------------------------------


@contextlib.contextmanager
def stopped(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """The process does nothing inside the block; if that fails, it is killed."""
    process.send_signal(signal.SIGSTOP)
    try:
        until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, "it stops")
        yield
    except BaseException:
        process.kill()
        raise
    process.send_signal(signal.SIGCONT)


class Slow:
    """A day's process that is stopped in a step, loses its lease, and goes on too late."""

    def __init__(self, pipeline: Pipeline, log: Path) -> None:
        self.pipeline = pipeline
        self.log = log
        self.process = pipeline.start(
            "luigi", "--module", "workflow", "RunDaily", "--date", str(FIRST), "--local-scheduler",
            log=log,
        )  # fmt: skip

    def lose_the_lease(self, step: type[Step]) -> None:
        cut = self.pipeline.rows(
            "SELECT pg_terminate_backend(pid) AS done FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name LIKE %s",
            f"{step.__name__} {FIRST} on %, process {self.process.pid}",
        )
        assert [row.done for row in cut] == [True]

    def ends_in_vain(self) -> None:
        """It fails with one sentence, and has changed neither ledger nor tables."""
        before = everything(self.pipeline)
        assert ended(self.process) == 30
        assert everything(self.pipeline) == before
        text = self.log.read_text()
        assert "Traceback" not in text
        assert re.search(r"connection that holds the lease was lost .* nothing was published", text)


@pytest.mark.parametrize("documents", ["same", "other"])
def test_a_slow_extraction_never_overtakes_a_newer_one(
    pipeline: Pipeline, source: Rehearsal, tmp_path: Path, documents: str
) -> None:
    """It is stopped while page 3 hangs; then pages 3 and 4 come, and to it as other documents."""
    pipeline.set("source", users_per_day=40, requests_in_flight=1)
    pipeline.set("rules", rejected_percent_max=100)
    later, too_late = ("", "")
    if documents == "other":
        later, too_late = 'set=name.first:"later"', 'set=name.first:"too late"'
    expected = undisturbed(pipeline, FIRST) if documents == "same" else None
    forget(pipeline)

    source.has("hang,pages=3-")
    slow = Slow(pipeline, tmp_path / "slow.log")
    until(lambda: source.requests > 2, "the extraction hangs", slow.process)
    with stopped(slow.process):
        assert running(pipeline, ExtractUsers, slow.process)
        source.has(later)
        slow.lose_the_lease(ExtractUsers)
        pipeline.day(FIRST)
        pipeline.run("workflow", "verify")
        source.has(too_late)
    slow.ends_in_vain()
    assert source.requests > 0
    assert jobs(pipeline, FIRST) == [("ExtractUsers", "interrupted"), *DONE_ONCE]
    assert expected in (None, tables(pipeline))
    pipeline.run("workflow", "verify")


def overtaken_in_transform(pipeline: Pipeline, log: Path) -> Slow | None:
    """A process that was stopped in TransformUsers while another did it; None: it was faster."""
    slow = Slow(pipeline, log)
    until(lambda: running(pipeline, TransformUsers, slow.process), "it transforms", slow.process)
    with stopped(slow.process):
        caught = running(pipeline, TransformUsers, slow.process)
        if caught:
            slow.lose_the_lease(TransformUsers)
            pipeline.day(FIRST)
    if caught:
        return slow
    assert ended(slow.process) == 0
    return None


def test_a_slow_transformation_never_overtakes_a_newer_one(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.set("source", users_per_day=50)
    expected = undisturbed(pipeline, FIRST)
    forget(pipeline)
    for _ in range(20):
        forget(pipeline)
        slow = overtaken_in_transform(pipeline, tmp_path / "slow.log")
        if slow:
            break
    assert slow, "it was always faster than the signal"
    slow.ends_in_vain()
    assert jobs(pipeline, FIRST) == [
        ("ExtractUsers", "succeeded"), ("TransformUsers", "interrupted"), *DONE_ONCE[1:],
    ]  # fmt: skip
    assert tables(pipeline) == expected
    pipeline.run("workflow", "verify")


def test_a_slow_load_never_overtakes_a_newer_one(pipeline: Pipeline, tmp_path: Path) -> None:
    """It is stopped inside its transaction, before it may delete the day's old rows."""
    pipeline.set("source", users_per_day=50)
    expected = undisturbed(pipeline, FIRST)
    before = jobs(pipeline, FIRST)
    pipeline.run("workflow", "rerun", str(FIRST), "--from", "LoadUsers", "--mark-only")
    with holding(pipeline, "SELECT 1 FROM users FOR UPDATE") as holder:
        slow = Slow(pipeline, tmp_path / "slow.log")
        until(lambda: waiting(pipeline), "the load waits", slow.process)
        with stopped(slow.process):
            assert running(pipeline, LoadUsers, slow.process)
            slow.lose_the_lease(LoadUsers)
            holder.rollback()
            pipeline.day(FIRST)
    slow.ends_in_vain()
    assert jobs(pipeline, FIRST) == [
        *before, ("LoadUsers", "invalidated"), ("LoadUsers", "interrupted"),
        ("LoadUsers", "succeeded"),
    ]  # fmt: skip
    assert tables(pipeline) == expected
    pipeline.run("workflow", "verify")
