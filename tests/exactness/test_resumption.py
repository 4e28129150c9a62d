"""An extraction that was killed goes on at its missing pages, and only if it asks the same.

That a source which refuses is resumed as well is tested in tests/test_day.py.
"""

import dataclasses
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Pipeline
from tests.exactness import comparison
from tests.exactness.crash_points import BY_NAME, DATE
from tests.rehearsal import Rehearsal
from workflow.stores import cassandra, raw_store

KILLED = BY_NAME["extract-page"]


def extraction_id(pipeline: Pipeline) -> uuid.UUID:
    """The extraction that the newest attempt works on."""
    (row, *_) = pipeline.rows(
        "SELECT details FROM extraction_metadata WHERE job = 'ExtractUsers' ORDER BY seq DESC"
    )
    return uuid.UUID(row.details["extraction_id"])


def stored_pages(extraction: uuid.UUID) -> set[int]:
    """The pages that an extraction has in Cassandra."""
    with cassandra.connect() as session:
        return set(raw_store.RawStore(session, DATE, extraction).pages())


def test_no_stored_page_is_asked_for_again(
    pipeline: Pipeline, source: Rehearsal, full: bool
) -> None:
    users, size = (50_000, 1_000) if full else (2_000, 100)
    pages = users // size
    pipeline.set("source", users_per_day=users, page_size=size)
    assert comparison.kill(pipeline, KILLED, call=pages * 6 // 10) is None
    extraction = extraction_id(pipeline)
    stored = stored_pages(extraction)
    assert len(stored) == pages * 6 // 10

    # a 404 is never asked again: one request for a stored page would fail the day
    source.has("\n".join(f"status=404, pages={page}" for page in stored))
    pipeline.day(DATE)
    assert source.requests == pages - len(stored)
    assert extraction_id(pipeline) == extraction
    assert stored_pages(extraction) == set(range(1, pages + 1))
    (run,) = pipeline.rows(
        "SELECT details, rows_out FROM extraction_metadata "
        "WHERE job = 'ExtractUsers' AND state = 'succeeded'"
    )
    assert (run.details["pages_resumed"], run.rows_out) == (len(stored), users)
    pipeline.run("workflow", "verify")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Other:
    """What is not the same any more when the date is run again."""

    change: Callable[[Pipeline], Any]
    pages: int = 6


def as_if_asked_with(key: str, value: str) -> Callable[[Pipeline], Any]:
    """As if the killed attempt had asked with another value: the date and the URL decide it."""
    return lambda pipeline: pipeline.rows(
        "UPDATE extraction_metadata "
        "SET details = jsonb_set(details, ARRAY['extraction', %s], to_jsonb(%s::text))",
        key,
        value,
    )


def another_url(pipeline: Pipeline) -> None:
    url = pipeline.config["source"]["url"]
    pipeline.set("source", url=url.replace("127.0.0.1", "localhost"))


OTHERS = {
    "url": Other(change=another_url),
    "version": Other(change=as_if_asked_with("api_version", "1.3")),
    "seed": Other(change=as_if_asked_with("seed", "batch-20260917-others")),
    "users": Other(change=lambda pipeline: pipeline.set("source", users_per_day=59)),
    "page-size": Other(
        change=lambda pipeline: pipeline.set("source", page_size=12, users_per_day=60), pages=5
    ),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_an_extraction_that_asks_for_something_else_begins_anew(
    pipeline: Pipeline, source: Rehearsal, other: Other
) -> None:
    pipeline.set("source", users_per_day=60, page_size=10)
    assert comparison.kill(pipeline, KILLED) is None
    killed = extraction_id(pipeline)
    assert len(stored_pages(killed)) == 3

    other.change(pipeline)
    source.has("")
    pipeline.day(DATE)
    assert source.requests == other.pages
    assert extraction_id(pipeline) != killed
    (run,) = pipeline.rows(
        "SELECT details FROM extraction_metadata WHERE job = 'ExtractUsers' AND state = 'succeeded'"
    )
    assert run.details["pages_resumed"] == 0
    pipeline.run("workflow", "verify")
