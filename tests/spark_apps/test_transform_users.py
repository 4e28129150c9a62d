"""The rules and the types, the same on every engine.

Each engine is held against the same literal rows, so equality between them follows.
"""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import starmap
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spark_apps.documents import REASONS
from spark_apps.users import COLUMNS

PARTITION_DATE = date(2026, 3, 1)

#: The leaf that each reason is about.
FIELDS = {rule.reason: column.leaf for column in COLUMNS for rule in column.rules}

CLEAN = {
    "username": "purplecat515",
    "title": "Miss",
    "first_name": "هستی\u200cجان",
    "last_name": "In 't Veen",
    "gender": "female",
    "birth_date": date(1944, 2, 29),
    "age": 82,
    "email": "hans-j..o'veen@example.com",
    "phone": "Q10 X41-1188",
    "cell": "(098) G53-1234",
    "street_number": 7781,
    "street_name": "امیرکبیر",
    "city": "Paris, Texas",
    "state": "Île-de-France",
    "country": "France",
    "postcode": "2104",
    "latitude": Decimal("-6.2190"),
    "longitude": Decimal("180.0000"),
    "timezone_offset": "+09:30",
    "nationality": "FR",
    "registered_at": datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC),
    "picture_url": "https://example.com/l.jpg",
    "reasons": None,
    "outcome": "clean",
}

Clean = tuple[dict[str, Any], dict[str, Any]]
Rejected = tuple[dict[str, Any], list[tuple[str, str | None]]]


def offset(sent: str, published: str) -> Clean:
    return {"location.timezone.offset": sent}, {"timezone_offset": published}


def each(leaf: str, reason: str, *values: str) -> list[Rejected]:
    """A case for each value of a leaf, all rejected for one reason."""
    return [({leaf: value}, [(reason, value)]) for value in values]


# changes of the user, and how they change the clean row
CLEAN_CASES: list[Clean] = [
    ({}, {}),
    ({"name.first": "😀 \\ \" '", "name.last": " \ufeffx\u200cy\u2028\u200c"},
     {"first_name": "😀 \\ \" '", "last_name": "x\u200cy"}),
    ({"location.city": "Støvring\t", "nat": " FR\n", "gender": "female\u00a0",
      "login.uuid": "\u200b00000002-0000-4000-8000-00000000AbCd "}, {"city": "Støvring"}),
    ({"location.postcode": "01234"}, {"postcode": "01234"}),
    ({"location.postcode": 10**30}, {"postcode": "1" + "0" * 30}),
    ({"phone": 5551234, "cell": -0.5}, {"phone": "5551234", "cell": "-0.5"}),
    # what may be missing
    (dict.fromkeys(["name.title", "phone", "cell", "location", "registered", "picture"], None),
     dict.fromkeys(["title", "phone", "cell", "street_number", "street_name", "city", "state",
                    "country", "postcode", "latitude", "longitude", "timezone_offset",
                    "registered_at", "picture_url"])),
    ({"email": " ", "location.street.name": "\u3000", "registered.date": "",
      "location.coordinates.latitude": "\t", "picture.large": ...},
     dict.fromkeys(["email", "street_name", "registered_at", "latitude", "picture_url"])),
    ({"location.city": "x" * 200}, {"city": "x" * 200}),
    ({"email": "a@b.de\u200b"}, {"email": "a@b.de"}),
    ({"email": "a@" + "b" * 249 + ".de"}, {"email": "a@" + "b" * 249 + ".de"}),
    ({"email": "é.o'x+y@sub.münchen.de"}, {"email": "é.o'x+y@sub.münchen.de"}),
    ({"location.street.number": 0}, {"street_number": 0}),
    ({"location.street.number": "0000000012"}, {"street_number": 12}),
    ({"location.street.number": 2**31 - 1}, {"street_number": 2**31 - 1}),
    ({"location.coordinates.latitude": "-0.0000"}, {"latitude": Decimal("0.0000")}),
    ({"location.coordinates.latitude": "90"}, {"latitude": Decimal("90.0000")}),
    ({"location.coordinates.longitude": -12.5}, {"longitude": Decimal("-12.5000")}),
    ({"location.coordinates.latitude": "12.34565"}, {"latitude": Decimal("12.3457")}),
    ({"location.coordinates.latitude": "-12.34565"}, {"latitude": Decimal("-12.3457")}),
    ({"location.coordinates.latitude": "-0.00004"}, {"latitude": Decimal("0.0000")}),
    ({"location.coordinates.longitude": "179." + "9" * 30}, {"longitude": Decimal("180.0000")}),
    *starmap(offset, [
        ("0:00", "+00:00"), ("-0:00", "+00:00"), ("5:30", "+05:30"), ("+5:30", "+05:30"),
        ("+05:30", "+05:30"), ("-3:30", "-03:30"), ("-0:30", "-00:30"), ("14:00", "+14:00"),
        ("-12:00", "-12:00")]),
    # born and registered after the day, before the API was asked
    ({"dob.date": "2026-03-02T00:00:00Z", "registered.date": "2026-11-24T01:02:03.456Z"},
     {"birth_date": date(2026, 3, 2), "age": None,
      "registered_at": datetime(2026, 11, 24, 1, 2, 3, 456_000, UTC)}),
    ({"dob.date": "2026-11-24T23:59:59Z", "registered.date": None},
     {"birth_date": date(2026, 11, 24), "age": None, "registered_at": None}),
    ({"dob.date": "1944-02-29T10:11:12.345Z", "registered.date": "1944-02-29T10:11:12.345Z"},
     {"registered_at": datetime(1944, 2, 29, 10, 11, 12, 345_000, UTC)}),
    ({"dob.date": "2026-03-01T00:00:00Z", "registered.date": "2026-03-01T00:00:00Z"},
     {"birth_date": date(2026, 3, 1), "age": 0,
      "registered_at": datetime(2026, 3, 1, tzinfo=UTC)}),
    ({"dob.date": "1905-03-02T23:59:59.999Z"}, {"birth_date": date(1905, 3, 2), "age": 120}),
    ({"dob.date": "2000-03-02T00:00:00.000Z", "registered.date": "2026-11-23T23:59:59.001Z"},
     {"birth_date": date(2000, 3, 2), "age": 25,
      "registered_at": datetime(2026, 11, 23, 23, 59, 59, 1000, UTC)}),
    ({"id": ...}, {}),
    ({"login.password": ...}, {}),
]  # fmt: skip

# changes of the user, and the reasons with the values that they give
REJECTED_CASES: list[Rejected] = [
    ({"login.uuid": "12345678-1234-1234-1234-1234567890a"},
     [("user_id_invalid", "12345678-1234-1234-1234-1234567890a")]),
    ({"login.uuid": "12345678-1234-1234-1234-1234567890ab\nx"},
     [("user_id_invalid", "12345678-1234-1234-1234-1234567890ab\nx")]),
    ({"login.uuid": "{12345678-1234-1234-1234-1234567890ab}"},
     [("user_id_invalid", "{12345678-1234-1234-1234-1234567890ab}")]),
    ({"login.uuid": None}, [("user_id_invalid", None)]),
    ({"login": None}, [("user_id_invalid", None), ("username_missing", None)]),
    ({"login.username": ...}, [("username_missing", None)]),
    ({"name.title": "x" * 201}, [("title_too_long", "x" * 200 + "…")]),
    ({"name.first": " \t\u00a0\u200c\u2003"}, [("first_name_missing", " \t\u00a0\u200c\u2003")]),
    ({"name": ...},
     [("first_name_missing", None), ("last_name_missing", None)]),
    ({"gender": "Female"}, [("gender_unknown", "Female")]),
    ({"dob.date": "2001-02-29T00:00:00.000Z"},
     [("birth_date_invalid", "2001-02-29T00:00:00.000Z")]),
    ({"dob.date": "1980-06-31T00:00:00.000Z"},
     [("birth_date_invalid", "1980-06-31T00:00:00.000Z")]),
    ({"dob.date": "1980-1-3T00:00:00.000Z"}, [("birth_date_invalid", "1980-1-3T00:00:00.000Z")]),
    ({"dob.date": "2099-1-3T00:00:00.000Z"}, [("birth_date_invalid", "2099-1-3T00:00:00.000Z")]),
    ({"dob.date": "1980-01-03"}, [("birth_date_invalid", "1980-01-03")]),
    ({"dob.date": "1980-01-03 00:00:00"}, [("birth_date_invalid", "1980-01-03 00:00:00")]),
    ({"dob.date": "1980-01-03T24:00:00.000Z"},
     [("birth_date_invalid", "1980-01-03T24:00:00.000Z")]),
    ({"dob.date": "1980-01-03T00:00:00.000Z\nx"},
     [("birth_date_invalid", "1980-01-03T00:00:00.000Z\nx")]),
    ({"dob.date": "٢٠٠٠-01-03T00:00:00.000Z"},
     [("birth_date_invalid", "٢٠٠٠-01-03T00:00:00.000Z")]),
    ({"dob.date": "9999-12-31T00:00:00Z", "registered.date": None},
     [("birth_date_in_future", "9999-12-31T00:00:00Z")]),
    ({"registered.date": "9999-12-31T23:59:59.999Z"},
     [("registered_in_future", "9999-12-31T23:59:59.999Z")]),
    ({"dob.date": "1905-03-01T00:00:00.000Z"}, [("age_over_120", "1905-03-01T00:00:00.000Z")]),
    ({"dob.date": "0000-01-01T00:00:00.000Z"}, [("age_over_120", "0000-01-01T00:00:00.000Z")]),
    ({"email": "nobody"}, [("email_invalid", "nobody")]),
    ({"email": "a@b@c"}, [("email_invalid", "a@b@c")]),
    ({"email": "@example.com"}, [("email_invalid", "@example.com")]),
    ({"email": "a b@example.com"}, [("email_invalid", "a b@example.com")]),
    *each("email", "email_invalid",
        "a@b", "<a@b.de>", "a@b.d", "a@b.1x", "a@b..de", "a@.de", "a@b.de, c@d.de", "a\u200b@b.de",
        "a@b.de\nx", "a@\x1bb.de"),
    ({"email": "a@" + "b" * 250 + ".de"}, [("email_too_long", "a@" + "b" * 198 + "…")]),
    *each("email", "email_invalid", "x" * 65 + "@b.de", "a@-b.de", "a@b-.de", "a@b.de-",
          "'a@b.de'"),
    ({"email": "a@" + "b." * 2_000 + "de"}, [("email_too_long", "a@" + "b." * 99 + "…")]),
    ({"login.username": "x" * 201, "name.first": "x" * 201, "name.last": "x" * 201,
      "phone": "x" * 201, "cell": "x" * 201, "location.street.name": "x" * 201,
      "location.city": "x" * 201, "location.state": "x" * 201, "location.country": "x" * 201,
      "location.postcode": "x" * 201},
     [(f"{name}_too_long", "x" * 200 + "…") for name in (
         "username", "first_name", "last_name", "phone", "cell", "street_name", "city", "state",
         "country", "postcode")]),
    ({"location.street.number": 2**31}, [("street_number_invalid", "2147483648")]),
    ({"location.street.number": 99999999999}, [("street_number_invalid", "99999999999")]),
    ({"location.street.number": 10**30}, [("street_number_invalid", "1" + "0" * 30)]),
    ({"location.street.number": -1}, [("street_number_invalid", "-1")]),
    ({"location.street.number": 1.0}, [("street_number_invalid", "1.0")]),
    ({"location.street.number": "12\nx"}, [("street_number_invalid", "12\nx")]),
    ({"location.coordinates.latitude": "90.000000000000000000001"},
     [("latitude_invalid", "90.000000000000000000001")]),
    ({"location.coordinates.latitude": "1." + "2" * 31}, [("latitude_invalid", "1." + "2" * 31)]),
    ({"location.coordinates.latitude": "90.0001"}, [("latitude_invalid", "90.0001")]),
    ({"location.coordinates.latitude": "1e1"}, [("latitude_invalid", "1e1")]),
    ({"location.coordinates.latitude": "NaN"}, [("latitude_invalid", "NaN")]),
    ({"location.coordinates.longitude": "-180.0001"}, [("longitude_invalid", "-180.0001")]),
    ({"location.coordinates.longitude": "1000"}, [("longitude_invalid", "1000")]),
    *each("location.timezone.offset", "timezone_offset_invalid",
        "UTC", "+99:99", "14:01", "+15:00", "-12:30", "-13:00", "5:60", "005:30", "5:3"),
    ({"nat": "LEGO"}, [("nationality_invalid", "LEGO")]),
    ({"nat": "ÄÖ"}, [("nationality_invalid", "ÄÖ")]),
    ({"nat": "ZZ"}, [("nationality_invalid", "ZZ")]),
    ({"nat": "fr"}, [("nationality_invalid", "fr")]),
    ({"registered.date": "2002-02-30T00:00:00.000Z"},
     [("registered_at_invalid", "2002-02-30T00:00:00.000Z")]),
    ({"registered.date": "1944-02-29T10:11:12.344Z"},
     [("registered_before_birth", "1944-02-29T10:11:12.344Z")]),
    *each("picture.large", "picture_url_invalid",
        "javascript:alert(1)", "http://", "https://e.x/a b", "https://e.x/<b>", "//e.x/a"),
    ({"picture.large": "http://x/" + "y" * 2040},
     [("picture_url_too_long", "http://x/" + "y" * 191 + "…")]),
    ({"nat": None, "email": "x", "gender": None, "login.uuid": "X"},
     [("user_id_invalid", "X"), ("gender_unknown", None), ("email_invalid", "x"),
      ("nationality_invalid", None)]),
]  # fmt: skip

# just after REQUESTED_AT
TOO_LATE: list[Rejected] = [
    ({"dob.date": "2026-11-25T00:00:00Z", "registered.date": None},
     [("birth_date_in_future", "2026-11-25T00:00:00Z")]),
    ({"registered.date": "2026-11-24T01:02:03.457Z"},
     [("registered_in_future", "2026-11-24T01:02:03.457Z")]),
]  # fmt: skip
REJECTED = [*REJECTED_CASES, *TOO_LATE]

# documents that are none: their one reason
NO_DOCUMENTS = {"{'a': 1}": "invalid_json", "[]": "not_an_object"}

# changes of the user that make its document unfit: reasons, fields, values
UNFIT_CASES: list[tuple[dict[str, Any], list[tuple[str, str | None, str | None]]]] = [
    ({"name.first": "a\0"}, [("nul_character", "name.first", r"a\u0000")]),
    ({"login.uuid": "\ud800"}, [("lone_surrogate", "login.uuid", r"\ud800")]),
    ({"email": "\0", "nat": "\ud800", "cell": ["x"], "gender": "x", "phone": ""},
     [("nul_character", "email", r"\u0000"), ("wrong_structure", "cell", '["x"]'),
      ("lone_surrogate", "nat", r"\ud800"), ("gender_unknown", "gender", "x")]),
    ({"login": "top-secret"},
     [("wrong_structure", "login.uuid", '"•••"'), ("wrong_structure", "login.username", '"•••"')]),
    ({"registered.date": {"md5": "top-secret"}, "dob.date": None},
     [("wrong_structure", "registered.date", '{"md5": "•••"}'),
      ("birth_date_invalid", "dob.date", None)]),
    ({"location.city": True, "name.first": 17, "dob.date": 1103760773},
     [("wrong_structure", "name.first", "17"), ("wrong_structure", "location.city", "true"),
      ("wrong_structure", "dob.date", "1103760773")]),
]  # fmt: skip

FIRST_REJECTED = len(CLEAN_CASES)
FIRST_UNFIT = FIRST_REJECTED + len(REJECTED)
FIRST_NO_DOCUMENT = FIRST_UNFIT + len(UNFIT_CASES)


def _user_id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-00000000abcd"


@pytest.fixture(scope="module")
def rows(
    transform_to: Callable[[Path, list[object], date], pa.Table],
    user: Callable[..., dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[dict[str, Any]]:
    changes = [case for case, _ in CLEAN_CASES] + [case for case, _ in REJECTED]
    changes += [case for case, _ in UNFIT_CASES]
    documents: list[object] = [user(number, change) for number, change in enumerate(changes)]
    documents += NO_DOCUMENTS
    path = tmp_path_factory.mktemp("transform") / "run"
    table = transform_to(path, documents, PARTITION_DATE)
    assert table.num_rows == len(documents)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


@pytest.mark.parametrize("number", range(len(CLEAN_CASES)))
def test_clean(rows: list[dict[str, Any]], number: int) -> None:
    expected = {"position": number, "user_id": _user_id(number)} | CLEAN | CLEAN_CASES[number][1]
    assert rows[number] == expected


@pytest.mark.parametrize("number", range(len(REJECTED)))
def test_rejected(rows: list[dict[str, Any]], number: int) -> None:
    change, reasons = REJECTED[number]
    position = FIRST_REJECTED + number
    has_id = "user_id_invalid" not in dict(reasons)
    assert rows[position] == dict.fromkeys(CLEAN) | {
        "position": position,
        "user_id": _user_id(position) if has_id else None,
        "outcome": "rejected",
        "reasons": [
            {"reason": reason, "field": FIELDS[reason], "value": value} for reason, value in reasons
        ],
    }, change


@pytest.mark.parametrize("number", range(len(UNFIT_CASES)))
def test_unfit_document_has_all_its_reasons(rows: list[dict[str, Any]], number: int) -> None:
    change, reasons = UNFIT_CASES[number]
    position = FIRST_UNFIT + number
    has_id = "login.uuid" not in {field for _, field, _ in reasons}
    assert rows[position] == dict.fromkeys(CLEAN) | {
        "position": position,
        "user_id": _user_id(position) if has_id else None,
        "outcome": "rejected",
        "reasons": [
            {"reason": reason, "field": field, "value": value} for reason, field, value in reasons
        ],
    }, change


@pytest.mark.parametrize("number", range(len(NO_DOCUMENTS)))
def test_no_document_has_one_reason(rows: list[dict[str, Any]], number: int) -> None:
    position = FIRST_NO_DOCUMENT + number
    reason = list(NO_DOCUMENTS.values())[number]
    assert rows[position] == dict.fromkeys(CLEAN) | {
        "position": position,
        "user_id": None,
        "outcome": "rejected",
        "reasons": [{"reason": reason, "field": None, "value": None}],
    }


def test_every_rule_is_broken_once(rows: list[dict[str, Any]]) -> None:
    broken = {reason["reason"] for row in rows for reason in row["reasons"] or []}
    unfit = {reason for _, reasons in UNFIT_CASES for reason, _, _ in reasons}
    assert broken == FIELDS.keys() | unfit | set(NO_DOCUMENTS.values())
    not_stored = {"document_too_large", "document_too_deep", "document_not_utf8"}
    assert (unfit - FIELDS.keys()) | set(NO_DOCUMENTS.values()) | not_stored == REASONS.keys()


def test_no_secret_leaves_the_raw_store(rows: list[dict[str, Any]]) -> None:
    assert "secret" not in json.dumps(rows, default=str)


def test_the_first_clean_copy_of_a_user_stays(
    transform_to: Callable[[Path, list[object], date], pa.Table],
    user: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    upper, lower = _user_id(1).upper(), _user_id(1)
    documents: list[object] = [
        user(1, {"email": "broken", "login.uuid": upper}),
        user(1, {"login.uuid": lower}),
        user(2),
        user(2, {"email": "broken", "name.first": "a\0"}),
        user(1, {"login.uuid": upper, "name.first": "Other"}),
        user(0, {"login.uuid": "X"}),  # no user: never a repeated one
        user(0, {"login.uuid": "X"}),
        "{",
        "{",
    ]
    rows = transform_to(tmp_path / "run", documents, PARTITION_DATE).to_pylist()
    reasons = [[(r["reason"], r["value"]) for r in row["reasons"] or []] for row in rows]
    assert reasons == [
        [("email_invalid", "broken")],
        [],
        [],
        [("nul_character", r"a\u0000"), ("email_invalid", "broken")],
        [("duplicate_user_id", upper)],
        [("user_id_invalid", "X")],
        [("user_id_invalid", "X")],
        [("invalid_json", None)],
        [("invalid_json", None)],
    ]
    two = _user_id(2)
    assert [row["user_id"] for row in rows] == [lower, lower, two, two, lower, *[None] * 4]
    assert [row["username"] is None for row in rows] == [n not in {1, 2} for n in range(len(rows))]


@pytest.mark.parametrize(
    ("partition_date", "age"),
    [
        (date(2026, 2, 28), 81),
        (date(2026, 3, 1), 82),
        (date(2028, 2, 28), 83),
        (date(2028, 2, 29), 84),
    ],
)
def test_age_of_a_leap_day_birthday(
    transform_to: Callable[[Path, list[object], date], pa.Table],
    user: Callable[..., dict[str, Any]],
    tmp_path: Path,
    partition_date: date,
    age: int,
) -> None:
    table = transform_to(tmp_path / "run", [user(1)], partition_date)
    assert table["age"].to_pylist() == [age]


REASON = pa.struct([("reason", pa.string()), ("field", pa.string()), ("value", pa.string())])
TYPES = {
    "position": pa.int32(),
    "birth_date": pa.date32(),
    "age": pa.int16(),
    "street_number": pa.int32(),
    "latitude": pa.decimal128(7, 4),
    "longitude": pa.decimal128(7, 4),
    "registered_at": pa.timestamp("us", "UTC"),
}


@pytest.mark.parametrize(("change", "outcome"), [({}, "clean"), ({"nat": ""}, "rejected")])
def test_types_of_a_day_with_one_outcome(
    transform_to: Callable[[Path, list[object], date], pa.Table],
    user: Callable[..., dict[str, Any]],
    tmp_path: Path,
    change: dict[str, Any],
    outcome: str,
) -> None:
    table = transform_to(tmp_path / "run", [user(1, change), user(2, change)], PARTITION_DATE)
    assert [path.name for path in (tmp_path / "run").glob("outcome=*")] == [f"outcome={outcome}"]
    assert table.column_names == ["position", "user_id", *CLEAN]
    for name, kind in zip(table.schema.names, table.schema.types, strict=True):
        if name == "reasons":
            assert kind.value_type == REASON
        else:
            assert kind == TYPES.get(name, pa.string()), name
