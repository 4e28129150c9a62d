"""An API that refuses and fails at random, or for longer than a day may take.

Single faults stand in tests/test_bad_source.py; here is what many requests meet together.
"""

from tests.conftest import Pipeline
from tests.days import NOTHING, states, tables
from tests.exactness.sickness import (
    DATE,
    require_sentence,
    require_whole,
    undisturbed,
)
from tests.rehearsal import Rehearsal

#: 429s, first for all and then for some; 500s at random; both, and connections that end early.
STORMS = (
    "status=429,retry-after=1,seconds=0-2\nstatus=429,retry-after=1,chance=20",
    "status=500,chance=30",
    "status=429,chance=20\nstatus=500,chance=30\nclose,chance=10\ncut,chance=10",
)


def pages(pipeline: Pipeline, full: bool) -> int:
    """Set how much is asked for; returns the number of pages."""
    users, size = (50_000, 500) if full else (120, 10)
    pipeline.set("source", users_per_day=users, page_size=size)
    return users // size


def test_a_storm_costs_requests_and_nothing_else(
    pipeline: Pipeline, source: Rehearsal, full: bool
) -> None:
    asked = pages(pipeline, full)
    expected = undisturbed(pipeline)
    for storm in STORMS if full else STORMS[:2]:
        source.has(storm)
        pipeline.day(DATE)
        assert source.requests > asked
        require_whole(pipeline, expected)
        pipeline.run("workflow", "rerun", DATE, "--from", "ExtractUsers", "--mark-only")


def test_an_outage_beyond_the_deadline_fails_the_day_and_only_missing_pages_are_asked_again(
    pipeline: Pipeline, source: Rehearsal, full: bool
) -> None:
    asked = pages(pipeline, full)
    expected = undisturbed(pipeline)
    came = asked // 3
    pipeline.set("source", deadline=30 if full else 2)
    source.has(f"status=503,requests={came + 1}-")
    failed = pipeline.day(DATE, check=None)
    assert failed.returncode != 0
    require_sentence(failed.stderr, "Error: ", f" of {asked} within ", "run the date again")
    assert states(pipeline) == [("ExtractUsers", "failed")]
    assert tables(pipeline) == NOTHING
    assert "due: ExtractUsers" in pipeline.run("workflow", "verify").stdout

    pipeline.set("source", deadline=900)
    source.has("status=500,chance=30,pages=1-3")
    pipeline.day(DATE)
    (extraction,) = pipeline.rows(
        "SELECT details FROM extraction_metadata WHERE job = 'ExtractUsers' AND state = 'succeeded'"
    )
    assert extraction.details["pages_resumed"] == came
    assert source.requests == asked - came
    require_whole(pipeline, expected)
