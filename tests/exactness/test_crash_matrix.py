"""SIGKILL at any moment, then a plain run: nothing is lost and nothing is there twice.

The moments are in crash_points.py. Each is tried in a database of its own and held against an
undisturbed day of the same settings: all columns of the three tables, and the current ledger.
"""

import datetime
from collections.abc import Callable

import pytest

from tests import days
from tests.conftest import Pipeline, Stack, empty_pipeline, load_config
from tests.days import STEPS
from tests.exactness import comparison
from tests.exactness.comparison import Standing
from tests.exactness.crash_points import (
    BY_NAME,
    DATE,
    LEASE,
    LOAD,
    POINTS,
    PUBLISH,
    SWEEPS,
    Point,
    Victim,
)
from workflow.ledger import runs

#: Of every step and of every kind of moment; `--full` takes all points.
SHORT = (
    "extract-batches-half", "extract-page-without-row", "extract-manifest", "transform-writing",
    "transform-uncommitted", "statistics-written", "statistics-released", "load-month-unattached",
    "load-copying-users", "load-rejects-copied", "load-over-older-uncommitted", "fork-parent",
)  # fmt: skip

Reference = Callable[[Point], Standing]

JOBS = ["ComputeStats", "ExtractUsers", "LoadUsers", "TransformUsers"]


@pytest.fixture(scope="session")
def reference(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """What an undisturbed day of a point's settings leaves, computed once for each."""
    known: dict[tuple[datetime.date, int], Standing] = {}

    def undisturbed(point: Point) -> Standing:
        key = point.date, point.users
        if key not in known:
            folder = tmp_path_factory.mktemp("undisturbed")
            name = f"undisturbed_{point.date:%Y%m%d}_{point.users}"
            with empty_pipeline(stack, name, folder) as whole:
                comparison.use_source(whole, point.users)
                days.run(point.date, *STEPS)
                known[key] = comparison.standing(whole, point.date)
        return known[key]

    return undisturbed


@pytest.fixture
def undisturbed(reference: Reference, pipeline: Pipeline) -> Reference:
    """The same inside a test, whose own settings hold again afterwards."""

    def standing(point: Point) -> Standing:
        found = reference(point)
        load_config(pipeline.config_path)
        return found

    return standing


def is_done_once(
    pipeline: Pipeline, expected: Standing, *, date: datetime.date = DATE, generations: int = 1
) -> None:
    """Hold what stands against an undisturbed day, by content and by the pipeline's own check."""
    assert comparison.standing(pipeline, date) == expected
    assert comparison.left_running(pipeline) == []
    runs = pipeline.rows(
        "SELECT job, count(*) AS n FROM extraction_metadata WHERE state = 'succeeded' "
        "GROUP BY job ORDER BY job"
    )
    assert [(run.job, run.n) for run in runs] == [(step, generations) for step in JOBS]
    assert "1 date holds what the ledger says" in pipeline.run("workflow", "verify").stdout


def older_generation(pipeline: Pipeline, date: datetime.date) -> None:
    """A whole day of fewer users, none of them spoilt, that is due again."""
    comparison.use_source(pipeline, 60, plan="")
    days.run(date, *STEPS)
    runs.invalidate("ExtractUsers", [date], logic_version=1, reason="a crash is tried")


def chosen(config: pytest.Config) -> list[Point]:
    return [point for point in POINTS if config.getoption("--full") or point.name in SHORT]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "point" in metafunc.fixturenames:
        points = chosen(metafunc.config)
        metafunc.parametrize("point", points, ids=[point.name for point in points])
    if "sweep" in metafunc.fixturenames:
        sweeps = SWEEPS if metafunc.config.getoption("--full") else SWEEPS[:1]
        metafunc.parametrize(("first", "sweep"), sweeps, ids=[sweep.name for _, sweep in sweeps])


def test_a_day_that_is_killed_is_whole_after_the_next_run(
    pipeline: Pipeline, undisturbed: Reference, point: Point
) -> None:
    expected = undisturbed(point)
    assert len(expected.tables["rejected_users"]) >= 7
    if point.over:
        older_generation(pipeline, point.date)
    before = comparison.standing(pipeline, point.date).tables
    comparison.use_source(pipeline, point.users)

    assert comparison.kill(pipeline, point) is None

    # whoever reads now sees one generation whole, or the other
    committed = point.step == LOAD and point.where in {PUBLISH, LEASE}
    orphaned = point.step == LOAD and point.victim is Victim.PARENT  # it may commit at any time
    new = [expected.tables] if committed or orphaned else []
    old = [] if committed else [before]
    whole = [*new, *old]
    assert comparison.standing(pipeline, point.date).tables in whole
    pipeline.day(point.date)
    is_done_once(pipeline, expected, date=point.date, generations=2 if point.over else 1)


def test_the_run_that_repairs_is_killed_too(pipeline: Pipeline, undisturbed: Reference) -> None:
    points = BY_NAME["extract-page-without-row"], BY_NAME["load-users-copied"]
    expected = undisturbed(points[0])
    comparison.use_source(pipeline, points[0].users)
    for point in points:
        assert comparison.kill(pipeline, point) is None
    pipeline.day(DATE)
    is_done_once(pipeline, expected)


def test_the_same_step_is_killed_again_and_again(
    pipeline: Pipeline, undisturbed: Reference, full: bool
) -> None:
    """Each start dies one page further: what the one before it stored must not be lost."""
    point = BY_NAME["extract-page"]
    expected = undisturbed(point)
    comparison.use_source(pipeline, point.users)
    for _ in range(6 if full else 2):
        assert comparison.kill(pipeline, point, call=1) is None
    pipeline.day(DATE)
    (run,) = pipeline.rows(
        "SELECT details FROM extraction_metadata WHERE job = 'ExtractUsers' AND state = 'succeeded'"
    )
    assert run.details["pages_resumed"] == (6 if full else 2)
    is_done_once(pipeline, expected)


def test_the_sweep_is_killed(
    pipeline: Pipeline, undisturbed: Reference, first: str, sweep: Point
) -> None:
    expected = undisturbed(sweep)
    # other settings: no extraction can go on with what these left
    comparison.use_source(pipeline, sweep.users if sweep.step == "TransformUsers" else 100)
    assert comparison.kill(pipeline, BY_NAME[first]) is None
    comparison.use_source(pipeline, sweep.users)
    assert comparison.kill(pipeline, sweep) is None
    pipeline.day(DATE)
    is_done_once(pipeline, expected)
    assert "leftover" not in pipeline.run("workflow", "verify").stdout


def test_every_step_has_moments_and_each_has_a_name_of_its_own() -> None:
    assert {point.step for point in POINTS} == set(JOBS)
    assert len(BY_NAME) == len(POINTS) + len(SWEEPS)
    assert len(POINTS) >= 25
    assert set(SHORT) <= set(BY_NAME)
