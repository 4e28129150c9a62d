"""What is current, who holds a lease, and what can be published."""

import contextlib
import dataclasses
import datetime
import os
import socket
import threading
import uuid

import psycopg2
import pytest

from tests.conftest import Pipeline
from tests.days import VERSIONS, complete_dates, publish
from workflow.errors import DataError, LeaseError, SchemaError, SettingsError, StoreError
from workflow.ledger import runs
from workflow.ledger.details import Written
from workflow.ledger.lease import Outcome, take_lease
from workflow.ledger.runs import Run
from workflow.stores.postgres import connect

DATE = datetime.date(2026, 11, 20)
READS = {
    "ExtractUsers": (),
    "TransformUsers": ("ExtractUsers",),
    "ComputeStats": ("TransformUsers",),
    "LoadUsers": ("TransformUsers", "ComputeStats"),
}
OUTCOME = Outcome(rows_out=9, rows_rejected=1, bytes=100, details=Written(url="b"))


def current(versions: dict[str, int] = VERSIONS, date: datetime.date = DATE) -> dict[str, Run]:
    found = runs.current_runs(versions, date, date)
    return {job: run for (_, job), run in found.items()}


def do(job: str, date: datetime.date = DATE) -> None:
    """A successful attempt of a job on the current runs of what it reads."""
    with take_lease(job, date, VERSIONS) as held:
        read = held.current_runs()
        inputs = [read[name] for name in READS[job]]
        with held.attempt(inputs, rows_in=10) as attempt:
            publish(attempt, OUTCOME)


def do_all(date: datetime.date = DATE) -> None:
    for job in READS:
        do(job, date)


def invalidate(job: str, date: datetime.date = DATE) -> None:
    runs.invalidate(job, [date], logic_version=1, reason=None)


def test_nothing_is_current_in_an_empty_ledger(pipeline: Pipeline) -> None:
    assert current() == {}
    assert runs.known_dates() == []


def test_a_full_day_is_current_and_says_what_it_read(pipeline: Pipeline) -> None:
    do_all()
    day = current()
    assert set(day) == set(READS)
    assert day["LoadUsers"].inputs == [day["TransformUsers"].run_id, day["ComputeStats"].run_id]
    run = day["ExtractUsers"]
    assert (run.rows_in, run.rows_out, run.rows_rejected, run.rows_erased) == (10, 9, 1, 0)
    assert run.details == {"url": "b"}
    assert run.seconds is not None
    assert runs.known_dates() == [DATE]
    assert runs.known_dates(DATE + datetime.timedelta(days=1)) == []


def test_a_new_input_makes_everything_after_it_due(pipeline: Pipeline) -> None:
    do_all()
    do("TransformUsers")
    assert set(current()) == {"ExtractUsers", "TransformUsers"}
    do("ExtractUsers")
    assert set(current()) == {"ExtractUsers"}


def test_an_invalidated_step_and_what_follows_is_due(pipeline: Pipeline) -> None:
    do_all()
    invalidate("ComputeStats")
    assert set(current()) == {"ExtractUsers", "TransformUsers"}
    do("ComputeStats")
    assert set(current()) == {"ExtractUsers", "TransformUsers", "ComputeStats"}


def test_a_new_logic_version_makes_a_step_and_what_follows_due(pipeline: Pipeline) -> None:
    do_all()
    assert set(current(VERSIONS | {"ComputeStats": 99})) == {"ExtractUsers", "TransformUsers"}
    assert set(current()) == set(READS)


def test_dates_do_not_touch_each_other(pipeline: Pipeline) -> None:
    other = DATE + datetime.timedelta(days=1)
    do_all()
    do_all(other)
    invalidate("ExtractUsers", other)
    assert set(current()) == set(READS)
    assert current(date=other) == {}
    assert len(runs.current_runs(VERSIONS, DATE, other)) == len(READS)


def test_a_run_that_was_invalidated_while_it_ran_is_not_current(pipeline: Pipeline) -> None:
    with (
        take_lease("ExtractUsers", DATE, VERSIONS) as held,
        held.attempt((), rows_in=10) as attempt,
    ):
        invalidate("ExtractUsers")
        publish(attempt, OUTCOME)
    assert current() == {}


def test_rows_that_do_not_add_up_are_not_published(pipeline: Pipeline) -> None:
    with (
        take_lease("ExtractUsers", DATE, VERSIONS) as held,
        pytest.raises(DataError, match="10 rows came in, but 8 went out and 1 were rejected"),
        held.attempt((), rows_in=10) as attempt,
    ):
        publish(attempt, dataclasses.replace(OUTCOME, rows_out=8))
    assert current() == {}
    assert [run.state for run in runs.history(DATE)] == ["failed"]


def test_the_database_itself_refuses_rows_that_do_not_add_up(pipeline: Pipeline) -> None:
    do("ExtractUsers")
    with pytest.raises(psycopg2.errors.CheckViolation, match="nothing_lost"):
        pipeline.rows("UPDATE extraction_metadata SET rows_out = rows_out - 1")
    with pytest.raises(psycopg2.errors.CheckViolation, match="nothing_lost"):
        pipeline.rows("UPDATE extraction_metadata SET rows_rejected = NULL")


def test_an_input_that_was_replaced_meanwhile_is_refused(pipeline: Pipeline) -> None:
    do("ExtractUsers")
    with take_lease("TransformUsers", DATE, VERSIONS) as held:
        inputs = [held.current_runs()["ExtractUsers"]]
        with (
            pytest.raises(DataError, match="input from ExtractUsers of 2026-11-20 was replaced"),
            held.attempt(inputs, rows_in=10) as attempt,
        ):
            do("ExtractUsers")
            publish(attempt, OUTCOME)
    assert set(current()) == {"ExtractUsers"}


def test_rows_and_ledger_row_are_published_together_or_not_at_all(pipeline: Pipeline) -> None:
    with (
        take_lease("ExtractUsers", DATE, VERSIONS) as held,
        pytest.raises(DataError),
        held.attempt((), rows_in=10) as attempt,
        attempt.publishing() as cursor,
    ):
        cursor.execute("INSERT INTO source_requests (source, users) VALUES ('x', 1)")
        attempt.succeed(cursor, dataclasses.replace(OUTCOME, rows_out=1))
    assert pipeline.rows("SELECT * FROM source_requests") == []


def test_rows_are_never_published_without_their_ledger_row(pipeline: Pipeline) -> None:
    with (
        take_lease("ExtractUsers", DATE, VERSIONS) as held,
        pytest.raises(RuntimeError, match="without its ledger row"),
        held.attempt((), rows_in=10) as attempt,
        attempt.publishing() as cursor,
    ):
        cursor.execute("INSERT INTO source_requests (source, users) VALUES ('x', 1)")
    assert pipeline.rows("SELECT * FROM source_requests") == []
    assert [run.state for run in runs.history(DATE)] == ["failed"]


def test_a_failure_is_kept_with_its_error(pipeline: Pipeline) -> None:
    with (
        pytest.raises(StoreError),
        take_lease("ExtractUsers", DATE, VERSIONS) as held,
        held.attempt((), rows_in=10, details=Written(url="x")),
    ):
        raise StoreError("the disk is full")
    (run,) = runs.history(DATE)
    assert (run.state, run.error, run.details) == ("failed", "the disk is full", {"url": "x"})


def test_an_interrupt_is_no_failure(pipeline: Pipeline) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        take_lease("ExtractUsers", DATE, VERSIONS) as held,
        held.attempt((), rows_in=10),
    ):
        raise KeyboardInterrupt
    assert [run.state for run in runs.history(DATE)] == ["interrupted"]


def test_a_lease_is_held_by_one_and_names_its_holder(pipeline: Pipeline) -> None:
    pipeline.set("lease", wait=0.2)
    with take_lease("LoadUsers", DATE, VERSIONS):
        with (
            pytest.raises(LeaseError, match=r"LoadUsers of 2026-11-20 .* process \d+, since 20"),
            take_lease("LoadUsers", DATE, VERSIONS),
        ):
            pass
        with take_lease("LoadUsers", DATE - datetime.timedelta(days=1), VERSIONS):
            pass
        with take_lease("ExtractUsers", DATE, VERSIONS):
            pass
    with take_lease("LoadUsers", DATE, VERSIONS):
        pass


def test_who_waits_gets_the_lease_when_it_is_free(pipeline: Pipeline) -> None:
    taken, got = threading.Event(), threading.Event()

    def wait() -> None:
        taken.wait(10)
        with take_lease("LoadUsers", DATE, VERSIONS):
            got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    with take_lease("LoadUsers", DATE, VERSIONS):
        taken.set()
        assert not got.wait(0.3)
    assert got.wait(10)
    thread.join()


def test_a_holder_whose_connection_is_cut_publishes_nothing(pipeline: Pipeline) -> None:
    with (
        pytest.raises(LeaseError, match="connection that holds the lease was lost"),
        take_lease("ExtractUsers", DATE, VERSIONS) as held,
        held.attempt((), rows_in=10) as attempt,
    ):
        pipeline.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'ExtractUsers%%' AND datname = current_database()"
        )
        publish(attempt, OUTCOME)
    assert [run.state for run in runs.history(DATE)] == ["failed"]


def test_a_running_row_is_believed_only_while_its_lease_is_held(pipeline: Pipeline) -> None:
    with (
        take_lease("ExtractUsers", DATE, VERSIONS) as held,
        held.attempt((), rows_in=10) as attempt,
    ):
        publish(attempt, OUTCOME)
    pipeline.rows(  # as SIGKILL leaves it
        "INSERT INTO extraction_metadata (run_id, job, partition_date, state, logic_version, "
        "host, process, requested_by) VALUES (%s, 'ExtractUsers', %s, 'running', 1, 'h', 1, 'u')",
        str(uuid.uuid4()),
        DATE,
    )
    with take_lease("ExtractUsers", DATE, VERSIONS) as held:
        last = held.history()[-1]
    assert last.state == "interrupted"
    assert last.unpublished
    assert "ExtractUsers" in current()


def test_an_attempt_that_was_taken_over_publishes_nothing(pipeline: Pipeline) -> None:
    with (
        pytest.raises(LeaseError, match="took this step over"),
        take_lease("ExtractUsers", DATE, VERSIONS) as held,
        held.attempt((), rows_in=10) as attempt,
    ):
        pipeline.rows("UPDATE extraction_metadata SET state = 'interrupted', finished_at = now()")
        publish(attempt, OUTCOME)
    assert current() == {}


def test_ten_years_are_answered_by_one_query(pipeline: Pipeline) -> None:
    first = datetime.date(2016, 1, 1)
    with contextlib.closing(pipeline.connect()) as connection, connection.cursor() as cursor:
        complete_dates(cursor, first, 3650)
    found = runs.current_runs(VERSIONS, first, first + datetime.timedelta(days=3649))
    assert len(found) == 4 * 3650


def test_a_missing_schema_names_the_command(pipeline: Pipeline) -> None:
    pipeline.set("postgres", dbname="postgres")
    with pytest.raises(SchemaError, match="workflow init-db"):
        current()


def test_a_postgresql_that_does_not_answer(pipeline: Pipeline) -> None:
    pipeline.set("postgres", port=9)
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:9/test_.*Connection refused.*stack status"):
        current()


def test_a_missing_passfile(pipeline: Pipeline) -> None:
    pipeline.set("postgres", passfile="nowhere/pgpass")
    with pytest.raises(SettingsError, match=r"passfile = .*nowhere/pgpass does not exist"):
        current()


def test_the_holder_s_process_is_named_on_any_machine(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "h" * 64)
    monkeypatch.setattr(os, "getpid", lambda: 4_194_304)  # Linux has no higher ones
    with take_lease("TransformUsers", DATE, VERSIONS):
        held = runs.holder("TransformUsers", DATE)
    assert held
    assert ", process 4194304, since 20" in held


def test_the_server_notices_a_machine_that_is_gone(pipeline: Pipeline) -> None:
    with connect("a test") as connection, connection.cursor() as cursor:
        for name, value in (
            ("keepalives_idle", "30"), ("keepalives_interval", "10"), ("keepalives_count", "3"),
            ("user_timeout", "60000"),
        ):  # fmt: skip
            cursor.execute(f"SHOW tcp_{name}")
            assert cursor.fetchone() == (value,)
