"""Holding what a step gives against the record, or recording it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pyspark.sql import DataFrame

from tests.days import VERSIONS
from tests.golden import record

# the fixtures that are needed here, by their names
from tests.spark_apps.conftest import raw_frame, spark  # noqa: F401
from tests.test_client import api  # noqa: F401

Hold = Callable[[str, str, Sequence[Any]], str]


@pytest.fixture
def hold(pytestconfig: pytest.Config) -> Hold:
    """Holds the rows that a step made of an input (its digest) against the record.

    Gives their digest. With `--record-golden` it records what may be recorded.
    """

    def hold(step: str, given: str, rows: Sequence[Any]) -> str:
        now = record.Golden(VERSIONS[step], given, len(rows), record.digest(rows))
        recorded = record.read()
        if pytestconfig.getoption("--record-golden"):
            refusal = record.refusal(step, now, recorded.get(step))
            assert refusal is None, refusal
            record.write({**recorded, step: now})
        else:
            problem = record.problem(step, now, recorded.get(step))
            assert problem is None, problem
        return now.sha256

    return hold


def rows_of(frame: DataFrame) -> list[Any]:
    """The rows of a frame, and its columns with their types as one more."""
    return [frame.dtypes, *frame.toArrow().to_pylist()]


def clean_users(transformed: DataFrame) -> DataFrame:
    """The clean rows of TransformUsers, computed once: what ComputeStats is given."""
    clean = transformed.where("outcome = 'clean'").drop("reasons").toArrow()
    return transformed.sparkSession.createDataFrame(clean)
