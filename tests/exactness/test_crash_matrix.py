"""SIGKILL at any moment, then a plain run: nothing is lost and nothing is there twice.

The moments are in crash_points.py. Each is tried in a database of its own and held against an
undisturbed day of the same settings: all columns of the three tables, and the current ledger.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Pipeline, Stack, empty_pipeline, load_config
from tests.exactness import days
from tests.exactness.crash_points import BY_NAME, LEASE, LOAD, POINTS, PUBLISH, Point, Victim
from tests.exactness.days import DATE, Standing

#: Of every step and of every kind of moment; `--full` takes all points.
SHORT = (
    "extract-batches-half", "extract-page-without-row", "extract-manifest", "transform-writing",
    "transform-uncommitted", "statistics-written", "statistics-released", "load-month-unattached",
    "load-copying-users", "load-rejects-copied", "load-over-older-uncommitted", "fork-parent",
)  # fmt: skip

Reference = Callable[[int], Standing]

STEPS = ["ComputeStats", "ExtractUsers", "LoadUsers", "TransformUsers"]


@pytest.fixture(scope="session")
def reference(
    stack: Stack, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Reference:
    """What an undisturbed day of so many users leaves, computed once for each number."""
    known: dict[int, Standing] = {}

    def undisturbed(users: int) -> Standing:
        if users not in known:
            folder = tmp_path_factory.mktemp("undisturbed")
            with empty_pipeline(stack, template_database, f"undisturbed_{users}", folder) as whole:
                days.use_source(whole, users)
                whole.day(DATE)
                known[users] = days.standing(whole)
        return known[users]

    return undisturbed


@pytest.fixture
def undisturbed(reference: Reference, pipeline: Pipeline) -> Reference:
    """The same inside a test, whose own settings hold again afterwards."""

    def standing(users: int) -> Standing:
        found = reference(users)
        load_config(Path(pipeline.config_path))
        return found

    return standing


def is_done_once(pipeline: Pipeline, expected: Standing, generations: int = 1) -> None:
    """Hold what stands against an undisturbed day, by content and by the pipeline's own check."""
    assert days.standing(pipeline) == expected
    assert days.left_running(pipeline) == []
    runs = pipeline.rows(
        "SELECT job, count(*) AS n FROM extraction_metadata WHERE state = 'succeeded' "
        "GROUP BY job ORDER BY job"
    )
    assert [(run.job, run.n) for run in runs] == [(step, generations) for step in STEPS]
    assert "1 date holds what the ledger says" in pipeline.run("workflow", "verify").stdout


def older_generation(pipeline: Pipeline) -> None:
    """A whole day of fewer users, none of them spoilt, that is due again."""
    days.use_source(pipeline, 60, plan="")
    pipeline.day(DATE)
    pipeline.run("workflow", "rerun", str(DATE), "--from", "ExtractUsers", "--mark-only")


def chosen(config: pytest.Config) -> list[Point]:
    return [point for point in POINTS if config.getoption("--full") or point.name in SHORT]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "point" in metafunc.fixturenames:
        points = chosen(metafunc.config)
        metafunc.parametrize("point", points, ids=[point.name for point in points])


def test_a_day_that_is_killed_is_whole_after_the_next_run(
    pipeline: Pipeline, undisturbed: Reference, point: Point
) -> None:
    expected = undisturbed(point.users)
    assert len(expected.tables["rejected_users"]) >= 7
    if point.over:
        older_generation(pipeline)
    before = days.standing(pipeline).tables
    days.use_source(pipeline, point.users)

    assert days.kill(pipeline, point) is None

    # whoever reads now sees one generation whole, or the other
    committed = point.step == LOAD and point.where in {PUBLISH, LEASE}
    orphaned = point.step == LOAD and point.victim is Victim.PARENT  # it may commit at any time
    new = [expected.tables] if committed or orphaned else []
    old = [] if committed else [before]
    whole = [*new, *old]
    assert days.standing(pipeline).tables in whole
    pipeline.day(DATE)
    is_done_once(pipeline, expected, 2 if point.over else 1)


def test_the_run_that_repairs_is_killed_too(pipeline: Pipeline, undisturbed: Reference) -> None:
    expected = undisturbed(140)
    days.use_source(pipeline, 140)
    for name in ("extract-page-without-row", "load-users-copied"):
        assert days.kill(pipeline, BY_NAME[name]) is None
    pipeline.day(DATE)
    is_done_once(pipeline, expected)


def test_the_same_step_is_killed_again_and_again(
    pipeline: Pipeline, undisturbed: Reference, full: bool
) -> None:
    """Each start dies one page further: what the one before it stored must not be lost."""
    expected = undisturbed(140)
    days.use_source(pipeline, 140)
    point = BY_NAME["extract-page"]
    for _ in range(6 if full else 2):
        assert days.kill(pipeline, point, call=1) is None
    pipeline.day(DATE)
    (run,) = pipeline.rows(
        "SELECT details FROM extraction_metadata WHERE job = 'ExtractUsers' AND state = 'succeeded'"
    )
    assert run.details["pages_resumed"] == (6 if full else 2)
    is_done_once(pipeline, expected)


def test_every_step_has_moments_and_each_has_a_name_of_its_own() -> None:
    assert {point.step for point in POINTS} == set(STEPS)
    assert len(BY_NAME) == len(POINTS) >= 25
    assert set(SHORT) <= set(BY_NAME)
