"""What the golden digests are made from: fixed documents of one date, and fixed answers of the API.

Plain changes of one user, the same on every Python. A document that is added here changes the
input of the steps, so that new digests of the same logic versions may be recorded: add documents
in a commit that changes nothing else.
"""

import copy
import datetime
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: On the last day of a February, people born on a leap day are a year younger than those born
#: the day before, and so are those born on 1 March.
DATE = datetime.date(2026, 2, 28)

#: The bytes of what the API answered to a day of 5 users in pages of 2, with an empty line after
#: each: page 1, page 2 with an error, page 2, page 3.
ANSWERS = Path(__file__).with_name("answers.txt").read_bytes()

USER: dict[str, Any] = {
    "gender": "female",
    "name": {"title": "Miss", "first": "هستی\u200cجان", "last": "In 't Veen "},
    "location": {
        "street": {"number": 7781, "name": "Łąkowa"},
        "city": "Paris, Texas",
        "state": "Île-de-France",
        "country": "France",
        "postcode": 2104,
        "coordinates": {"latitude": "-6.2190", "longitude": "17.0000"},
        "timezone": {"offset": "+9:30", "description": "Adelaide, Darwin"},
    },
    "email": "hans-j..o'veen@example.com",
    "login": {
        "uuid": "",
        "username": "purplecat515",
        "password": "secret",
        "salt": "secret",
        "md5": "secret",
        "sha1": "secret",
        "sha256": "secret",
    },
    "dob": {"date": "1944-02-29T10:11:12.345Z", "age": 81},
    "registered": {"date": "2026-01-31T23:59:59.999Z", "age": 0},
    "phone": "Q10 X41-1188",
    "cell": "(098) G53-1234",
    "id": {"name": "PPS", "value": "secret"},
    "picture": {"large": "https://example.com/l.jpg", "medium": "m", "thumbnail": "t"},
    "nat": "FR",
}

#: What any leaf may be instead; `...` takes it out.
VALUES = [
    ..., None, "", " ", "\u00a0\u200b\u3000", "\0", "x\ud800", " Ä B ", "0", "x" * 300, 0, -1, 1.5,
    2**31, 10**30, True, [], {}, ["x"], {"x": 1},
]  # fmt: skip

#: Valid ones, and others that differ from them by a character, a digit or a unit.
EDGES: dict[str, list[Any]] = {
    "gender": ["male", "Male", "male ", "males", "females", "other"],
    "login.uuid": [
        "ABCDEF01-2345-6789-abcd-ef0123456789", "9BCDEF01-2345-6789-ABCD-EF012345678f",
        "bcdef01-2345-6789-abcd-ef0123456789", "aabcdef01-2345-6789-abcd-ef0123456789",
        "abcdef01-345-6789-abcd-ef0123456789", "abcdef01-22345-6789-abcd-ef0123456789",
        "abcdef01-2345-6789-bcd-ef0123456789", "abcdef01-2345-6789-aabcd-ef0123456789",
        "abcdef01-2345-6789-abcd-f0123456789", "abcdef01-2345-6789-abcd-eef0123456789",
        "abcdef01-2345-6789-ef0123456789", "abcdef01-2345-6789-abcd-abcd-ef0123456789",
        *(f"{sign * 8}-{'-'.join([sign * 4] * 3)}-{sign * 12}" for sign in "09AFaf"),
        *(f"{sign}bcdef01-2345-6789-abcd-ef0123456789" for sign in "/:@G`g"),
        *(f"abcdef01-2345-6{sign}89-abcd-ef0123456789" for sign in "/:@G`g"),
        *(f"abcdef01-2345-6789-abcd-ef012345678{sign}" for sign in "/:@G`g"),
        "abcdef01-2345-6789-abcd-ef0123456789\n", " abcdef01-2345-6789-abcd-ef0123456789",
        "{abcdef01-2345-6789-abcd-ef0123456789}", "abcdef0123456789abcdef0123456789",
    ],
    "email": [
        "a@b", "é@ü.中国", "@b", "a@", "a@b@c", "a", "@", "a b@c", "a@b c", "a@b\n", "\na@b",
        "a\t@b", "a@\tb", "a\v@b", "a@\vb", "a\f@b", "a@\fb", "a\r@b", "a@\rb", "a\n@b", "a@\nb",
        "a\u00a0@b", "a\u001b@b", "a@\u001bb",
    ],
    "location.street.number": [
        1, 9, "7", "1234567890", "0000000012", "00000000012", 2**31 - 1, 9999999999, 99999999999,
        1.0, "1e2", "+1", "1 ", " 1", "1\n", "x1", "1x", "/", ":", "٣",
    ],
    "location.coordinates.latitude": [
        "90", "90.0000", "90.0001", "-90", "-90.0001", "89", "91", "-89", "-91", "0090", "090",
        "-0.0000", "9.9999", "1.2345", "1.23456", "1.", ".5", "-.5", "+1", "--1", "1e1", "NaN",
        "1,5", "1 ", " 1", "1\n", "٣", "1.5.5", "1./", "1.:", "/", ":", 12.5, -12.5,
    ],
    "location.coordinates.longitude": [
        "180", "180.0001", "-180", "-180.0001", "179", "181", "-179", "-181", "1000", "0100", 12.5,
    ],
    "location.timezone.offset": [
        "0:00", "+0:00", "-12:00", "14:00", "123:00", ":00", "+:00", "+1:0", "+1:000", "++1:00",
        "1:00 ", " 1:00", "1:00\n", "x1:00", "a:00", "1:0a", "9:99", "1.00", "*1:00",
    ],
    "nat": ["AZ", "ZA", "A", "AZE", "az", "Az", "aZ", "ÄÖ", "[A", "A@", "@A", "AZ\n", " AZ", "A1"],
}  # fmt: skip

#: Times of day, and what is none.
TIMES = [
    "00:00:00Z", "09:19:29Z", "10:00:00.000Z", "19:39:49.999Z", "20:50:59Z", "23:59:59.999Z",
    "21:12:34.567Z", "22:45:08.800Z", "24:00:00Z", "25:00:00Z", "30:00:00Z", "2a:00:00Z",
    "1:00:00Z", "010:00:00Z", "23:60:00Z", "23:6:00Z", "23:59:60Z", "23:59:6Z", "23:59:599Z",
    "00:00:00.1Z", "00:00:00.12Z", "00:00:00.1234Z", "00:00:00.Z", "00:00:00.12aZ", "00:00:00,123Z",
    "00:00:00", "00:00:00z", "00:00:00+00:00", "00:00:00ZZ", "00:00:00Z\n", "00:00Z", "00.00.00Z",
]  # fmt: skip

#: Days of the calendar, and what is none.
DAYS = [
    "2000-02-29", "2024-02-29", "1900-02-28", "1900-02-29", "2023-02-29", "2023-04-31",
    "2023-13-01", "2023-00-10", "2023-01-00", "2023-12-31", "2023-12-32", "0000-01-01",
    "0001-01-01", "1582-10-10", "9999-12-31", "1969-12-31", "1970-01-01", "2026-02-27",
    "2026-02-28", "2026-03-01", "2038-01-19", "1990-09-18", "199-01-01", "01990-01-01",
    "1990-1-01", "1990-01-1", "1990-011-01", "1990-01-011", "-1990-01-01", "+1990-01-01",
    " 1990-01-01", "1990/01/01", "19900101", "199a-01-01", "1990-0a-01", "1990-01-0a",
    "١٩٩٠-01-01", "1990-05-171990-05-17",
]  # fmt: skip

#: Code points that show nothing, and their neighbours, which show something.
BLANKS = [
    *range(0x08, 0x10), 0x1B, 0x1F, 0x20, 0x21, 0x7F, 0x84, 0x85, 0x86, 0x9F, 0xA0, 0xA1, 0x1680,
    0x180E, *range(0x1FFE, 0x2013), *range(0x2026, 0x2031), *range(0x205E, 0x2062), 0x2FFF, 0x3000,
    0x3001, 0xFEFE, 0xFEFF, 0xFF00,
]  # fmt: skip

#: Names and places as people, spreadsheets and attackers write them.
TEXTS = [
    "Жанна", "امیر\u200cعلی", "मोहन", "ÇİĞDEM ıŞık", "Šéf ﬁ ß", "e\u0301 é", "𝔘𝔫𝔦 😀👩‍👩‍👧",
    "O''Brien", 'a "quoted" one', "a,b;c|d", "tab\there", "line\nbreak\r\n", "x\n\\.\ny", "\\N",
    "\\", "NULL", "null", "NaN", "'; DROP TABLE users; --", "{}", "[]", "%s {0} $1",
    "x\u2028\u2029y", "\ufeffbom", "\u202eright to left", "\u0001\u001f\u007f", "x" * 20_000,
    "\\u0000", "\\ud800",
]  # fmt: skip

#: JSON of a postcode, valid or not.
LITERALS = [
    "2147483648", "9223372036854775808", "9" * 400, "-0", "-0.0", "0.0", "1e2", "1E-7", "0.1",
    "123456789012345678.9", "5e-324", "1e16", "1e22", "1e23", "true", '"\\u00e9\\ud83d\\ude00"',
    '"00501"', '"x", "postcode": "the last counts"', '"\\/\\b\\f\\n\\r\\t"', "NaN", "-Infinity",
    "1e400", "-1e400", "9" * 5000, "012", "+1", "1.", ".5", "'x'", "x", '"\\udfff\\ud800"', '"\t"',
    '"\\x41"', '"\\u00"', "", '"x",', "nul",
]  # fmt: skip

#: All that the API knows.
NATIONALITIES = [
    "AU", "BR", "CA", "CH", "DE", "DK", "ES", "FI", "FR", "GB", "IE", "IN", "IR", "MX", "NL", "NO",
    "NZ", "RS", "TR", "UA", "US",
]  # fmt: skip


def _paths(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """All objects and leaves of a document by their path, depth first."""
    for key, value in node.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{key}.")


def _user(number: int, changes: dict[str, Any]) -> dict[str, Any]:
    user = copy.deepcopy(USER)
    user["login"]["uuid"] = f"{number:08x}-0000-4000-8000-00000000AbCd"
    for path, value in changes.items():
        *parents, key = path.split(".")
        node = user
        for parent in parents:
            node = node[parent]
        node[key] = value
        if value is ...:
            del node[key]
    return user


def _changes() -> Iterator[dict[str, Any]]:
    for path in _paths(USER):
        yield from ({path: value} for value in VALUES)
    for path, values in EDGES.items():
        yield from ({path: value} for value in values)
    for path in ("dob.date", "registered.date"):
        yield from ({path: f"1990-05-17T{time}"} for time in TIMES)
        yield from ({path: f"{day}T12:00:00.000Z"} for day in DAYS)
        yield from ({path: text} for text in ("1990-05-17", "1990-05-17 00:00:00Z", 1103760773))
    for time in ("T00:00:00Z", "T23:59:59.999Z"):  # registered around the day of birth
        for day in ("1990-05-16", "1990-05-17", "1990-05-18"):
            yield {"dob.date": "1990-05-17T12:00:00Z", "registered.date": day + time}
    yield from ({"login.username": chr(code)} for code in BLANKS)
    yield from ({"name.first": text, "location.city": text} for text in TEXTS)
    # ages and their bands, around the birthday and on leap days, of everybody
    ages = (0, 1, 17, 18, 24, 25, 34, 35, 44, 45, 54, 55, 64, 65, 74, 75, 119, 120, 121)
    days = [f"{2026 - age}-{day}" for age in ages for day in ("02-27", "02-28", "03-01")]
    days += [f"{year}-02-29" for year in range(1904, 2026, 4)]
    people = itertools.cycle(itertools.product(NATIONALITIES, ("male", "female")))
    for day, (nationality, gender) in zip(days, people, strict=False):
        yield {"dob.date": f"{day}T00:00:00Z", "nat": nationality, "gender": gender}
    yield {"nat": None, "email": "x", "gender": None, "login.uuid": "X"}
    yield {"email": "\0", "nat": "\ud800", "cell": ["x"], "phone": "", "login.salt": "\0"}
    yield {"registered.date": "1944-02-28T00:00:00Z", "dob.date": None}


def documents() -> list[str]:
    """The documents by their position: valid ones, unfit ones, and what is none."""
    texts = [json.dumps(_user(n, c), ensure_ascii=n % 2 == 0) for n, c in enumerate(_changes())]
    # a lone surrogate can only be spelt as an escape
    texts = [text.encode(errors="backslashreplace").decode() for text in texts]
    for number, literal in enumerate(LITERALS, start=10_000):
        text = json.dumps(_user(number, {"location.postcode": "POSTCODE"}))
        texts.append(text.replace('"POSTCODE"', literal))
    whole, rejected = json.dumps(_user(20_000, {})), json.dumps(_user(20_001, {"email": "x"}))
    return [
        *texts, whole, whole.upper(), f" {whole}\n", f"{whole} x", f"\ufeff{whole}", f"[{whole}]",
        whole * 2, whole[:-1], whole.replace('"', "'"), "", " ", "null", "1", '"text"', "[]", "{}",
        '{"name": 7}', '{"\\u0000": 1}', "[" * 100_000,
        # the same users again, of whom the first was clean, spelt in another case, or rejected
        whole, whole.replace("AbCd", "aBcD"), rejected, json.dumps(_user(20_001, {})),
    ]  # fmt: skip
