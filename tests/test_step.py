"""What all steps have in common: their date, their order, their versions, their progress."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from luigi.rpc import RPCError

from tests.conftest import PROJECT, load_config, write_config
from tests.days import STEPS, VERSIONS
from workflow import settings
from workflow.tasks import ComputeStats, LoadUsers, RunDaily, TransformUsers

DATE = datetime.date(2026, 11, 20)


@pytest.fixture(autouse=True)
def good_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The committed settings, and a file for others."""
    monkeypatch.chdir(PROJECT)
    load_config(write_config(tmp_path / "test.cfg", {}))
    yield tmp_path / "test.cfg"
    load_config(write_config(tmp_path / "test.cfg", {}))


def test_the_steps_of_a_day_stand_in_the_order_of_what_they_read() -> None:
    names = [step.task_family for step in RunDaily(date=DATE).steps()]
    assert names == [step.__name__ for step in STEPS]
    for step in RunDaily(date=DATE).steps():
        read = {task.task_family for task in step.deps()}
        assert read <= set(names[: names.index(step.task_family)])


def test_a_task_has_the_versions_of_what_it_needs_and_no_others() -> None:
    assert RunDaily(date=DATE).versions() == LoadUsers(date=DATE).versions() == VERSIONS
    assert set(ComputeStats(date=DATE).versions()) == {
        "ExtractUsers", "TransformUsers", "ComputeStats",
    }  # fmt: skip
    assert set(TransformUsers(date=DATE).versions()) == {"ExtractUsers", "TransformUsers"}


def test_a_new_logic_version_is_seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ComputeStats, "logic_version", 7)
    assert RunDaily(date=DATE).versions() == VERSIONS | {"ComputeStats": 7}


def test_without_a_date_it_is_today_in_utc() -> None:
    before = datetime.datetime.now(datetime.UTC).date()
    assert before <= RunDaily().date <= datetime.datetime.now(datetime.UTC).date()


@pytest.mark.parametrize("text", ["2026-02-30", "yesterday", "20.11.2026", ""])
def test_what_is_no_date_ends_with_a_sentence(text: str) -> None:
    with pytest.raises(SystemExit, match="is not a date of the calendar; write it as YYYY-MM-DD"):
        RunDaily.date.parse(text)  # type: ignore[attr-defined]  # Luigi's parameter


def test_the_future_ends_with_a_sentence() -> None:
    tomorrow = settings.utc_today() + datetime.timedelta(days=2)
    with pytest.raises(SystemExit, match=f"Error: {tomorrow} is in the future: today is "):
        LoadUsers(date=tomorrow)


def test_bad_settings_end_with_a_sentence(good_settings: Path) -> None:
    load_config(write_config(good_settings, {"source": {"users_per_day": "0"}}))
    with pytest.raises(SystemExit, match=r"Error: .*users_per_day = 0 is out of range"):
        LoadUsers(date=DATE - datetime.timedelta(days=1))  # Luigi keeps a task that it has made


def test_a_visualiser_that_is_away_is_asked_once_and_fails_no_step(
    caplog: pytest.LogCaptureFixture,
) -> None:
    step = TransformUsers(date=DATE)
    asked: list[str] = []

    def away(message: str) -> None:
        asked.append(message)
        raise RPCError("nobody answers")

    step.set_status_message = away
    step.show_progress("half", 50)
    step.show_progress("whole", 100)
    assert asked == ["half"]
    assert "The visualiser does not show" in caplog.text
