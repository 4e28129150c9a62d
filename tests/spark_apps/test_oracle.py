"""The apps against a reading of the same documents from docs/data.md alone, on every engine."""

from collections.abc import Callable

from pyspark.sql import DataFrame, SparkSession

from spark_apps.compute_statistics import compute
from spark_apps.transform_users import transform
from spark_apps.users import COLUMNS
from tests import oracle
from tests.golden.documents import DATE, REQUESTED_AT, documents


def test_the_page_and_the_code_give_the_same_rows(
    raw_frame: Callable[[list[str]], DataFrame], spark: SparkSession
) -> None:
    # the last is nested deeper than anything that is stored, and has no row of its own here
    texts = [text for text in documents() if len(text.encode()) <= 8_192]
    users, rejects = oracle.read_day([text.encode() for text in texts], DATE, REQUESTED_AT)
    rows = transform(raw_frame(texts), DATE, REQUESTED_AT).toArrow()
    rows = rows.sort_by("position")

    names = ["position", *(column.name for column in COLUMNS)]
    found = [row for row in rows.to_pylist() if row["outcome"] == "clean"]
    assert len(found) + len(rejects) == len(texts) > 2_000
    for row, user in zip(found, users, strict=True):
        assert {name: row[name] for name in names} == user | {"user_id": str(user["user_id"])}

    found = [row for row in rows.to_pylist() if row["outcome"] == "rejected"]
    for row, reject in zip(found, rejects, strict=True):
        reasons = [reason["reason"] for reason in row["reasons"]]
        sent = {one["field"]: one["value"] for one in row["reasons"] if one["field"]}
        key = str(reject["user_id"]) if reject["user_id"] else None
        assert (row["position"], row["user_id"]) == (reject["position"], key)
        assert (list(dict.fromkeys(reasons)), sent) == (reject["reasons"], reject["offending"])

    clean = spark.createDataFrame(rows.drop(["reasons"]))
    statistics = compute(clean.where("outcome = 'clean'")).toArrow().to_pylist()
    figures = {(row["dimension"], row["member"]): tuple(row.values())[2:] for row in statistics}
    assert figures == oracle.statistics(users)
