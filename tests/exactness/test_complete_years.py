"""Dates that are complete cost one question, however many they are."""

import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Pipeline
from tests.days import attempts, complete_dates
from workflow.tasks import RunDaily

FIRST = datetime.date(2016, 1, 1)


def complete(pipeline: Pipeline, *, days: int) -> None:
    with contextlib.closing(pipeline.connect()) as connection, connection.cursor() as cursor:
        complete_dates(cursor, FIRST, days)


def run_year(pipeline: Pipeline) -> str:
    """The stock RangeDaily over 365 dates; what it says on stderr."""
    return pipeline.run(
        "luigi", "--module", "workflow", "RangeDaily", "--of", "RunDaily",
        "--start", str(FIRST), "--stop", str(FIRST + datetime.timedelta(days=365)),
        "--days-back", "9999", "--local-scheduler",
    ).stderr  # fmt: skip


class Statements:
    """The statements that PostgreSQL logged while the block ran, as it received them."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._log = Path(pipeline.config["stack"]["log_dir"]) / "postgres.log"
        self._begin = 0
        self._text = ""

    @contextlib.contextmanager
    def logged(self) -> Iterator[None]:
        """Sessions log from their start, and PostgreSQL writes a line before it answers."""
        self._begin = self._log.stat().st_size
        yield
        with self._log.open("rb") as file:
            file.seek(self._begin)
            self._text = file.read().decode()

    def of(self, word: str) -> int:
        """How many begin with a word; an empty one stands for all but BEGIN and COMMIT."""
        texts = [line.strip() for line in self._text.split("LOG:  statement:")[1:]]
        return sum(
            text.startswith(word) and text.split()[0] not in {"BEGIN", "COMMIT"} for text in texts
        )


@pytest.fixture
def statements(pipeline: Pipeline) -> Statements:
    """Every session of this test's database logs its statements from now on."""
    pipeline.rows(
        f"ALTER DATABASE {pipeline.config['postgres']['dbname']} SET log_statement = 'all'"
    )
    return Statements(pipeline)


def test_ten_years_are_asked_in_one_statement(pipeline: Pipeline, statements: Statements) -> None:
    complete(pipeline, days=3650)
    dates = [FIRST + datetime.timedelta(days=n) for n in range(3651)]
    with statements.logged():
        assert RunDaily.bulk_complete(iter(dates)) == dates[:-1]
    assert statements.of("SELECT * FROM current_runs(") == 1
    assert statements.of("") == 1


def test_a_complete_year_runs_nothing(pipeline: Pipeline, statements: Statements) -> None:
    complete(pipeline, days=365)
    before = attempts(pipeline)
    with statements.logged():
        said = run_year(pipeline)
    assert "1 complete ones were encountered" in said
    assert "ran successfully" not in said
    assert attempts(pipeline) == before
    assert statements.of("") == statements.of("SELECT * FROM current_runs(") <= 2


def test_a_gap_in_a_complete_year_is_found(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    complete(pipeline, days=365)
    gap = FIRST + datetime.timedelta(days=200)
    pipeline.rows("DELETE FROM extraction_metadata WHERE partition_date = %s", gap)
    run_year(pipeline)
    runs = attempts(pipeline)
    assert len(runs) == 4 * 365
    assert [run.partition_date for run in runs[-4:]] == [gap] * 4
