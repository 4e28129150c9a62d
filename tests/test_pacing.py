"""Users per window: counted in PostgreSQL for all processes, waited for, never in vain."""

import datetime
import threading
import time

import pytest

from tests.conftest import Pipeline
from workflow.errors import SettingsError
from workflow.extraction import Extraction
from workflow.source import pacing
from workflow.source.client import Client

DATE = datetime.date(2026, 1, 1)
REAL = "https://randomuser.me/api/1.4/"


def reserve(url: str, users: int, times: int = 1, *, patience: float = 20) -> None:
    """Ask for users, `times` in a row; raises Stopped when that takes longer than `patience` s."""
    stopped = threading.Event()
    timer = threading.Timer(patience, stopped.set)
    timer.start()
    try:
        for _ in range(times):
            pacing.reserve(url, users, stopped)
    finally:
        timer.cancel()


def age(pipeline: Pipeline, seconds: float) -> None:
    """Let what was asked for until now have been asked for earlier: the window is 300 s."""
    statement = "UPDATE source_requests SET requested_at = requested_at - make_interval(secs => %s)"
    pipeline.rows(statement, seconds)


def test_the_limit_that_holds_for_a_source(pipeline: Pipeline) -> None:
    for url in (
        "http://127.0.0.1:1/api/1.4/",
        "http://localhost/api/1.4/",
        "http://[::1]/api/1.4/",
    ):
        assert pacing.users_per_window(url) == 0
    assert pacing.users_per_window(REAL) == 20_000
    assert pacing.users_per_window("http://elsewhere/api/1.4/") == 0
    pipeline.set("source", users_per_window=500)
    assert pacing.users_per_window("http://127.0.0.1:1/api/1.4/") == 500
    pipeline.set("source", users_per_window=0)
    assert pacing.users_per_window(REAL) == 0


def test_twenty_pages_of_a_thousand_fit_and_the_next_waits(pipeline: Pipeline) -> None:
    reserve(REAL, 1000, times=20)
    same_service = "https://api.randomuser.me:443/api/1.4/"
    for _ in range(2):
        with pytest.raises(pacing.Stopped):
            reserve(same_service, 1000, patience=0.5)
        age(pipeline, 290)
    reserve(same_service, 1000)


def test_what_left_the_window_is_forgotten_and_others_do_not_count(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_window=10)
    reserve(REAL, 10)
    reserve("http://elsewhere/api/1.4/", 10)
    age(pipeline, 301)
    reserve(REAL, 10)
    rows = pipeline.rows("SELECT source, users FROM source_requests WHERE source = 'randomuser.me'")
    assert [row.users for row in rows] == [10]


def test_many_at_a_time_never_pass_the_limit(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_window=30, window_seconds=1)
    threads = [threading.Thread(target=reserve, args=(REAL, 10, 2)) for _ in range(6)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started > 3  # 120 users at 30 a second: three windows waited for


def test_a_wait_can_be_called_off(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_window=10, window_seconds=60)
    reserve(REAL, 10)
    stopped = threading.Event()
    threading.Timer(0.3, stopped.set).start()
    with pytest.raises(pacing.Stopped):
        pacing.reserve(REAL, 10, stopped)
    assert len(pipeline.rows("SELECT * FROM source_requests")) == 1


def test_waiting_does_not_count_against_the_deadline(pipeline: Pipeline) -> None:
    pipeline.set(
        "source", users_per_day=30, page_size=10, users_per_window=10, window_seconds=2, deadline=2
    )
    extraction = Extraction.of(DATE)
    with Client(extraction) as client:
        assert len(list(client.pages([1, 2, 3]))) == 3  # after about 4 s


def test_a_page_that_never_fits_is_refused(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=30, page_size=20, users_per_window=10)
    extraction = Extraction.of(DATE)
    with pytest.raises(SettingsError, match="page_size = 20 is more than the 10 users per window"):
        Client(extraction)
