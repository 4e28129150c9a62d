"""How the command line shows what it is given, on a narrow screen and on a wide one."""

import datetime
import re
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests import days
from tests.conftest import Pipeline
from tests.days import STEPS
from workflow.cli import display
from workflow.extraction import Extraction
from workflow.ledger.runs import Run
from workflow.ops.difference import Changes
from workflow.ops.plan import DatePlan, StepPlan
from workflow.ops.trace import Source, Trace
from workflow.ops.verify import Verdict

DATE = datetime.date(2026, 11, 20)
BEGAN = datetime.datetime(2026, 11, 20, 4, 5, 6, tzinfo=datetime.UTC)
URL = f"http://127.0.0.1:9/{'long/' * 30}api/1.4/"
ASKED = Extraction(url=URL, api_version="1.4", seed="s", users_per_day=30, page_size=10)

JOBS = ("ExtractUsers", "TransformUsers", "ComputeStats", "LoadUsers")


def run(job: str, **changes: Any) -> Run:
    """A row of the ledger."""
    row: dict[str, Any] = {
        "seq": 7,
        "run_id": uuid.UUID(int=JOBS.index(job) << 96),
        "job": job,
        "partition_date": DATE,
        "state": "succeeded",
        "inputs": [],
        "logic_version": 1,
        "rows_in": 1_000_000,
        "rows_out": 999_000,
        "rows_rejected": 1_000,
        "rows_erased": 0,
        "bytes": 5,
        "started_at": BEGAN,
        "finished_at": BEGAN + datetime.timedelta(seconds=83.456),
        "host": "a-host",
        "process": 4711,
        "requested_by": "somebody",
        "reason": None,
        "error": None,
        "details": {
            "server": "randomuser-standin 1",
            "pages": 3,
            "pages_resumed": 0,
            "buckets": 1,
            "sha256": "5f",
            "extraction_id": str(uuid.UUID(int=9)),
            "extraction": {
                "url": URL,
                "api_version": "1.4",
                "seed": "s",
                "users_per_day": 30,
                "page_size": 10,
            },
            "engine": "sail",
            "version": "0.7",
            "pyspark": "4.1",
            "url": f"/lake/{'deep/' * 30}run",
        },
    }
    return Run(**(row | changes))


def done(date: datetime.date = DATE) -> DatePlan:
    steps = [
        StepPlan(step=job, reason="done", why=f"since {job}", current=run(job)) for job in JOBS
    ]
    return DatePlan(date=date, steps=steps, other_settings=[])


def failed(date: datetime.date, because: str = URL) -> DatePlan:
    """The first step failed, the others never ran."""
    steps = [StepPlan(step=JOBS[0], reason="failed", why=f"failed: {because}", current=None)]
    steps += [
        StepPlan(step=job, reason="never_ran", why="never ran", current=None) for job in JOBS[1:]
    ]
    return DatePlan(date=date, steps=steps, other_settings=["users per day 20 (now 30)"])


Shown = Callable[..., list[str]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    """The lines that a screen of so many columns shows: `shown(80, display.day, …)`."""

    def show(columns: int, what: Callable[..., None], *given: object) -> list[str]:
        monkeypatch.setattr(display.out, "_width", columns)
        what(*given)
        return capsys.readouterr().out.splitlines()

    return show


both_screens = pytest.mark.parametrize("columns", [80, 200])


@both_screens
def test_a_plan_fits_the_screen_and_cuts_no_address(shown: Shown, columns: int) -> None:
    lines = shown(columns, display.plan, [failed(DATE)])
    *table, last = lines
    assert max(map(len, table)) <= columns
    whole = re.sub(r"[\s│]", "", "".join(table))
    assert URL in whole
    assert "…" not in whole
    assert "usersperday20(now30)" in whole
    assert last == f"1 of 1 date due; `workflow run {DATE}` runs what is due."


def test_a_plan_says_once_what_is_the_same_of_many_dates(shown: Shown) -> None:
    dates = [DATE + datetime.timedelta(days=n) for n in range(5)]
    plans = [*(failed(date, "the same") for date in dates[:2]), *map(done, dates[2:])]
    text = "\n".join(shown(80, display.plan, plans))
    assert text.count("never ran") == 3
    assert "2026-11-20 to 2026-11-21" in text
    assert "2026-11-22 to 2026-11-24" in text
    assert text.endswith("2 of 5 dates due; `workflow run 2026-11-20 2026-11-21` runs what is due.")
    assert shown(80, display.plan, plans[2:])[-1] == "3 dates complete."


@both_screens
def test_a_day_fits_the_screen(shown: Shown, columns: int) -> None:
    figures = {"users": 999_000, "share": 1, "age_avg": 41.5, "age_median": 41, "age_min": 0,
               "age_max": 120}  # fmt: skip
    rows = [
        SimpleNamespace(dimension=dimension, member=member, **figures)
        for dimension, member in (("all", "all"), ("nationality", "IR"), ("age_band", "0-17"))
    ]
    lines = shown(columns, display.day, done(), rows)
    tables = [line for line in lines if not line.startswith("source")]
    assert max(map(len, tables)) <= columns
    text = "\n".join(lines)
    assert text.count("1,000,000") == text.count("83.46") == len(JOBS)
    assert re.search(r"0-17 +│ 999,000 │ 100\.0% │ +41\.5 │ +41 │ +0 │ +120", text)
    assert "nationality" not in text
    assert f"source  stand-in: invented people, {URL}" in lines
    assert "engine  sail 0.7" in lines


def test_a_day_that_failed_says_why(shown: Shown) -> None:
    text = "\n".join(shown(80, display.day, failed(DATE), []))
    assert "due, failed" in text
    assert f"ExtractUsers: failed: {URL}" in text
    assert text.count("due") == len(JOBS)
    assert "statistics" not in text


HISTORY = [
    run("ExtractUsers", state="failed", error=f"{URL} did not answer"),
    run("ExtractUsers", state="running", finished_at=None),
    run("LoadUsers", inputs=[uuid.UUID(int=1 << 96)]),
]
PERSON = Source(
    table="users",
    position=12,
    row={"user_id": "u", "first_name": "Zoë", "birth_date": "2000-02-29"},
    page=2,
    request=ASKED.request(2),
    stored=None,
    document='"email": "x@y"\n"phone": "1"',
)
TRACE = Trace(
    date=DATE,
    runs=[run(job) for job in reversed(JOBS)],
    statistics=[],
    extraction=ASKED,
    extraction_id=uuid.UUID(int=9),
    sources=[PERSON],
)
VERDICT = Verdict(
    date=DATE,
    raw=30,
    users=20,
    rejected=0,
    due=["LoadUsers"],
    problems=["p" * 300],
    leftovers=["l"],
)
CHANGES = {
    "users": Changes(
        total=12,
        new=1,
        gone=0,
        rows=[SimpleNamespace(key="u", old={"city": "a" * 200}, new={"city": "b"})],
    )
}


@pytest.mark.parametrize(
    ("what", "given", "expected"),
    [
        (display.attempts, (HISTORY, {HISTORY[1].run_id}), f"{URL} did not answer"),
        (display.trace, (TRACE,), f"← GET {ASKED.request(2)}"),
        (display.verdict, (VERDICT,), "p" * 300),
        (display.differences, (DATE, CHANGES), f'u  city: "{"a" * 200}" → "b"'),
    ],
    ids=["attempts", "trace", "verdict", "differences"],
)
def test_what_may_be_searched_or_copied_is_the_same_on_every_screen(
    shown: Shown, what: Callable[..., None], given: tuple[Any, ...], expected: str
) -> None:
    lines = shown(80, what, *given)
    assert lines == shown(200, what, *given)
    assert any(line.endswith(expected) for line in lines)


def test_an_attempt_that_nobody_works_on_any_more_is_called_interrupted(shown: Shown) -> None:
    running = HISTORY[1]
    assert "running" in shown(80, display.attempts, [running], set())[1]
    assert "interrupted" in shown(80, display.attempts, [running], {running.run_id})[1]


def test_differences_say_how_many_more_there_are_or_that_there_are_none(shown: Shown) -> None:
    assert (
        shown(80, display.differences, DATE, CHANGES)[-1] == "    … and 11 more; --json shows all"
    )
    nothing = {"users": Changes(total=0, new=0, gone=0, rows=[])}
    assert shown(80, display.differences, DATE, nothing) == [
        "users: 0 new, 0 gone, 0 changed",
        f"The current rules give {DATE} exactly the rows that it has.",
    ]


def test_a_line_is_printed_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    text = f"Cassandra 2001:db8:a:b::1:9042 [bold] {'x' * 200}"
    display.line(text)
    assert capsys.readouterr().out == f"{text}\n"


def test_status_shows_every_attempt(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    pipeline.day(
        DATE, "--source-url", "http://127.0.0.1:9/api/1.4/", "--source-deadline", "1", check=None
    )
    days.run(DATE, *STEPS)
    shown = pipeline.run("workflow", "status", str(DATE)).stdout
    assert len(re.findall(r"^ +\d+ [0-9a-f]{8} \w+ +(failed|succeeded) ", shown, re.MULTILINE)) == 5
    assert "did not deliver page 1" in shown
    assert "20 in, 20 out, 0 rejected" in shown
    assert re.search("read [0-9a-f]{8}, [0-9a-f]{8}, by ", shown)
