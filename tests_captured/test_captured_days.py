"""Days of captured answers through all engines, held against Python's own reading of them."""

import datetime
import json
import re
import uuid
from collections import Counter
from decimal import Decimal
from typing import Any

from tests.conftest import Pipeline
from tests.days import tables
from tests.engines import client_mode_works, engines_of, make_due, run_days
from tests.test_client import Answer, Api, Asked, page_of
from tests_captured.conftest import Captured

FIRST = datetime.date(2026, 11, 20)
ENGINES = ("sail", "spark", "connect")


def replay(captured: list[Captured], asked: Asked) -> Answer:
    """The captured users of a date, untouched, under the `info` that was asked for."""
    found = re.fullmatch(r"batch-(\d{8})-users", asked.seed)
    assert found is not None
    day = datetime.datetime.strptime(found.group(1), "%Y%m%d").replace(tzinfo=datetime.UTC).date()
    info = json.dumps(page_of(asked)["info"])
    results = ",".join(captured[(day - FIRST).days].texts)
    return Answer(body=f'{{"results":[{results}],"info":{info}}}'.encode())


def age(born: datetime.date, day: datetime.date) -> int:
    """Full years; a 29 February counts from 1 March."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def instant(text: str) -> datetime.datetime:
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")


def offset(text: str) -> str:
    """-3:30 as -03:30, 5:00 as +05:00."""
    hours, minutes = text.lstrip("+-").split(":")
    return f"{'-' if text.startswith('-') else '+'}{hours:0>2}:{minutes}"


def expected(user: dict[str, Any], day: datetime.date, position: int) -> dict[str, Any]:
    """A row of `users`, made from the document by Python alone."""
    location, login = user["location"], user["login"]
    born = instant(user["dob"]["date"]).date()
    row = {
        "partition_date": day,
        "user_id": uuid.UUID(login["uuid"]),
        "username": login["username"],
        "title": user["name"]["title"],
        "first_name": user["name"]["first"],
        "last_name": user["name"]["last"],
        "gender": user["gender"],
        "birth_date": born,
        "age": age(born, day),
        "email": user["email"],
        "phone": user["phone"],
        "cell": user["cell"],
        "street_number": location["street"]["number"],
        "street_name": location["street"]["name"],
        "city": location["city"],
        "state": location["state"],
        "country": location["country"],
        "postcode": str(location["postcode"]),
        "latitude": Decimal(location["coordinates"]["latitude"]),
        "longitude": Decimal(location["coordinates"]["longitude"]),
        "timezone_offset": offset(location["timezone"]["offset"]),
        "nationality": user["nat"],
        "registered_at": instant(user["registered"]["date"]),
        "picture_url": user["picture"]["large"],
        "position": position,
    }
    return {name: value.strip() if isinstance(value, str) else value for name, value in row.items()}


def test_captured_days_on_every_engine(
    pipeline: Pipeline, api: Api, captured: list[Captured], spark_connect: str
) -> None:
    assert [len(answer.users) for answer in captured] == [1000] * 3
    last = FIRST + datetime.timedelta(days=len(captured) - 1)
    api.script = [lambda asked: replay(captured, asked)] * len(captured)
    pipeline.set("source", url=api.url)
    pipeline.set("rules", rejected_percent_max=2)

    held: dict[str, dict[str, list[str]]] = {}
    for engine in ENGINES:
        if engine == "spark" and not client_mode_works():
            print("Apache Spark runs through connect only: this Java lacks jdk.incubator.vector")
            continue
        if held:
            make_due(pipeline, FIRST, last)
        run_days(pipeline, FIRST, last, "--spark-engine", engine, "--spark-remote", spark_connect)
        assert {name for name, _ in engines_of(pipeline)} == {engine}
        held[engine] = tables(pipeline)
    for engine, rows in held.items():
        for table, others in held["sail"].items():
            assert rows[table] == others, (engine, table)

    for number, answer in enumerate(captured):
        _hold_against(pipeline, FIRST + datetime.timedelta(days=number), answer)
    _hold_no_secret(pipeline, captured)
    pipeline.run("workflow", "verify")


def _hold_against(pipeline: Pipeline, day: datetime.date, answer: Captured) -> None:
    rows = pipeline.rows("SELECT * FROM users WHERE partition_date = %s ORDER BY position", day)
    rejects = pipeline.rows(
        "SELECT * FROM rejected_users WHERE partition_date = %s ORDER BY position", day
    )
    positions = Counter(row.position for row in [*rows, *rejects])
    assert positions == Counter(range(len(answer.users)))
    for row in rows:
        assert row._asdict() == expected(answer.users[row.position], day, row.position)
    print(f"{day} {answer.file}: {len(rows):,} users, {len(rejects):,} rejected")
    for reject in rejects:
        print(f"    {reject.position:4} {reject.reasons} {reject.offending}")
    assert not rejects, "hold each reason against its document here before it may be a reject"
    statistics = pipeline.rows(
        "SELECT * FROM user_statistics WHERE stat_date = %s AND dimension = 'all'", day
    )
    ages = sorted(row.age for row in rows)
    middle = (ages[(len(ages) - 1) // 2] + ages[len(ages) // 2]) / 2
    (all_users,) = statistics
    assert (all_users.users, all_users.age_min, all_users.age_max) == (
        len(ages), ages[0], ages[-1],
    )  # fmt: skip
    assert all_users.age_median == Decimal(middle)
    assert float(all_users.age_avg) == round(sum(ages) / len(ages), 2)


def _hold_no_secret(pipeline: Pipeline, captured: list[Captured]) -> None:
    """No cell of any table holds anybody's salt, hash or national id, or is a password.

    Short passwords are left out: 8989 is also a house number, and `female` a gender.
    """
    cells: set[str] = set()
    names = pipeline.rows(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') "
        "AND relnamespace = 'public'::regnamespace AND NOT relispartition"
    )
    for (table,) in names:
        for row in pipeline.rows(f"SELECT * FROM {table}"):
            cells |= {str(value) for value in row}
    everything = "\n".join(cells)
    for user in (user for answer in captured for user in answer.users):
        login = user["login"]
        for secret in (login["md5"], login["sha1"], login["sha256"], user["id"]["value"]):
            assert secret is None or secret not in everything
        assert login["salt"] not in everything
        assert len(login["password"]) < 8 or login["password"] not in cells
