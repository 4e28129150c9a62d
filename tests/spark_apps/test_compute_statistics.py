"""Statistics against plain Python, the same on every engine."""

import random
import statistics
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_apps.compute_statistics import compute

User = tuple[str, str, int | None]  # gender, nationality, age

TYPES = [
    ("dimension", "string"),
    ("member", "string"),
    ("users", "bigint"),
    ("share", "decimal(7,6)"),
    ("age_avg", "decimal(5,2)"),
    ("age_min", "smallint"),
    ("age_median", "decimal(5,2)"),
    ("age_max", "smallint"),
]


def _frame(spark: SparkSession, users: list[User]) -> DataFrame:
    return spark.createDataFrame(users, "gender string, nationality string, age smallint")


def _band(age: int | None) -> str:
    if age is None:
        return "not born"
    bands = {18: "0-17", 25: "18-24", 35: "25-34", 45: "35-44", 55: "45-54", 65: "55-64"}
    bands[75] = "65-74"
    return next((band for end, band in bands.items() if age < end), "75+")


def _round(dividend: int, divisor: int, step: str) -> Decimal:
    return (Decimal(dividend) / divisor).quantize(Decimal(step), ROUND_HALF_UP)


def _expected(users: list[User]) -> dict[tuple[str, str], tuple[Any, ...]]:
    groups: dict[tuple[str, str], list[int | None]] = defaultdict(list)
    for gender, nationality, age in users:
        members = {"all": "all", "gender": gender, "nationality": nationality}
        for member in (members | {"age_band": _band(age)}).items():
            groups[member].append(age)
    figures: dict[tuple[str, str], tuple[Any, ...]] = {}
    for member, group in groups.items():
        share = _round(len(group), len(users), "0.000001")
        ages = [age for age in group if age is not None]
        figures[member] = (len(group), share, None, None, None, None)
        if ages:
            median = Decimal(statistics.median(ages)).quantize(Decimal("0.01"))
            mean = _round(sum(ages), len(ages), "0.01")
            figures[member] = (len(group), share, mean, min(ages), median, max(ages))
    return figures


def _random_users(seed: int, count: int) -> list[User]:
    rng = random.Random(seed)
    nationalities = ("AU", "DE", "IR")
    return [
        (
            rng.choice(("female", "male")),
            rng.choice(nationalities),
            rng.choice((None, rng.randint(0, 120), rng.randint(0, 120))),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    "users",
    [
        [("male", "AU", 17)],
        [("male", "AU", 18), ("female", "DE", 25)],
        _random_users(1, 997),
        _random_users(2, 1000),
        # averages that lie on half a hundredth: 40.005 and 1.005, which engines round apart
        [("male", "AU", 40)] * 199 + [("male", "AU", 41)],
        [("female", "DE", 1)] * 199 + [("female", "DE", 2)],
        # a share that lies on half a millionth: 1 / 64
        [("male", "AU", 30)] * 63 + [("female", "AU", 30)],
        [("male", "AU", None)],
        [("male", "AU", None), ("female", "AU", 0), ("female", "DE", None), ("male", "DE", 9)],
    ],
    ids=["one", "two", "997", "1000", "tie 40.005", "tie 1.005", "tie 1/64", "unborn", "some born"],
)
def test_statistics(spark: SparkSession, users: list[User]) -> None:
    result = compute(_frame(spark, users))
    assert result.dtypes == TYPES
    rows = {(row[0], row[1]): tuple(row[2:]) for row in result.collect()}
    assert rows == _expected(users)


def test_an_empty_day_has_one_row(spark: SparkSession) -> None:
    (row,) = compute(_frame(spark, [])).collect()
    assert tuple(row) == ("all", "all", 0, None, None, None, None, None)
