"""What the golden digests are made from: fixed documents of one date, and fixed answers of the API.

Plain changes of one user, the same on every Python. A document that is added here changes the
input of the steps, so that new digests of the same logic versions may be recorded: add documents
in a commit that changes nothing else.
"""

import copy
import datetime
import itertools
import json
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: On the last day of a February, people born on a leap day are a year younger than those born
#: the day before, and so are those born on 1 March.
DATE = datetime.date(2026, 2, 28)

#: When the API was asked for them.
REQUESTED_AT = datetime.datetime(2026, 3, 5, 12, 0, 0, 123_000, datetime.UTC)

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
    2**31, 10**30, True, [], {}, ["x"], {"x": 1}, "x" * 200, "x" * 201, 5, [1.50, {"a": None}],
]  # fmt: skip

#: What shows nothing, signs that no address holds, and their neighbours.
BLANKS = [
    *range(0x08, 0x10), *range(0x1B, 0x22), 0x7F, *range(0x84, 0x87), *range(0x9F, 0xA2),
    *range(0xAC, 0xAF), 0x061B, 0x061C, 0x061D, 0x1680, 0x180D, 0x180E, 0x180F,
    *range(0x1FFF, 0x2012), *range(0x2027, 0x2031), *range(0x205E, 0x206B), 0x27FF, 0x2800, 0x2801,
    0x2FFF, 0x3000, 0x3001, 0x3163, 0x3164, 0x3165, 0xFEFE, 0xFEFF, 0xFF00, 0xFF9F, 0xFFA0, 0xFFA1,
]  # fmt: skip
SIGNS = [
    chr(code)
    for code in sorted(
        {*BLANKS, *range(0x30), *range(0x39, 0x42), *range(0x5A, 0x62), *range(0x7A, 0x82)}
    )
]

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
        "a@b", "@b.de", "a@", "a@b@c", "a", "@", "a b@c", "a@b c", "a@b\n", "\na@b", "a\t@b",
        "a@\tb", "a\v@b", "a@\vb", "a\f@b", "a@\fb", "a\r@b", "a@\rb", "a\n@b", "a@\nb",
        "a\u00a0@b", "a\u001b@b", "a@\u001bb", "é@ü.中国", "a@b.de", "a@b.c", "a@b.cd", "a@b.1d",
        "a@b.d1", "a@b.0d", "a@b.5d", "a@b.9d", "a@b..de", "a@.de", "a@b.de.", ".a@b.de",
        "a..b@c.de", "a@sub.b.co.uk", "o'x+y@b.de", "a@b.de\u200b", "\ufeffa@b.de ",
        "x" * 248 + "@b.de", "x" * 249 + "@b.de", "x" * 250 + "@b.de",
        "x" * 64 + "@b.de", "x" * 65 + "@b.de",
        "a@" + "b" * 248 + ".cde", "a@" + "b" * 249 + ".cde", "a@" + "b." * 2_000 + "de",
        "'a@b.de'", "a@-b.de", "a@b-.de", "a@b.-de", "a@b.de-", "a@b.d-e", "a.-.b@c.de",
        "a@b--c.de", "a@xn--b.xn--p1ai", "a-@b.de", "a@1b.de", "a@b.2c.de",
        *(f"a{sign}a@b.de" for sign in SIGNS),
        *(f"a@b{sign}b.de" for sign in SIGNS), *(f"a@b.d{sign}e" for sign in SIGNS),
        *(f"a@b.{sign}de" for sign in SIGNS),
    ],
    "picture.large": [
        "http://x", "https://x", "https://", "http:///x", "http://?x", "http://#x", "https//x",
        "http:/x", "ftp://x/y", "javascript:alert(1)", "xhttp://x", "HTTP://x", "Https://x",
        "hTtPs://x", "https://u:p@x/y", "https://x/u@p", "https://x?u@p", "https://x#u@p",
        "https://x:80", "https://[::1]/", "httpss://x", "https://x/y?z#w", "https://x/é",
        *(f"https://x/{sign}y" for sign in SIGNS), *(f"https://x?{sign}y" for sign in "/?#"),
        *(f"https://{sign}x/y" for sign in SIGNS),
        "http://x/" + "y" * 2038, "http://x/" + "y" * 2039, "http://x/" + "y" * 2040,
    ],
    "registered.date": [
        "2026-03-05T12:00:00.122Z", "2026-03-05T12:00:00.123Z", "2026-03-05T12:00:00.124Z",
        "1944-02-29T10:11:12.344Z", "1944-02-29T10:11:12.345Z", "1944-02-29T10:11:12.346Z",
        " 2026-01-01T00:00:00Z ", "2026-01-01T00:00:00Z\u200b",
    ],
    "dob.date": ["2026-03-04T23:59:59Z", "2026-03-05T23:59:59Z", "2026-03-06T00:00:00Z"],
    "location.street.number": [
        1, 9, "7", "1234567890", "0000000012", "00000000012", 2**31 - 1, 9999999999, 99999999999,
        1.0, "1e2", "+1", "1 ", " 1", "1\n", "x1", "1x", "/", ":", "٣",
    ],
    "location.coordinates.latitude": [
        "90", "90.0000", "90.0001", "-90", "-90.0001", "89", "91", "-89", "-91", "0090", "090",
        "-0.0000", "9.9999", "1.2345", "1.23456", "1.", ".5", "-.5", "+1", "--1", "1e1", "NaN",
        "1,5", "1 ", " 1", "1\n", "٣", "1.5.5", "1./", "1.:", "/", ":", 12.5, -12.5, "90.00001",
        "90.0", "90.", "07.5", "90." + "0" * 30, "90." + "0" * 31, "90." + "0" * 20 + "1", "80",
        "79", "-80.5", "8", "100", "1." + "2" * 30, "1." + "2" * 31, "-12.34565", "-12.34564",
        "12.34565", "0.00005", "0.00004999", "-0.00005", "89.99995", "89.99994", "1.55555",
        "-7.00015",
    ],
    "location.coordinates.longitude": [
        "180", "180.0001", "-180", "-180.0001", "179", "181", "-179", "-181", "1000", "0100", 12.5,
        "180." + "0" * 30, "180." + "0" * 31, "180.00000000001", "180.0", "180.", "12.", "170",
        "169.5", "99", "100", "109", "7", "07", "190", "200", "179." + "9" * 30, "12.34565",
        "-12.34565", "1." + "3" * 31,
    ],
    "location.timezone.offset": [
        "0:00", "+0:00", "-12:00", "14:00", "123:00", ":00", "+:00", "+1:0", "+1:000", "++1:00",
        "1:00 ", " 1:00", "1:00\n", "x1:00", "a:00", "1:0a", "9:99", "1.00", "*1:00", "+05:30",
        "5:30", "+5:30", "-5:30", "-0:30", "-0:00", "-00:01", "09:00", "9:00", "10:00", "12:59",
        "13:00", "13:59", "14:01", "14:10", "15:00", "+14:00", "+15:00", "19:00", "-14:00",
        "-13:00", "-12:01", "-12:10", "-11:59", "-10:00", "-9:45", "-09:45", "1:59", "1:60", "1:5",
        "00:00", "000:00", "+20:00", "-20:00", "-1:00x", "-1:60", "-9:00", "-09:00",
    ],
    "nat": [
        "A", "AZE", "az", "Az", "aZ", "ÄÖ", "[A", "A@", "@A", "AZ\n", " AZ", "A1",
    ],
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
    "2026-02-28", "2026-03-01", "2038-01-19", "1990-09-18", "199-01-01", "01990-01-01", "1990-1-01",
    "1990-01-1", "1990-011-01", "1990-01-011", "-1990-01-01", "+1990-01-01", " 1990-01-01",
    "1990/01/01", "19900101", "199a-01-01", "1990-0a-01", "1990-01-0a", "١٩٩٠-01-01",
    "1990-05-171990-05-17",
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
    "123456789012345678.9", "123.10", "1E+22", "5e-324", "1e16", "1e22", "1e23", "true",
    '"\\u00e9\\ud83d\\ude00"', '"00501"', '"x", "postcode": "the last counts"',
    '"\\/\\b\\f\\n\\r\\t"', "NaN", "-Infinity", "1e400", "-1e400", "9" * 5000, "012", "+1", "1.",
    ".5", "'x'", "x", '"\\udfff\\ud800"', '"\t"', '"\\x41"', '"\\u00"', "", '"x",', "nul",
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
    yield from ({"login.username": f"{chr(code)}x{chr(code)}y{chr(code)}"} for code in BLANKS)
    # all codes that ISO 3166-1 could have
    yield from ({"nat": a + b} for a, b in itertools.product(string.ascii_uppercase, repeat=2))
    yield {
        "login": {"uuid": "00000000-0000-4000-8000-0000000000ff", "username": "x", "id": "secret"}
    }
    yield {
        "name.first": {
            "password": "1",
            "salt": "2",
            "md5": "3",
            "sha1": "4",
            "sha256": "5",
            "id": {"value": "6"},
        }
    }
    yield {"name": ["login", {"login": {"pwd": "7"}}], "login": ["8"]}
    yield {"id": {"name": "\0", "value": "\ud800"}, "login.salt": "\0", "other": "\udfff"}
    optional = ["name.title", "email", "phone", "cell", "location", "registered", "picture"]
    yield dict.fromkeys(optional)
    yield dict.fromkeys(optional, ...)
    for day in ("2026-02-28", "2026-03-01", "2026-03-05", "2026-03-06"):  # born at last
        yield {"dob.date": f"{day}T12:00:00.123Z", "registered.date": None}
    yield dict.fromkeys(
        ("name.title", "email", "phone", "cell", "registered.date", "location.city"), " "
    )
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
        whole * 2, whole[:-1], whole.replace('"', "'"), "", " ", "null", "1", '"text"', "[]",
        "{}",
        '{"name": 7}', '{"\\u0000": 1}', "[" * 100_000,
        # the same users again, of whom the first was clean, spelt in another case, or rejected
        whole, whole.replace("AbCd", "aBcD"), rejected, json.dumps(_user(20_001, {})), rejected,
        json.dumps(_user(20_001, {"name.first": "Third"})),
    ]  # fmt: skip
