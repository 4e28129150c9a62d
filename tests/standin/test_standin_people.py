"""The users themselves: shape, types, formats and the API's quirks at about its rates.

The bounds are for one fixed page, so they hold or fail for good.
"""

import datetime
import hashlib
import json
import re
from collections import Counter
from typing import Any

import pytest

from tests.standin.conftest import Standin
from workflow.standin.people import users
from workflow.standin.pools import folks

User = dict[str, Any]

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ID_NAMES = dict(
    pair.split(":")
    for pair in (
        *("AU:TFN", "BR:CPF", "CA:SIN", "CH:AVS", "DE:SVNR", "DK:CPR", "ES:DNI", "FI:HETU"),
        *("FR:INSEE", "GB:NINO", "IE:PPS", "IN:UIDAI", "IR:", "MX:NSS", "NL:BSN", "NO:FN"),
        *("NZ:", "RS:SID", "TR:", "UA:", "US:SSN"),
    )
)
SHAPE = {
    "gender": str,
    "name": {"title": str, "first": str, "last": str},
    "location": {
        "street": {"number": int, "name": str},
        "city": str,
        "state": str,
        "country": str,
        "postcode": (int, str),
        "coordinates": {"latitude": str, "longitude": str},
        "timezone": {"offset": str, "description": str},
    },
    "email": str,
    "login": dict.fromkeys(("uuid", "username", "password", "salt", "md5", "sha1", "sha256"), str),
    "dob": {"date": str, "age": int},
    "registered": {"date": str, "age": int},
    "phone": str,
    "cell": str,
    "id": {"name": str, "value": (str, type(None))},
    "picture": {"large": str, "medium": str, "thumbnail": str},
    "nat": str,
}


def assert_shape(value: object, shape: Any) -> None:
    """The same keys in the same order, with values of these types."""
    if isinstance(shape, dict):
        assert isinstance(value, dict)
        assert list(value) == list(shape)
        for key, inner in shape.items():
            assert_shape(value[key], inner)
    else:
        assert isinstance(value, shape)


def of(people: list[User], *nats: str) -> list[User]:
    """The people of these nationalities."""
    return [user for user in people if user["nat"] in nats]


def share(people: list[User], condition: Any) -> float:
    """The share of people for whom the condition holds."""
    return sum(map(bool, map(condition, people))) / len(people)


def test_shape_order_and_types(people: list[User]) -> None:
    for user in people:
        assert_shape(user, SHAPE)


def test_every_value_makes_sense(people: list[User]) -> None:
    for user in people:
        place, login = user["location"], user["login"]
        assert user["name"]["first"].strip()
        assert user["name"]["last"].strip()
        assert 1 <= place["street"]["number"] <= 9999
        assert all((place["street"]["name"].strip(), place["city"], place["state"]))
        for name, bound in (("latitude", 90), ("longitude", 180)):
            assert re.fullmatch(r"-?\d{1,3}\.\d{4}", place["coordinates"][name])
            assert abs(float(place["coordinates"][name])) <= bound
        assert re.fullmatch(r"[+-][1-9]\d?:\d\d|0:00", place["timezone"]["offset"])
        assert place["timezone"]["description"]
        assert re.fullmatch(r"[a-z'.-]+\.[a-z'-]+@example\.com", user["email"])
        assert re.fullmatch(
            r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", login["uuid"]
        )
        assert re.fullmatch(r"[a-z]+\d{3}", login["username"])
        assert len(login["username"]) <= 21
        assert re.fullmatch(r"[A-Za-z0-9]{8}", login["salt"])
        for number in (user["phone"], user["cell"]):
            assert re.fullmatch(r"[0-9A-Z() -]{8,17}", number)
            assert sum(map(str.isdigit, number)) >= 7
        assert DATE.fullmatch(user["dob"]["date"])
        assert DATE.fullmatch(user["registered"]["date"])
        assert "1944-08" <= user["dob"]["date"] < "2001-06"
        assert "2002-03" <= user["registered"]["date"] < "2022-06"


def test_hashes_are_those_of_password_and_salt(people: list[User]) -> None:
    for user in people:
        login = user["login"]
        salted = (login["password"] + login["salt"]).encode()
        for name in ("md5", "sha1", "sha256"):
            assert login[name] == hashlib.new(name, salted).hexdigest()


def test_titles_and_pictures_fit_the_gender(people: list[User]) -> None:
    titles: dict[tuple[bool, str], set[str]] = {}
    for user in people:
        key = (user["nat"] == "CH", user["gender"])
        titles.setdefault(key, set()).add(user["name"]["title"])
        folder = {"male": "men", "female": "women"}[user["gender"]]
        number = re.search(r"(\d+)\.jpg$", user["picture"]["large"])
        assert number
        for size, path in (("large", ""), ("medium", "med/"), ("thumbnail", "thumb/")):
            assert user["picture"][size] == (
                f"https://randomuser.me/api/portraits/{path}{folder}/{number[1]}.jpg"
            )
    assert titles == {
        (False, "male"): {"Mr"},
        (False, "female"): {"Miss", "Mrs", "Ms"},
        (True, "male"): {"Monsieur"},
        (True, "female"): {"Madame", "Mademoiselle"},
    }
    assert 190 <= len({user["picture"]["large"] for user in people}) <= 200


def test_nationalities_and_genders_about_equally_often(people: list[User]) -> None:
    counts = Counter(user["nat"] for user in people)
    assert set(counts) == set(ID_NAMES)
    assert 180 < min(counts.values()) < max(counts.values()) < 300
    assert 0.47 < share(people, lambda user: user["gender"] == "male") < 0.53


def test_identity_numbers(people: list[User]) -> None:
    for user in people:
        assert user["id"]["name"] == ID_NAMES[user["nat"]]
        assert (user["id"]["value"] is None) == (user["id"]["name"] == "")
    for user in of(people, "FI"):
        assert re.fullmatch(r"NaNNA\d{3}undefined", user["id"]["value"])


def test_postcodes_are_text_or_numbers_by_nationality(people: list[User]) -> None:
    for user in people:
        postcode = user["location"]["postcode"]
        assert isinstance(postcode, str) == (user["nat"] in ("CA", "GB", "NL", "NO"))
        assert isinstance(postcode, str) or 200 <= postcode <= 99_999
    texts = [user["location"]["postcode"] for user in of(people, "CA", "GB", "NL", "NO")]
    assert 25 < sum(text.startswith("0") for text in texts) < 75
    assert all(re.fullmatch(r"\d{4}", u["location"]["postcode"]) for u in of(people, "NO"))
    assert min(user["location"]["postcode"] for user in of(people, "AU")) < 1000


def test_phones_with_letters(people: list[User]) -> None:
    lettered = {user["nat"] for user in people if re.search("[A-Z]", user["phone"])}
    assert lettered == {"CA", "UA"}
    assert all(re.search("[A-Z]", user["cell"]) for user in of(people, "CA", "UA"))


def test_names_that_need_care(people: list[User]) -> None:
    names = [f"{user['name']['first']} {user['name']['last']}" for user in people]
    assert any("\u200c" in name for name in names)  # zero width non-joiner
    for script in ("\u0600-\u06ff", "\u0400-\u04ff", "\u0900-\u097f"):
        assert any(re.search(f"[{script}]", name) for name in names)
    assert any("'" in name for name in names)
    assert any("-" in name for name in names)
    assert any(" " in user["name"]["last"] for user in people)
    assert any(re.search("[şğıİ]", name) for name in names)
    assert any("," in user["location"]["city"] for user in people)


def test_rates_of_quirks(people: list[User]) -> None:
    assert 0.03 < share(people, lambda u: u["location"]["street"]["name"].endswith(" ")) < 0.05
    assert 0.0002 < share(people, lambda u: u["login"]["password"] == "") < 0.003
    assert any("&amp;" in user["login"]["password"] for user in people)
    assert 0.15 < share(people, lambda u: u["id"]["value"] is None) < 0.23
    assert any(user["dob"]["date"][5:10] == "02-29" for user in people)


def test_duplicates(standin: Standin) -> None:
    def surplus(users: list[User], key: Any) -> int:
        return len(users) - len(set(map(key, users)))

    pages = [standin.users(f"seed=abc&results=1000&page={page}") for page in range(1, 6)]
    together = [user for page in pages for user in page]
    emails = [surplus(page, lambda u: u["email"]) for page in pages]
    usernames = [surplus(page, lambda u: u["login"]["username"]) for page in pages]
    assert 5 <= sum(emails) <= 25
    assert max(usernames) <= 3
    assert 30 <= surplus(together, lambda u: u["email"]) <= 90
    assert 8 <= surplus(together, lambda u: u["login"]["username"]) <= 40
    assert surplus(together, lambda u: u["login"]["uuid"]) == 0


def test_body_is_utf8_of_about_the_real_size(standin: Standin) -> None:
    body = standin.ask("seed=a&results=1000").content
    assert 1_040_000 < len(body) < 1_120_000
    text = body.decode()
    assert not text.isascii()
    assert json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")) == text


# ---- ages


def age(date: str, now: datetime.datetime) -> int:
    """Full years from an instant until now; 29 February counts from 1 March."""
    then = datetime.datetime.fromisoformat(date)
    try:
        anniversary = then.replace(year=now.year)
    except ValueError:
        anniversary = datetime.datetime(now.year, 3, 1, tzinfo=datetime.UTC)
    return now.year - then.year - (anniversary > now)


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def test_ages_are_full_years_as_of_now(standin: Standin) -> None:
    before = utc_now()
    found = standin.users("seed=ages&results=5000")
    after = utc_now()
    for user in found:
        for field in ("dob", "registered"):
            moment = user[field]
            assert moment["age"] in {age(moment["date"], before), age(moment["date"], after)}


def made(now: datetime.datetime) -> list[User]:
    found: list[User] = json.loads(users("ages", 5000, now=now, folks=folks()))
    return found


@pytest.mark.parametrize("field", ["dob", "registered"])
def test_the_age_rises_at_the_very_millisecond(field: str) -> None:
    date = made(utc_now())[0][field]["date"]
    birthday = datetime.datetime.fromisoformat(date).replace(year=2027)
    just_before = birthday - datetime.timedelta(milliseconds=1)
    ages = [made(now)[0][field]["age"] for now in (just_before, birthday)]
    assert ages[1] - ages[0] == 1
    assert ages == [age(date, just_before), age(date, birthday)]


@pytest.mark.parametrize("year", [2027, 2028])
@pytest.mark.parametrize("month_and_day", [(2, 28), (2, 29), (3, 1)])
def test_ages_around_29_february(year: int, month_and_day: tuple[int, int]) -> None:
    if year == 2027 and month_and_day == (2, 29):
        month_and_day = (12, 31)  # there is no such day; any other serves
    now = datetime.datetime(year, *month_and_day, 12, 30, tzinfo=datetime.UTC)
    for user in made(now):
        for field in ("dob", "registered"):
            assert user[field]["age"] == age(user[field]["date"], now)


def test_only_the_ages_depend_on_the_clock() -> None:
    now = utc_now()
    today, later = made(now), made(now + datetime.timedelta(days=365))
    for one, other in zip(today, later, strict=True):
        for field in ("dob", "registered"):
            del one[field]["age"], other[field]["age"]
    assert today == later
