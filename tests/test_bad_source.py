"""Everything that can be wrong with the API, from end to end: once, for ever, in single users.

The faults are the stand-in's own (docs/rehearsals.md). The steps run in this process, except
where the exit status is what counts. Each case has an id, an area, what was wrong and the
sentence that a person sees.
"""

import dataclasses
import datetime
import re
from typing import Any

import pytest

from tests import days
from tests.conftest import Pipeline
from tests.days import NOTHING, STEPS, attempts, tables
from tests.rehearsal import Rehearsal
from tests.sentences import Keep
from workflow.errors import DataError, SourceError
from workflow.ledger import runs
from workflow.step import Step
from workflow.tasks import ExtractUsers, TransformUsers

AREA = "API"
DATE = datetime.date(2026, 11, 20)

source = days.source  # a fixture


def run(*steps: type[Step]) -> None:
    days.run(DATE, *steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A fault of answers: its step in a plan, what is wrong, and what the client says of it."""

    plan: str
    wrong: str
    said: str


def other(what: str, got: str, asked: str) -> str:
    return re.escape(f"got a response that does not match the request ({what}: {got}, not {asked})")


SICK = {
    "status-500": Case(
        plan="status=500", wrong="status 500", said="got status 500 Internal Server Error"
    ),
    "429": Case(
        plan="status=429", wrong="429 without Retry-After", said="got status 429 Too Many Requests"
    ),
    "429-retry-after": Case(
        plan="status=429,retry-after=1",
        wrong="429 with Retry-After",
        said="got status 429 Too Many Requests",
    ),
    "html": Case(
        plan="html",
        wrong="HTML with status 200",
        said=r"got a response that is not JSON \(35 bytes, .*\)",
    ),
    "error": Case(
        plan="error",
        wrong='{"error": …} with status 200',
        said=r"got a response that is not a page of users \(Uh oh, something has gone wrong\. .*\)",
    ),
    "nothing": Case(
        plan="body", wrong="an empty body", said=r"got a response that is not JSON \(0 bytes, .*\)"
    ),
    "null": Case(
        plan="body=null", wrong="null", said=r"got a response that is not a page of users \(.*\)"
    ),
    "delay": Case(plan="delay=5", wrong="a response that comes too late", said="timed out"),
    "hang": Case(plan="hang", wrong="no response", said="timed out"),
    "close": Case(plan="close", wrong="a closed connection", said=r"got no response \(.*\)"),
    "drip": Case(plan="drip=5", wrong="a slow drip", said="timed out"),
    "cut": Case(plan="cut", wrong="half a body", said=r"got no response \(.*\)"),
    "empty": Case(plan="empty", wrong="empty results", said=other("users", "1", "10")),
    "one-user": Case(plan="one-user", wrong="one user", said=other("users", "1", "10")),
    "fewer": Case(
        plan="fewer",
        wrong="fewer users than announced",
        said=other("users in the list", "9", "10"),
    ),
    "seed": Case(
        plan="echo=seed",
        wrong="another seed",
        said=other("seed", "'batch-20261120-usersx'", "'batch-20261120-users'"),
    ),
    "page": Case(plan="echo=page", wrong="another page", said=other("page", "3.0", "2")),
    "version": Case(
        plan="echo=version",
        wrong="another version",
        said=other("API version", "'1.3'", "'1.4'"),
    ),
    "broken-gzip": Case(plan="broken-gzip", wrong="half a gzip stream", said=".*"),
    "not-utf8": Case(
        plan="not-utf8", wrong="not UTF-8", said="got a page in which 10 of 10 users are not JSON"
    ),
    "huge": Case(
        plan="huge=25", wrong="a huge body", said="got a body of more than 12,000,000 bytes"
    ),
}


@pytest.mark.parametrize("case", SICK.values(), ids=SICK)
def test_a_sick_source_once_and_for_ever(
    pipeline: Pipeline, source: Rehearsal, case: Case, sentence: Keep
) -> None:
    # once: the day recovers, for one request more than its two pages
    source.has(f"{case.plan},pages=2,times=1")
    run(*STEPS)
    assert source.requests == 3
    complete = tables(pipeline)
    assert [len(rows) for rows in complete.values()][:2] == [20, 0]

    # for ever: the deadline, and nothing changes but for a failed attempt
    runs.invalidate("ExtractUsers", [DATE], logic_version=1, reason=None)
    before = attempts(pipeline)
    source.has(f"{case.plan},pages=2")
    pipeline.set("source", deadline=1)
    with pytest.raises(SourceError) as failed:
        run(ExtractUsers)
    text = str(failed.value)
    assert re.fullmatch(
        rf"{source.control}/api/1\.4/ did not deliver page 2 of 2 within 1 s \(\[source\] "
        rf"deadline\); the last attempt {case.said}\. The pages that arrived are kept: run the "
        r"date again to fetch the others\.",
        text,
    )
    sentence(AREA, f"{case.wrong}, every time", text)
    assert tables(pipeline) == complete
    *old, attempt = attempts(pipeline)
    assert old == before
    assert (attempt.job, attempt.state) == ("ExtractUsers", "failed")
    assert text in attempt.error

    # what came was kept: only the page that failed is asked for again
    source.has("")
    run(ExtractUsers)
    assert source.requests == 1
    last = attempts(pipeline)[-1]
    assert (last.rows_out, last.details["pages_resumed"]) == (20, 1)


def test_a_refusal_ends_at_once(pipeline: Pipeline, source: Rehearsal, sentence: Keep) -> None:
    for status, reason in ((400, "Bad Request"), (403, "Forbidden"), (404, "Not Found")):
        source.has(f"status={status}")
        pipeline.set("source", users_per_day=10)
        with pytest.raises(SourceError) as failed:
            run(ExtractUsers)
        text = str(failed.value)
        assert text == (
            f"{source.control}/api/1.4/ returned status {status} {reason}; a retry will not "
            "change that. Check [source] url (--source-url)."
        )
        assert source.requests == 1
        sentence(AREA, f"status {status}", text)
    assert [run.state for run in attempts(pipeline)] == ["failed"] * 3


def test_a_plan_that_cannot_be_read_is_shown_as_the_source_s_refusal(
    pipeline: Pipeline, source: Rehearsal
) -> None:
    pipeline.set("source", url=f"{source.control}/bogus/api/1.4/")
    with pytest.raises(SourceError, match="status 400 Fault 'bogus' in 'bogus' is unknown"):
        run(ExtractUsers)
    pipeline.set("source", url=f"{source.control}-2/api/1.4/")
    with pytest.raises(SourceError, match=r"status 404 no rehearsal '.*-2' is known, PUT"):
        run(ExtractUsers)


def test_a_hanging_source_fails_the_process_with_one_sentence(
    pipeline: Pipeline, source: Rehearsal
) -> None:
    pipeline.set("source", url=f"{source.control}/hang/api/1.4/", deadline=1)
    done = pipeline.run("workflow", "run", str(DATE), "--local-scheduler", check=None)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert re.search("did not deliver page . of 2 within 1 s", done.stderr)
    assert tables(pipeline) == NOTHING
    assert {(run.job, run.state) for run in attempts(pipeline)} == {("ExtractUsers", "failed")}


def test_a_bad_night_ends_with_the_rows_of_a_good_one(
    pipeline: Pipeline, source: Rehearsal
) -> None:
    pipeline.set("source", users_per_day=60)
    source.has("")
    run(*STEPS)
    good = tables(pipeline)
    runs.invalidate("ExtractUsers", [DATE], logic_version=1, reason=None)
    source.has("status=503, times=2\nstatus=500, chance=20\nhang, pages=5, times=1")
    run(*STEPS)
    assert source.requests >= 6 + 3
    assert tables(pipeline) == good


# ---- single users ------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spoilt:
    """A fault of users: its step, what is wrong, the reason and the value in rejected_users.

    `...` is any value; `rejects` are of 50 users, when 2 of them are spoilt and when all are.
    """

    plan: str
    wrong: str
    reason: str
    offending: dict[str, Any] = dataclasses.field(default_factory=dict)
    rejects: tuple[int, int] = (2, 50)


SPOILT = {
    "missing": Spoilt(
        plan="missing=name.last",
        wrong="a missing field",
        reason="last_name_missing",
        offending={"name.last": None},
    ),
    "missing-key": Spoilt(
        plan="missing=login.uuid",
        wrong="a missing user id",
        reason="user_id_invalid",
        offending={"login.uuid": None},
    ),
    "missing-object": Spoilt(
        plan="missing=dob",
        wrong="a missing object",
        reason="birth_date_invalid",
        offending={"dob.date": None},
    ),
    "null": Spoilt(
        plan="set=gender:null",
        wrong="a null field",
        reason="gender_unknown",
        offending={"gender": None},
    ),
    "number": Spoilt(
        plan="set=email:17",
        wrong="a number instead of text",
        reason="wrong_structure",
        offending={"email": "17"},
    ),
    "no-date": Spoilt(
        plan='set=dob.date:"1963-02-30T00:00:00.000Z"',
        wrong="a date that does not exist",
        reason="birth_date_invalid",
        offending={"dob.date": "1963-02-30T00:00:00.000Z"},
    ),
    "list": Spoilt(
        plan="mistyped=gender",
        wrong="a list instead of text",
        reason="wrong_structure",
        offending={"gender": ...},
    ),
    "epoch-dates": Spoilt(
        plan="epoch-dates",
        wrong="the epoch dates of version 1.0",
        reason="wrong_structure",
        offending={"dob.date": ..., "registered.date": ...},
    ),
    "null-user": Spoilt(plan="user=null", wrong="null instead of a user", reason="not_an_object"),
    "surrogate": Spoilt(
        plan=r'set=name.first:"a\ud800b"',
        wrong="a lone surrogate",
        reason="lone_surrogate",
        offending={"name.first": r"a\ud800b"},
    ),
    "nul": Spoilt(
        plan=r'set=name.first:"a\u0000b"',
        wrong="a NUL character",
        reason="nul_character",
        offending={"name.first": r"a\u0000b"},
    ),
    "same-user": Spoilt(
        plan='set=login.uuid:"00000000-0000-4000-8000-000000000000"',
        wrong="the same user repeated",
        reason="duplicate_user_id",
        offending={"login.uuid": "00000000-0000-4000-8000-000000000000"},
        rejects=(1, 49),
    ),
}


@pytest.mark.parametrize("case", SPOILT.values(), ids=SPOILT)
def test_spoilt_users_are_rejected_and_too_many_fail_the_day(
    pipeline: Pipeline, source: Rehearsal, case: Spoilt, sentence: Keep
) -> None:
    few, many = case.rejects
    pipeline.set("source", users_per_day=50, page_size=25)
    source.has(f"{case.plan},users=4")
    run(*STEPS)
    published = tables(pipeline)
    rejected = pipeline.rows("SELECT reasons, offending FROM rejected_users")
    assert [row.reasons for row in rejected] == [[case.reason]] * few
    for row in rejected:
        assert row.offending.keys() == case.offending.keys()
        assert all(value in {..., row.offending[field]} for field, value in case.offending.items())
    assert pipeline.rows("SELECT total_users FROM user_statistics_daily") == [(50 - few,)]

    runs.invalidate("ExtractUsers", [DATE], logic_version=1, reason=None)
    source.has(case.plan)
    run(ExtractUsers)
    before = attempts(pipeline)
    with pytest.raises(DataError) as failed:
        run(TransformUsers)
    text = str(failed.value)
    assert text == (
        f"{many} of 50 users of {DATE} broke a rule, more than the 5 % allowed "
        f"({case.reason} {many}); nothing was published. If the source sent something wrong that "
        f"day, run `workflow rerun {DATE} --from ExtractUsers`; else raise [rules] "
        "rejected_percent_max (--rules-rejected-percent-max)."
    )
    sentence(AREA, f"{case.wrong}, in too many users", text)
    assert tables(pipeline) == published
    *old, attempt = attempts(pipeline)
    assert old == before
    assert (attempt.job, attempt.state) == ("TransformUsers", "failed")
    assert text in attempt.error
