"""Days in PostgreSQL: replaced as a whole, exact to the character."""

import datetime
import decimal
import threading
import uuid
from collections.abc import Iterator

import pyarrow as pa
import pytest

from tests.conftest import Pipeline
from workflow.errors import StoreError
from workflow.stores import warehouse
from workflow.stores.postgres import connect, transaction

DATE = datetime.date(2026, 11, 20)


def user(position: int, **values: object) -> dict[str, object]:
    """A user as TransformUsers writes one, types included."""
    row: dict[str, object] = dict.fromkeys(warehouse.USER_COLUMNS, "text")
    row |= {
        "user_id": str(uuid.UUID(int=position)),
        "birth_date": datetime.date(1988, 2, 29),
        "age": 38,
        "street_number": 7,
        "latitude": decimal.Decimal("-12.3456"),
        "longitude": decimal.Decimal("179.9000"),
        "nationality": "IR",
        "registered_at": datetime.datetime(2020, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.UTC),
        "position": position,
    }
    return row | values


def users(*rows: dict[str, object]) -> Iterator[pa.RecordBatch]:
    fields = {
        "birth_date": pa.date32(),
        "age": pa.int16(),
        "street_number": pa.int32(),
        "latitude": pa.decimal128(7, 4),
        "longitude": pa.decimal128(7, 4),
        "registered_at": pa.timestamp("us", tz="UTC"),
        "position": pa.int32(),
    }
    schema = pa.schema([(c, fields.get(c, pa.string())) for c in warehouse.USER_COLUMNS])
    yield pa.RecordBatch.from_pylist(list(rows), schema=schema)


def rejects(*rows: dict[str, object]) -> Iterator[pa.RecordBatch]:
    yield pa.RecordBatch.from_pylist(list(rows)) if rows else pa.RecordBatch.from_pylist([])


def load(
    *rows: dict[str, object],
    date: datetime.date = DATE,
    rejected: tuple[dict[str, object], ...] = (),
) -> dict[str, object]:
    warehouse.ensure_month(date)
    with connect("test") as connection, transaction(connection) as cursor:
        return warehouse.replace_day(cursor, date, (users(*rows), rejects(*rejected), iter(())))


def test_values_arrive_exactly(pipeline: Pipeline) -> None:
    odd = "a\"b,c\\d\n\te\u200cf é, 'x' "
    load(user(0, first_name=odd, last_name="", street_name="\\N", city="\\."), user(1, city="NULL"))
    first, second = pipeline.rows("SELECT * FROM users ORDER BY position")
    assert first.partition_date == DATE
    assert first.user_id == str(uuid.UUID(int=0)) or first.user_id == uuid.UUID(int=0)
    assert (first.first_name, first.last_name) == (odd, "")
    assert (first.street_name, first.city) == ("\\N", "\\.")
    assert first.birth_date == datetime.date(1988, 2, 29)
    assert (first.latitude, first.longitude) == (
        decimal.Decimal("-12.3456"),
        decimal.Decimal("179.9000"),
    )
    assert first.registered_at == datetime.datetime(
        2020, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.UTC
    )
    assert second.city == "NULL"


def test_a_day_is_replaced_and_the_others_stay(pipeline: Pipeline) -> None:
    other = datetime.date(2026, 12, 1)
    load(user(0), user(1))
    load(user(0), date=other)
    before = warehouse.fingerprint(other)
    held = load(user(5))
    assert (held["users"], held["rejected_users"]) == (1, 0)
    assert held == warehouse.fingerprint(DATE)
    assert warehouse.fingerprint(other) == before


def test_a_changed_character_changes_the_fingerprint(pipeline: Pipeline) -> None:
    first = load(user(0), user(1))
    assert load(user(1), user(0)) == first
    assert load(user(0), user(1, city="texT"))["users_digest"] != first["users_digest"]


def test_rejects_keep_their_reasons_and_values(pipeline: Pipeline) -> None:
    load(
        rejected=(
            {
                "position": 3,
                "user_id": None,
                "reasons": [
                    {"reason": "gender_unknown", "field": "gender", "value": 'x"\u200c'},
                    {"reason": "city_missing", "field": "city", "value": None},
                    {"reason": "nul_character", "field": "email", "value": r"\u0000"},
                    {"reason": "nul_character", "field": "nat", "value": r"\u0000"},
                    {"reason": "nul_character", "field": None, "value": None},
                ],
            },
        )
    )
    (row,) = pipeline.rows("SELECT * FROM rejected_users")
    assert (row.position, row.user_id) == (3, None)
    assert row.reasons == ["gender_unknown", "city_missing", "nul_character"]
    nul = r"\u0000"  # six characters
    assert row.offending == {"gender": 'x"\u200c', "city": None, "email": nul, "nat": nul}


def test_a_load_that_fails_leaves_the_day_as_it_was(pipeline: Pipeline) -> None:
    before = load(user(0), user(1))
    with pytest.raises(StoreError, match="duplicate key"):
        load(user(2), user(2))
    assert warehouse.fingerprint(DATE) == before


def test_months_are_made_once_also_by_many_at_a_time(pipeline: Pipeline) -> None:
    errors: list[BaseException] = []

    def make() -> None:
        try:
            warehouse.ensure_month(DATE)
        except BaseException as exc:  # whatever it is, the test shows it
            errors.append(exc)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    parts = pipeline.rows("SELECT inhrelid::regclass::text AS name FROM pg_inherits "
                          "WHERE inhparent = 'users'::regclass")  # fmt: skip
    assert [part.name for part in parts] == ["users_2026_11"]


def test_a_month_is_made_beside_an_open_reader(pipeline: Pipeline) -> None:
    load(user(0))
    with connect("reader") as reader, transaction(reader) as cursor:
        cursor.execute("SELECT count(*) FROM users")
        load(user(0), date=datetime.date(2027, 1, 31))


def test_two_loads_of_one_month_and_different_days_run_in_parallel(pipeline: Pipeline) -> None:
    warehouse.ensure_month(DATE)
    other = DATE + datetime.timedelta(days=1)
    with connect("first") as connection, transaction(connection) as cursor:
        warehouse.replace_day(cursor, DATE, (users(user(0)), rejects(), iter(())))
        load(user(1), date=other)
    assert len(pipeline.rows("SELECT * FROM users")) == 2
