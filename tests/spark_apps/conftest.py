"""Sail and Apache Spark, and documents to try them on."""

import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from luigi.configuration import get_config
from pyspark.sql import DataFrame, SparkSession

from spark_apps.cassandra_source import SCHEMA
from spark_apps.documents import Documents, errors_as_json
from spark_apps.transform_users import transform
from spark_apps.users import SHAPE
from workflow.spark import engine

DOCUMENTS = Documents(SHAPE)

#: When the API was asked, in the tests.
REQUESTED_AT = datetime(2026, 11, 24, 1, 2, 3, 456_000, UTC)

#: A user as RandomUser 1.4 sends it; born on a leap day.
USER: dict[str, Any] = {
    "gender": "female",
    "name": {"title": "Miss", "first": "هستی\u200cجان", "last": "In 't Veen "},
    "location": {
        "street": {"number": 7781, "name": "امیرکبیر "},
        "city": "Paris, Texas",
        "state": "Île-de-France",
        "country": "France",
        "postcode": 2104,
        "coordinates": {"latitude": "-6.2190", "longitude": "180.0000"},
        "timezone": {"offset": "+9:30", "description": "Adelaide, Darwin"},
    },
    "email": "hans-j..o'veen@example.com",
    "login": {
        "uuid": "00000000-0000-4000-8000-00000000AbCd",
        "username": "purplecat515",
        "password": "top-secret-password",
        "salt": "top-secret-salt",
        "md5": "top-secret-md5",
        "sha1": "top-secret-sha1",
        "sha256": "top-secret-sha256",
    },
    "dob": {"date": "1944-02-29T10:11:12.345Z", "age": 82},
    "registered": {"date": "1969-12-31T23:59:59.999Z", "age": 56},
    "phone": "Q10 X41-1188",
    "cell": "(098) G53-1234",
    "id": {"name": "PPS", "value": "top-secret-id"},
    "picture": {"large": "https://example.com/l.jpg", "medium": "m", "thumbnail": "t"},
    "nat": "FR",
}


@pytest.fixture(scope="package")
def user() -> Callable[..., dict[str, Any]]:
    """A user with a uuid of its own; `user(7, {"dob.date": …, "name.first": ...})` alters
    leaves by their path, and the value `...` takes a key out."""

    def make(number: int, changes: dict[str, Any] | None = None) -> dict[str, Any]:
        made = copy.deepcopy(USER)
        made["login"]["uuid"] = f"{number:08x}-0000-4000-8000-00000000AbCd"
        for path, value in (changes or {}).items():
            *parents, key = path.split(".")
            node = made
            for parent in parents:
                node = node[parent]
            if value is ...:
                del node[key]
            else:
                node[key] = value
        return made

    return make


#: The fixture `spark` asks for its server by name, where no hook sees it.
CONNECT = pytest.param("connect", marks=pytest.mark.services)


@pytest.fixture(scope="package", params=["sail", CONNECT])
def spark(request: pytest.FixtureRequest) -> Iterator[SparkSession]:
    """A session on Sail and one on Apache Spark, which is here the session's Connect server.

    pytest runs all tests of one before the first of the other. Client mode is the same Spark
    behind another door: test_same_rows.py takes whole days through it.
    """
    wanted = {"engine": request.param}
    if request.param == "connect":
        wanted["remote"] = request.getfixturevalue("spark_connect")
    config = get_config()
    before = {key: config.get("spark", key, "") for key in wanted}
    for key, value in wanted.items():
        config.set("spark", key, value)
    yield engine.session()
    engine.stop_session()
    for key, value in before.items():
        config.set("spark", key, value)


@pytest.fixture(scope="package")
def raw_frame(spark: SparkSession) -> Callable[[list[object]], DataFrame]:
    """The frame that the DataSource gives for these documents (text, or to become JSON)."""

    def make(documents: list[object]) -> DataFrame:
        texts = [doc if isinstance(doc, str) else json.dumps(doc) for doc in documents]
        checked = [DOCUMENTS.check(text) for text in texts]
        rows = [(n, raw, errors_as_json(errors)) for n, (raw, errors) in enumerate(checked)]
        return spark.createDataFrame(rows, SCHEMA)

    return make


@pytest.fixture(scope="package")
def transform_to(
    raw_frame: Callable[[list[object]], DataFrame],
) -> Callable[[Path, list[object], date], pa.Table]:
    """Documents through transform, Parquet and pyarrow: a table in order of position."""

    def run(path: Path, documents: list[object], partition_date: date) -> pa.Table:
        frame = transform(raw_frame(documents), partition_date, REQUESTED_AT)
        frame.write.partitionBy("outcome").parquet(str(path))
        outcome = ds.partitioning(pa.schema([("outcome", pa.string())]), flavor="hive")
        return ds.dataset(path, partitioning=outcome).to_table().sort_by("position")

    return run
