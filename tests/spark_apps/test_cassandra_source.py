"""Reading an extraction, and what counts as a document."""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cassandra.query import BatchStatement, BatchType
from pyspark.sql import DataFrame, SparkSession

from spark_apps.cassandra_source import raw_documents
from spark_apps.users import SHAPE
from tests.spark_apps.conftest import DOCUMENTS
from workflow.errors import DataError, StoreError
from workflow.spark import engine
from workflow.stores.raw_store import BUCKET_ROWS

PROJECT = Path(__file__).parents[2]
DAY = date(2026, 3, 1)
BATCH_ROWS = 1000  # a divisor of BUCKET_ROWS: a batch stays in one partition


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "invalid_json"),
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("{'a': 1}", "invalid_json"),
        ('{"a": 1} x', "invalid_json"),
        ('{"a": 1,}', "invalid_json"),
        ('{"a": 01}', "invalid_json"),
        ('{"a": "\n"}', "invalid_json"),
        ('\ufeff{"a": 1}', "invalid_json"),
        ('{"a": NaN}', "invalid_json"),
        ('{"a": -Infinity}', "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ("null", "not_an_object"),
        ('"text"', "not_an_object"),
        ("1", "not_an_object"),
        ("[{}]", "not_an_object"),
    ],
)
def test_no_document(text: str | None, error: str) -> None:
    assert DOCUMENTS.check(text) == (None, [(error, None, None)])


NUL, LONE, WRONG = "nul_character", "lone_surrogate", "wrong_structure"


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        (r'{"gender": "x\u0000y"}', [(NUL, "gender", r"x\u0000y")]),
        (r'{"gender": "\uD800\u0000"}', [(NUL, "gender", r"\ud800\u0000")]),
        (r'{"gender": "\uDFFF\uD800 😀"}', [(LONE, "gender", r"\udfff\ud800 😀")]),
        (r'{"login": {"uuid": "\u0000"}}', [(NUL, "login.uuid", r"\u0000")]),
        # what nobody publishes is no reason to lose a person
        (r'{"login": {"password": "\u0000"}, "\udc00": [["\u0000"]]}', []),
        ('{"a": 1e400, "b": -1e400, "c": ' + "9" * 5000 + "}", []),
        (r'{"a": "\u0000", "nat": "\u0000"}', [(NUL, "nat", r"\u0000")]),
        (r'{"nat": "\\u0000 \\ud800"}', []),
        ('{"gender": {}}', [(WRONG, "gender", "{}")]),
        ('{"gender": ["male", 1.50, null]}', [(WRONG, "gender", '["male", 1.50, null]')]),
        (r'{"gender": ["\u0000\ud800"]}', [(WRONG, "gender", r'["\u0000\ud800"]')]),
        ('{"gender": true}', [(WRONG, "gender", "true")]),
        ('{"gender": 1e2}', [(WRONG, "gender", "1e2")]),
        ('{"gender": ["' + "x" * 300 + '"]}', [(WRONG, "gender", '["' + "x" * 198 + "…")]),
        ('{"gender": {"Salt": "secret"}}', [(WRONG, "gender", '{"Salt": "•••"}')]),
        ('{"dob": 1103760773}', [(WRONG, "dob.date", "1103760773")]),
        ('{"login": "x"}', [(WRONG, "login.uuid", '"•••"'), (WRONG, "login.username", '"•••"')]),
        ('{"login": {"uuid": ["x"]}}', [(WRONG, "login.uuid", '["x"]')]),
        (
            r'{"picture": [], "nat": "\ud800", "location": {"street": 7}}',
            [
                (LONE, "nat", r"\ud800"),
                (WRONG, "location.street.number", "7"),
                (WRONG, "location.street.name", "7"),
                (WRONG, "picture.large", "[]"),
            ],
        ),
    ],
)
def test_unfit_leaves_are_named_and_escaped(
    text: str, errors: list[tuple[str, str | None, str | None]]
) -> None:
    canonical, found = DOCUMENTS.check(text)
    assert found == errors
    assert canonical is not None
    document = json.loads(canonical)
    for reason, field, value in errors:
        leaf = document
        for key in (field or "").split("."):
            leaf = leaf[key]
        assert leaf == (None if reason == WRONG else value)


def test_the_other_leaves_of_an_unfit_document_are_kept(
    user: Callable[..., dict[str, Any]],
) -> None:
    fit, none = DOCUMENTS.check(json.dumps(user(1)))
    unfit, errors = DOCUMENTS.check(json.dumps(user(1, {"phone": "\0"})))
    assert (fit, none) == (fit, [])
    assert unfit is not None
    assert fit is not None
    assert json.loads(unfit) == json.loads(fit) | {"phone": r"\u0000"}
    assert errors == [(NUL, "phone", r"\u0000")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('"x"', "x"),
        (r'"\ud83d\ude00 \\u0000 \\ud800"', r"😀 \u0000 \ud800"),
        (r'"\u0001\u007f\u2028"', "\u0001\u007f\u2028"),
        ("12", "12"),
        ("-0", "-0"),
        ("123.10", "123.10"),
        ("0.00001", "0.00001"),
        ("1E+22", "1E+22"),
        ("99999999999999999999999", "99999999999999999999999"),
        ("null", None),
        ('"first", "postcode": "second"', "second"),
    ],
)
def test_leaves_become_text(value: str, text: str | None) -> None:
    canonical, errors = DOCUMENTS.check(f'{{"location": {{"postcode": {value}, "x": [1, {{}}]}}}}')
    assert errors == []
    assert canonical is not None
    assert json.loads(canonical)["location"]["postcode"] == text


def test_nothing_but_the_leaves_is_kept(user: Callable[..., dict[str, Any]]) -> None:
    canonical, _ = DOCUMENTS.check(json.dumps(user(1)))
    assert canonical is not None

    def paths(node: dict[str, Any], prefix: str = "") -> set[str]:
        found: set[str] = set()
        for key, value in node.items():
            path = prefix + key
            found |= paths(value, path + ".") if isinstance(value, dict) else {path}
        return found

    assert paths(json.loads(canonical)) == set(SHAPE.leaves)
    assert "secret" not in canonical


class Extraction:
    """Rows in Cassandra, and the frame that reads them."""

    def __init__(self, keyspace: Any, documents: list[str]) -> None:
        self.keyspace = keyspace
        self.id = uuid.uuid4()
        insert = keyspace.session.prepare(
            f"INSERT INTO {keyspace.keyspace}.raw_users "
            "(extraction_date, extraction_id, bucket, position, raw_data) VALUES (?, ?, ?, ?, ?)"
        )
        for first in range(0, len(documents), BATCH_ROWS):
            batch = BatchStatement(BatchType.UNLOGGED)
            for position in range(first, min(first + BATCH_ROWS, len(documents))):
                bucket = position // BUCKET_ROWS
                batch.add(insert, (DAY, self.id, bucket, position, documents[position]))
            keyspace.session.execute(batch)

    def read(self, spark: SparkSession, **options: Any) -> DataFrame:
        read: DataFrame = raw_documents(
            spark,
            **{
                "hosts": self.keyspace.hosts,
                "port": self.keyspace.port,
                "datacenter": self.keyspace.datacenter,
                "table": f"{self.keyspace.keyspace}.raw_users",
                "extracted_by": "ExtractUsers",
                "extraction_date": DAY,
                "extraction_id": self.id,
                "shape": SHAPE,
                "bucket_rows": BUCKET_ROWS,
                "readers": 2,
                "patience": 60,
                **options,
            },
        )
        return read


def test_reads_every_bucket_once(spark: SparkSession, cassandra_keyspace: Any) -> None:
    rows = BUCKET_ROWS + 3
    extraction = Extraction(cassandra_keyspace, ['{"gender": "1"}'] * (rows - 1) + ["x"])
    table = extraction.read(spark, rows=rows).toArrow().sort_by("position")
    assert table["position"].to_pylist() == list(range(rows))
    errors = table["json_errors"].to_pylist()
    assert errors[:-1] == [None] * (rows - 1)
    assert json.loads(errors[-1]) == [{"reason": "invalid_json", "field": None, "value": None}]
    assert table["raw_data"][0].as_py() == DOCUMENTS.check('{"gender": "1"}')[0]
    assert table["raw_data"][rows - 1].as_py() is None


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (4, "lost 1 of its 4 rows and holds 0 that"),
        (2, "lost 0 of its 2 rows and holds 1 that"),
        (BUCKET_ROWS, "lost 19,997 of its 20,000 rows and holds 0 that"),
    ],
)
def test_lost_rows(spark: SparkSession, cassandra_keyspace: Any, rows: int, sentence: str) -> None:
    extraction = Extraction(cassandra_keyspace, ["{}"] * 3)
    with pytest.raises(DataError) as error, engine.failures_explained():
        extraction.read(spark, rows=rows).collect()
    assert str(error.value) == (
        f"Bucket 0 of extraction {extraction.id} of 2026-03-01 in Cassandra {sentence} "
        "do not belong there; run `workflow rerun 2026-03-01 --from ExtractUsers`."
    )


def test_cassandra_down(spark: SparkSession, cassandra_keyspace: Any) -> None:
    extraction = Extraction(cassandra_keyspace, [])
    with pytest.raises(StoreError, match="NoHostAvailable") as error, engine.failures_explained():
        extraction.read(spark, rows=3, port=1).collect()
    assert "\n" not in str(error.value)


def test_password_file_is_read_by_the_reader(
    spark: SparkSession, cassandra_keyspace: Any, tmp_path: Path
) -> None:
    extraction = Extraction(cassandra_keyspace, [])
    missing = str(tmp_path / "missing")
    with pytest.raises(StoreError, match=missing), engine.failures_explained():
        extraction.read(spark, rows=3, user="u", password_file=missing).collect()


BARE_SERVER = """
import sys
sys.modules["spark_apps"] = sys.modules["workflow"] = None  # cannot be imported here
from pysail.spark import SparkConnectServer
server = SparkConnectServer("127.0.0.1", 0)
server.start(background=True)
print(server.listening_address[1], flush=True)
sys.stdin.read()
"""


def test_programs_on_a_server_without_the_project(
    cassandra_keyspace: Any, user: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Both run as files from a foreign folder, and the source travels by value."""
    documents = [json.dumps(user(number)) for number in range(9)] + ["{}"]
    extraction = Extraction(cassandra_keyspace, documents)
    server = subprocess.Popen(
        [sys.executable, "-c", BARE_SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    try:
        assert server.stdout is not None
        remote = ["--remote", f"sc://127.0.0.1:{server.stdout.readline().strip()}"]
        where = {
            "--date": DAY.isoformat(),
            "--requested-at": "2026-11-24T01:02:03+00:00",
            "--extraction-id": str(extraction.id),
            "--rows": "10",
            "--bucket-rows": "20000",
            "--hosts": cassandra_keyspace.hosts,
            "--port": str(cassandra_keyspace.port),
            "--datacenter": cassandra_keyspace.datacenter,
            "--keyspace": cassandra_keyspace.keyspace,
            "--output": str(tmp_path / "run"),
        }
        options = [word for pair in where.items() for word in pair]
        programs = {
            "transform_users.py": options,
            "compute_statistics.py": [
                *("--input", str(tmp_path / "run")),
                *("--output", str(tmp_path / "statistics")),
            ],
        }
        for program, arguments in programs.items():
            script = str(PROJECT / "spark_apps" / program)
            subprocess.run(
                [sys.executable, script, *arguments, *remote], cwd=tmp_path, check=True, timeout=60
            )
    finally:
        server.communicate()
    (row,) = (
        row
        for row in pq.read_table(tmp_path / "statistics").to_pylist()
        if row["dimension"] == "all"
    )
    assert (row["users"], row["age_min"], row["age_max"]) == (9, 82, 82)
