"""Random sequences of what can happen to dates, held against a small model of what must come.

The model knows no SQL: it keeps, for each step of a date, what its newest run read. Steps run in
this process; only what is killed is a process of its own.
"""

import dataclasses
import datetime
import itertools
import json
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests import days
from tests.conftest import Pipeline
from tests.days import STEPS, VERSIONS, Tables, forget, tables
from tests.exactness.processes import until
from tests.rehearsal import Rehearsal
from workflow.cli.main import main
from workflow.errors import DataError, StoreError
from workflow.ledger import runs
from workflow.ops.verify import Verdict, verify
from workflow.tasks import RunDaily

DATES = (datetime.date(2026, 2, 28), datetime.date(2026, 3, 1))
SIZES = (10, 20)  # users per day
STEP = {step.__name__: step for step in STEPS}
READS = {
    "ExtractUsers": (),
    "TransformUsers": ("ExtractUsers",),
    "ComputeStats": ("TransformUsers",),
    "LoadUsers": ("TransformUsers", "ComputeStats"),
}
#: Stores by the step that fills them: a loss is mended by this step.
STORES = {
    "raw documents": "ExtractUsers",
    "clean users": "TransformUsers",
    "figures": "ComputeStats",
    "users": "LoadUsers",
    "rejected_users": "LoadUsers",
    "user_statistics": "LoadUsers",
}

source = days.source  # a fixture

#: A process of the code with these logic versions, to be killed: the steps of a date in order.
LAUNCHER = """
import json, sys
from luigi.cmdline import luigi_run
from workflow.step import Step
for step in Step.__subclasses__():
    step.logic_version = json.loads(sys.argv[1])[step.__name__]
luigi_run(sys.argv[2:])
"""


@dataclasses.dataclass(frozen=True)
class Done:
    """The newest run of a step: which, of what logic, what it read, of how many users."""

    number: int
    logic_version: int
    inputs: tuple[int, ...]
    users: int


class Day:
    """What must be true of a date."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self.done: dict[str, Done] = {}  # the newest succeeded run of each step
        self.invalid: set[str] = set()  # invalidated after it
        self.lost: set[str] = set()

    def current(self, job: str) -> bool:
        """Whether a step is done, by this code."""
        run = self.done.get(job)
        return (
            run is not None
            and job not in self.invalid
            and run.logic_version == STEP[job].logic_version
            and all(self.current(read) for read in READS[job])
            and run.inputs == tuple(self.done[read].number for read in READS[job])
        )

    def due(self) -> list[str]:
        """The steps that are to be run, in their order."""
        return [job for job in STEP if not self.current(job)]

    def readable(self, job: str) -> bool:
        """Whether what a step reads is still there."""
        return not any(STORES[store] in READS[job] for store in self.lost)

    def runs(self, job: str, users: int) -> None:
        """A step succeeds: its store is new."""
        inputs = tuple(self.done[read].number for read in READS[job])
        users = self.done[READS[job][0]].users if READS[job] else users
        self.done[job] = Done(next(self._numbers), STEP[job].logic_version, inputs, users)
        self.invalid.discard(job)
        self.lost -= {store for store, step in STORES.items() if step == job}


class Dates(RuleBasedStateMachine):
    """The pipeline and the model, side by side."""

    #: How often each thing happened: a test in which nothing happens proves nothing.
    happened: ClassVar[Counter[str]] = Counter()
    #: Given by the test.
    pipeline: Pipeline
    cassandra: Any
    expected: dict[tuple[datetime.date, int], Tables]

    def __init__(self) -> None:
        super().__init__()
        numbers = itertools.count()
        self.days = {date: Day(numbers) for date in DATES}
        forget(self.pipeline)

    def teardown(self) -> None:
        for step in STEPS:
            step.logic_version = VERSIONS[step.__name__]

    dates = st.sampled_from(DATES)
    jobs = st.sampled_from(list(STEP))
    sizes = st.sampled_from(SIZES)

    @initialize(date=dates, users=sizes)
    def a_first_day(self, date: datetime.date, users: int) -> None:
        """Most of what can happen needs a day that is complete."""
        self.run(date, users)

    @rule(date=dates, users=sizes)
    def run(self, date: datetime.date, users: int) -> None:
        """Run what is due; it ends where a store that it must read is lost."""
        self.happened["run"] += 1
        self.pipeline.set("source", users_per_day=users)
        day = self.days[date]
        for job in day.due():
            if not day.readable(job):
                with pytest.raises((DataError, StoreError)):
                    days.run(date, STEP[job])
                self.happened["run that misses its input"] += 1
                return
            days.run(date, STEP[job])
            day.runs(job, users)

    @rule(date=dates, job=jobs)
    def rerun(self, date: datetime.date, job: str) -> None:
        """Mark a step as due."""
        command = ["rerun", str(date), "--from", job, "--mark-only"]
        main(command, standalone_mode=False)
        self.days[date].invalid.add(job)
        self.happened[f"rerun from {job}"] += 1

    # only where it makes something due, or most steps would be spent on it
    @precondition(lambda self: any(day.done and not day.due() for day in self.days.values()))
    @rule(job=jobs)
    def change_logic(self, job: str) -> None:
        """The next version of a step's logic, or the old one again."""
        self.happened["other logic"] += 1
        STEP[job].logic_version = 3 - STEP[job].logic_version

    @precondition(lambda self: any(day.due() for day in self.days.values()))
    @rule(date=dates, job=jobs, users=sizes)
    def kill(self, date: datetime.date, job: str, users: int) -> None:
        """SIGKILL a process while it works on one of the steps that are due."""
        date = self._one(date, lambda day: bool(day.due()))
        day = self.days[date]
        due = day.due()
        reached = list(itertools.takewhile(day.readable, due)) or due[:1]
        job = job if job in reached else reached[-1]
        self.pipeline.set("source", users_per_day=users)
        before = {run.run_id for run in runs.history(date)}
        versions = {step.__name__: step.logic_version for step in STEPS}
        process = self.pipeline.start(
            "python", "-c", LAUNCHER, json.dumps(versions),
            "--module", "workflow", "RunDaily", "--date", str(date), "--local-scheduler",
        )  # fmt: skip

        def attempted() -> list[runs.Run]:
            return [run for run in runs.history(date) if run.run_id not in before]

        until(
            lambda: job in {run.job for run in attempted()} or process.poll() is not None,
            f"{job} of {date} is attempted",
        )
        process.kill()
        process.wait()
        # the steps before it were done, and the signal may have come late
        ended = [run.job for run in attempted() if run.state == "succeeded"]
        assert ended == due[: len(ended)]
        assert len(ended) >= due.index(job)
        self.happened[f"kill in {job}"] += 1
        for succeeded in ended:
            day.runs(succeeded, users)

    @precondition(lambda self: any(day.done for day in self.days.values()))
    @rule(date=dates, store=st.sampled_from(list(STORES)))
    def lose(self, date: datetime.date, store: str) -> None:
        """A store loses what the newest run put there: nothing becomes due."""
        date = self._one(date, lambda day: bool(day.done))
        day = self.days[date]
        if STORES[store] not in day.done:
            return
        done = {run.job: run for run in runs.history(date) if run.state == "succeeded"}
        run = done[STORES[store]]
        if store == "raw documents":
            key = (date, uuid.UUID(run.details["extraction_id"]))
            where = "WHERE extraction_date = %s AND extraction_id = %s"
            for table, more in (
                ("raw_users", " AND bucket = 0"), ("extraction_pages", ""),
                ("extraction_metadata", ""),
            ):  # fmt: skip
                self.cassandra.execute(f"DELETE FROM batch_keyspace.{table} {where}{more}", key)
        elif store in days.TABLES:
            column = "stat_date" if store == "user_statistics" else "partition_date"
            self.pipeline.rows(f"DELETE FROM {store} WHERE {column} = %s", date)
        else:
            shutil.rmtree(run.details["url"], ignore_errors=True)
        day.lost.add(store)
        self.happened[f"loss of {store}"] += 1

    @precondition(lambda self: any(day.lost for day in self.days.values()))
    @rule(date=dates, users=sizes)
    def mend(self, date: datetime.date, users: int) -> None:
        """What `workflow verify` says: the earliest step that its sentences name, again."""
        date = self._one(date, lambda day: bool(day.lost))
        problems = self.verdict(date).problems
        named = [re.findall(rf"`workflow rerun {date} --from (\w+)`", text) for text in problems]
        steps = {step for found in named for step in found}
        self.happened["mend"] += 1
        self.rerun(date, next(job for job in STEP if job in steps))
        self.run(date, users)
        assert self.days[date].lost == set()
        assert self.days[date].due() == []

    def _one(self, date: datetime.date, fits: Callable[[Day], bool]) -> datetime.date:
        """The date if it fits, else another one that does."""
        return next(day for day in (date, *DATES) if fits(self.days[day]))

    def verdict(self, date: datetime.date) -> Verdict:
        (verdict,) = verify([date])
        return verdict

    @invariant()
    def the_ledger_says_what_is_due(self) -> None:
        current = runs.current_runs(RunDaily(date=DATES[0]).versions(), min(DATES), max(DATES))
        for date, day in self.days.items():
            assert [job for job in STEP if (date, job) not in current] == day.due()
            assert [STEP[job](date=date).complete() for job in STEP] == [
                day.current(job) for job in STEP
            ]

    @invariant()
    def the_tables_hold_the_generation_that_was_loaded_last(self) -> None:
        for date, day in self.days.items():
            rows = tables(self.pipeline, date)
            loaded = day.done.get("LoadUsers")
            for table in days.TABLES:
                there: list[str] = []
                if loaded and table not in day.lost:
                    there = self.expected[date, loaded.users][table]
                assert rows[table] == there

    @invariant()
    def verify_finds_what_is_lost_and_nothing_else(self) -> None:
        for date, day in self.days.items():
            verdict = self.verdict(date)
            assert len(verdict.problems) == len(day.lost), verdict.problems
            assert verdict.due == day.due()
            extracted = day.done.get("ExtractUsers")
            raw = extracted.users if extracted and "raw documents" not in day.lost else 0
            assert verdict.raw == raw


def test_whatever_happens_the_next_run_makes_it_right(
    pipeline: Pipeline, cassandra: Any, source: Rehearsal, full: bool
) -> None:
    source.has("missing=gender,users=10")  # rejects, so that every table has rows to lose
    pipeline.set("rules", rejected_percent_max=100)
    Dates.pipeline, Dates.cassandra, Dates.expected = pipeline, cassandra, {}
    Dates.happened.clear()
    for date, users in itertools.product(DATES, SIZES):
        forget(pipeline)
        pipeline.set("source", users_per_day=users)
        days.run(date, *STEPS)
        rows = tables(pipeline, date)
        assert all(rows.values())
        Dates.expected[date, users] = rows
    for _ in range(8 if full else 1):  # sequences of one search resemble each other
        run_state_machine_as_test(
            Dates,
            settings=settings(
                max_examples=4 if full else 5,
                stateful_step_count=25 if full else 12,
                derandomize=not full,  # `make test` must not fail by chance
                database=None,
                deadline=None,  # a step takes as long as its services do
                # real services are slow, and a sequence may well begin with what needs a run
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
                # a failed sequence is shown as it was: to make it shorter takes hours
                phases=[Phase.generate],
                print_blob=True,
            ),
        )
    kinds = {name.split(" ")[0] for name in Dates.happened}
    assert kinds == {"run", "rerun", "other", "kill", "loss", "mend"}, Dates.happened
