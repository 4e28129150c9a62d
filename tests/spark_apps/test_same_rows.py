"""Whole days on Sail, on Apache Spark in client mode and on a Spark Connect server.

Their raw documents hold what engines are measured to differ in. The same extractions are
transformed, computed and loaded on each engine, by Luigi's own command line.
"""

import datetime
import json
import re
import uuid
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from cassandra.cluster import Session
from pyspark.sql import SparkSession

from spark_apps.users import BLANK
from tests.conftest import Pipeline
from tests.days import VERSIONS, publish, tables
from tests.engines import (
    client_mode_works,
    engines_of,
    make_due,
    run_days,
)
from tests.spark_apps.conftest import CONNECT, DOCUMENTS
from tests.spark_apps.test_transform_users import CLEAN_CASES, REJECTED_CASES
from tests.test_raw_store import page_of
from workflow.extraction import Extraction
from workflow.ledger.details import Extracted, Extracting
from workflow.ledger.lease import Outcome, take_lease
from workflow.stores.raw_store import RawStore

ONLY_REJECTS = datetime.date(2026, 2, 26)
LOST_A_ROW = datetime.date(2026, 2, 27)
FROM_THE_STANDIN = datetime.date(2026, 2, 28)
MIXED = datetime.date(2026, 3, 1)  # from when on leap-day birthdays count
FIRST, LAST = ONLY_REJECTS, MIXED

MakeUser = Callable[..., dict[str, Any]]

#: Names and places as people, spreadsheets and attackers write them: each is a clean user.
TEXTS = [
    "Жанна", "امیر\u200cعلی", "मोहन", "ÇİĞDEM ıŞık", "Šéf ﬁ ß", "e\u0301 é", "𝔘𝔫𝔦 😀👩‍👩‍👧",
    "O''Brien", 'a "quoted" one', "a,b;c|d", "tab\there", "line\nbreak\r\n", "x\n\\.\ny", "\\N",
    "\\", "NULL", "null", "NaN", "true", "-0", "'; DROP TABLE users; --", "{}", "[]", "%s {0} $1",
    "\u0085x\u2028\u2029", "\ufeffbom", "\u202eright to left", "\u0001\u001f\u007f", "1e400",
    "x" * 200,
]  # fmt: skip

#: JSON literals of a postcode, and whether the document is fit.
LITERALS = {
    "2147483648": True, "9223372036854775808": True, "9" * 200: True, "-0": True, "-0.0": True,
    "1e2": True, "0.1": True, "123.10": True, "123456789012345678.9": True, "5e-324": True,
    "1E+22": True, "1e400": True, "-1e400": True, "0." + "1" * 150: True,
    '"\\u00e9\\ud83d\\ude00"': True, '"00501"': True, '"x", "postcode": "the last counts"': True,
    "NaN": False, "Infinity": False, "true": False, "9" * 5000: False, "012": False, "+1": False,
    "1.": False, ".5": False, "'x'": False, "[1]": False, "{}": False, '"\\ud800"': False,
    '"\\udfff\\ud800"': False, '"\\u0000"': False, '"\t"': False, '"\\x41"': False,
}  # fmt: skip


def literals(user: MakeUser, first: int) -> list[str]:
    """A user for each of LITERALS."""
    texts = []
    for number, literal in enumerate(LITERALS, start=first):
        text = json.dumps(user(number, {"location.postcode": "POSTCODE"}), ensure_ascii=False)
        texts.append(text.replace('"POSTCODE"', literal))
    return texts


def clean(user: MakeUser) -> list[str]:
    """Documents of users that break no rule."""
    changes = [case for case, _ in CLEAN_CASES]
    changes += [{"name.last": text, "location.city": text} for text in TEXTS]
    for year in range(1906, 2026):  # for the statistics: every age, both genders
        born = f"{year}-0{year % 9 + 1}-{28 + (year % 4 == 0 and year % 9 == 1)}T00:00:00.000Z"
        gender, nat = ("male", "NZ") if year % 3 else ("female", "IR")
        changes.append(
            {"dob.date": born, "registered.date": "2026-02-01T00:00:00.000Z"}
            | {"gender": gender, "nat": nat}
        )
    texts = [json.dumps(user(n, case), ensure_ascii=n % 2 == 0) for n, case in enumerate(changes)]
    fit = zip(literals(user, 10_000), LITERALS.values(), strict=True)
    return texts + [text for text, is_fit in fit if is_fit]


def rejected(user: MakeUser) -> list[str]:
    """Documents that break rules, or are none at all."""
    texts = [json.dumps(user(20_000 + n, case)) for n, (case, _) in enumerate(REJECTED_CASES)]
    unfit = zip(literals(user, 30_000), LITERALS.values(), strict=True)
    texts += [text for text, is_fit in unfit if not is_fit]
    whole = json.dumps(user(40_000))
    texts += [
        whole + " x",
        whole + whole,
        whole[:-1],
        "\ufeff" + whole,
        repr(user(40_001)),
        "",
        " ",
    ]
    texts += ["null", "1", '"text"', "[]", f"[{whole}]", "{}", '{"results": []}', '{"name": 7}']
    spoilt = {"email": "\0", "nat": "\ud800", "cell": ["x"], "phone": "", "login.salt": "\0"}
    return [*texts, json.dumps(user(40_002, spoilt)), '{"\\u0000": 1}', "[" * 100_000]


def store(session: Session, date: datetime.date, documents: list[str]) -> uuid.UUID:
    """What ExtractUsers does with documents that no API could send, inside its own lease."""
    asked = Extraction(
        url="http://127.0.0.1/api/1.4/",
        api_version="1.4",
        seed=f"batch-{date:%Y%m%d}-users",
        users_per_day=len(documents),
        page_size=len(documents),
    )
    extraction_id = uuid.uuid4()
    with (
        take_lease("ExtractUsers", date, VERSIONS) as held,
        held.attempt(
            (),
            rows_in=len(documents),
            details=Extracting(extraction_id=extraction_id, extraction=asked),
        ) as attempt,
    ):
        raw = RawStore(session, date, extraction_id)
        raw.write_page(page_of(*documents))
        manifest = raw.publish_manifest(asked, datetime.datetime.now(datetime.UTC))
        details = Extracted(
            server="", pages=1, pages_resumed=0, buckets=manifest.buckets, sha256=manifest.sha256
        )
        outcome = Outcome(rows_out=manifest.stored, bytes=manifest.bytes, details=details)
        publish(attempt, outcome)
    return extraction_id


def lose_a_row(session: Session, date: datetime.date, extraction_id: uuid.UUID) -> None:
    session.execute(
        "DELETE FROM batch_keyspace.raw_users WHERE extraction_date = %s AND extraction_id = %s "
        "AND bucket = 0 AND position = 1",
        (date, extraction_id),
    )


def test_a_day_gives_the_same_rows_on_every_engine(
    pipeline: Pipeline, cassandra: Session, user: MakeUser, spark_connect: str
) -> None:
    good, bad = clean(user), rejected(user)
    repeated = [
        good[0],
        good[1].replace("0000-4000-8000-00000000AbCd", "0000-4000-8000-00000000aBcD"),
    ]
    pipeline.set("rules", rejected_percent_max=100)
    only_bad = [text for text in bad if "1905-03-01" not in text]  # 120 until 1 March
    store(cassandra, ONLY_REJECTS, only_bad)
    lost = store(cassandra, LOST_A_ROW, good[:3])
    lose_a_row(cassandra, LOST_A_ROW, lost)
    store(cassandra, MIXED, [*good, *bad, *repeated])
    damage = f"Bucket 0 of extraction {lost} of {LOST_A_ROW} in Cassandra lost 1 of its 3 rows"

    versions = {
        "sail": version("pysail"),
        "spark": version("pyspark"),
        "connect": version("pyspark"),
    }
    held: dict[str, dict[str, list[str]]] = {}
    for engine, number in versions.items():
        if engine == "spark" and not client_mode_works():
            done = run_days(pipeline, FIRST, LAST, "--spark-engine", "spark", check=None)
            assert done.returncode != 0
            assert re.search(
                r"lacks the module jdk.incubator.vector; .*engine = connect", done.stderr
            )
            continue
        options = ["--spark-engine", engine, "--spark-remote", spark_connect]
        done = run_days(pipeline, FIRST, LAST, *options, check=None)
        assert damage in done.stderr
        assert "Traceback" not in done.stderr
        assert "WARN" not in done.stderr.replace("WARNING: Using incubator modules", "")
        assert engines_of(pipeline) == {(engine, number)}
        status = pipeline.run("workflow", "status", str(FROM_THE_STANDIN)).stdout
        assert f"engine  {engine} {number}\n" in status
        held[engine] = tables(pipeline)
        make_due(pipeline, FIRST, LAST)

    for engine, rows in held.items():
        for table, expected in held["sail"].items():
            assert rows[table] == expected, (engine, table)
    _account_for_every_document(pipeline, good, bad)


def _account_for_every_document(pipeline: Pipeline, good: list[str], bad: list[str]) -> None:
    """Equal rows may be equally wrong: hold one engine's against what the documents are."""
    counts = pipeline.rows(
        "SELECT partition_date, count(*) FILTER (WHERE clean) AS clean, "
        "count(*) FILTER (WHERE NOT clean) AS rejected FROM ("
        " SELECT partition_date, true AS clean FROM users UNION ALL"
        " SELECT partition_date, false FROM rejected_users) AS rows GROUP BY 1"
    )
    standin = next(row for row in counts if row.partition_date == FROM_THE_STANDIN)
    assert standin.clean + standin.rejected == 1000
    assert {row.partition_date: (row.clean, row.rejected) for row in counts if row != standin} == {
        ONLY_REJECTS: (0, len(bad) - 1),
        MIXED: (len(good), len(bad) + 2),
    }
    stored = pipeline.rows(
        "SELECT last_name, postcode FROM users WHERE partition_date = %s ORDER BY position", MIXED
    )
    documents = [json.loads(str(DOCUMENTS.check(text)[0])) for text in good]
    assert [(row.last_name, row.postcode) for row in stored] == [
        (document["name"]["last"].strip(BLANK), document["location"]["postcode"])
        for document in documents
    ]
    reasons = Counter(
        reason
        for row in pipeline.rows(
            "SELECT reasons FROM rejected_users WHERE partition_date = %s", ONLY_REJECTS
        )
        for reason in row.reasons
    )
    assert reasons["invalid_json"] > 15
    assert {"not_an_object", "nul_character", "lone_surrogate", "wrong_structure"} <= reasons.keys()
    everything = "".join(row for rows in tables(pipeline).values() for row in rows)
    assert "top-secret" not in everything


@pytest.mark.parametrize("spark", [CONNECT], indirect=True)
def test_the_server_of_these_tests_has_not_the_project(spark: SparkSession) -> None:
    from pyspark.sql.functions import udf

    @udf(returnType="array<string>", useArrow=False)
    def look(_: int) -> list[str]:
        import sys
        from pathlib import Path

        found = [*sys.path, *(path.name for path in Path.cwd().iterdir())]
        for name in ("spark_apps", "workflow"):
            try:
                __import__(name)
            except ImportError:
                continue
            found.append(f"{name} can be imported")
        return found

    ((found,),) = spark.range(1).select(look("id")).collect()
    assert not [entry for entry in found if "can be imported" in entry]
    assert "spark_apps" not in found
