"""An independent reading of a document, from docs/data.md alone.

It says which rows `users`, `rejected_users` and `user_statistics` hold for the raw documents of a
day. It shares no code with the project, so that the two can be compared.
"""

import datetime
import hashlib
import json
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

MAX_BYTES = 8_192
MAX_DEPTH = 100
MAX_SHOWN = 200
MAX_STREET_NUMBER = 2_147_483_647
HIDDEN = "•••"

# In the order in which the reasons of a document come.
LEAVES = (
    "gender",
    "email",
    "phone",
    "cell",
    "nat",
    "name.title",
    "name.first",
    "name.last",
    "location.city",
    "location.state",
    "location.country",
    "location.postcode",
    "location.street.number",
    "location.street.name",
    "location.coordinates.latitude",
    "location.coordinates.longitude",
    "location.timezone.offset",
    "login.uuid",
    "login.username",
    "dob.date",
    "registered.date",
    "picture.large",
)

NUMBER_LEAVES = frozenset(
    {
        "phone",
        "cell",
        "location.street.number",
        "location.postcode",
        "location.coordinates.latitude",
        "location.coordinates.longitude",
    }
)

SECRET_KEYS = frozenset({"password", "salt", "md5", "sha1", "sha256"})
# What is shown of an object with such a key.
SHOWN_OF = {"login": frozenset({"uuid", "username"}), "id": frozenset({"name"})}

TRIMMED_RANGES = (
    (0x0009, 0x000D),
    (0x001C, 0x0020),
    (0x0085, 0x0085),
    (0x00A0, 0x00A0),
    (0x00AD, 0x00AD),
    (0x061C, 0x061C),
    (0x1680, 0x1680),
    (0x180E, 0x180E),
    (0x2000, 0x200F),
    (0x2028, 0x202F),
    (0x205F, 0x2064),
    (0x2066, 0x2069),
    (0x2800, 0x2800),
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
)
TRIMMED = "".join(chr(code) for first, last in TRIMMED_RANGES for code in range(first, last + 1))

_INVISIBLE = (
    r"\xa0\u00ad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u2066-\u2069\u2800"
    r"\u3000\u3164\ufeff\uffa0]"
)
_NOT_IN_NAME = r'\x00-\x20<>()\[\],;:\\"@\x7f-' + _INVISIBLE
_NOT_IN_HOST = r"\x00-\x2c\x2f\x3a-\x40\x5b-\x60\x7b-" + _INVISIBLE
_NOT_IN_URL = r'\x00-\x20<>"\\\x7f-' + _INVISIBLE
_INSTANT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{3})?Z"
PATTERNS = {
    "user_id": r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    "birth_date": _INSTANT,
    "email": (
        r"[^" + _NOT_IN_NAME + r"{1,64}@[^" + _NOT_IN_HOST + r"+[.][^." + _NOT_IN_HOST + r"{2,}"
    ),
    "street_number": r"[0-9]{1,10}",
    "latitude": r"-?(90([.]0{1,30})?|[0-8]?[0-9]([.][0-9]{1,30})?)",
    "longitude": r"-?(180([.]0{1,30})?|(1[0-7][0-9]|[0-9]?[0-9])([.][0-9]{1,30})?)",
    "timezone_offset": (
        r"([+]?((0?[0-9]|1[0-3]):[0-5][0-9]|14:00)|-((0?[0-9]|1[01]):[0-5][0-9]|12:00))"
    ),
    "registered_at": _INSTANT,
    "picture_url": (
        r"[Hh][Tt][Tt][Pp][Ss]?://[^/?#@" + _NOT_IN_URL + r"+([/?#][^" + _NOT_IN_URL + r"*)?"
    ),
}
# Patterns that nothing in a text may match, beside PATTERNS.
NOT_IN = {"email": r"@([.-]|[^@]*([.-][.]|[.]-))|-\Z|[.][0-9][^.]*\Z"}

_NATIONALITIES = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS
BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE
EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM
HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC
LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA
NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW
SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO
TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
NATIONALITIES = frozenset(_NATIONALITIES.split())

AGE_BANDS = (
    (17, "0-17"),
    (24, "18-24"),
    (34, "25-34"),
    (44, "35-44"),
    (54, "45-54"),
    (64, "55-64"),
    (74, "65-74"),
)

# Year, month, day, hour, minute, second, microsecond in UTC. Python has no year 0000.
Instant = tuple[int, int, int, int, int, int, int]


@dataclass(frozen=True)
class Number:
    """A number of a document, as the text that was sent."""

    text: str


@dataclass(frozen=True)
class Leaf:
    """What a document holds in the place of a leaf.

    `reason` is the reason of a document that is about this leaf, if there is one. `text` is the
    trimmed text, and None if the leaf is missing. `sent` is what `offending` shows.
    """

    reason: str | None
    text: str | None
    sent: str | None


def _refuse(name: str) -> Any:
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError(f"{name} is not JSON")


def _depth(document: bytes) -> int:
    """How many objects and lists are within one another; brackets in strings do not count."""
    depth = deepest = 0
    in_string = escaped = False
    for byte in document:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth = max(depth - 1, 0)
    return deepest


def _unstorable(document: bytes) -> str | None:
    """The reason why a document was not stored, or None."""
    if len(document) > MAX_BYTES:
        return "document_too_large"
    if _depth(document) > MAX_DEPTH:
        return "document_too_deep"
    try:
        document.decode("utf-8")
    except UnicodeDecodeError:
        return "document_not_utf8"
    return None


def _key(key: str) -> str:
    """A key as it counts for what is hidden: in any case and with space around it."""
    return key.strip(TRIMMED).lower()


def _hide(key: str, value: Any) -> Any:
    """The value of a key, without its secrets."""
    name = _key(key)
    if name in SECRET_KEYS:
        return HIDDEN
    if name in SHOWN_OF:
        if not isinstance(value, dict):
            return HIDDEN
        return {
            inner: _hide(inner, item) if inner in SHOWN_OF[name] else HIDDEN
            for inner, item in value.items()
        }
    return _hide_within(value)


def _hide_within(value: Any) -> Any:
    """A value that has no key of its own, without the secrets in it."""
    if isinstance(value, dict):
        return {key: _hide(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hide_within(item) for item in value]
    return value


def _as_json(value: Any) -> str:
    """A value as JSON, with its numbers as they were sent."""
    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        items = (
            f"{json.dumps(key, ensure_ascii=False)}: {_as_json(item)}"
            for key, item in value.items()
        )
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_as_json(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _shown(text: str) -> str:
    """A text as `offending` shows it."""
    text = re.sub("[\x00\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def _wrong_structure(key: str, value: Any) -> Leaf:
    """A leaf in whose place, or on whose path, something else stands."""
    return Leaf("wrong_structure", None, _shown(_as_json(_hide(key, value))))


def _leaf(document: dict[str, Any], path: str) -> Leaf:
    """The leaf of a document at a path."""
    keys = path.split(".")
    value: Any = document
    for place, key in enumerate(keys):
        value = value.get(key)
        if value is None:
            return Leaf(None, None, None)
        if place < len(keys) - 1 and not isinstance(value, dict):
            return _wrong_structure(key, value)
    if isinstance(value, Number) and path in NUMBER_LEAVES:
        text = value.text
    elif isinstance(value, str):
        text = value
    else:
        return _wrong_structure(keys[-1], value)
    if "\x00" in text:
        return Leaf("nul_character", None, _shown(text))
    if re.search("[\ud800-\udfff]", text):
        return Leaf("lone_surrogate", None, _shown(text))
    trimmed = text.strip(TRIMMED)
    return Leaf(None, trimmed or None, _shown(text))


def _matches(column: str, text: str) -> bool:
    """Whether the whole text matches the pattern of a column, and nothing in it what may not."""
    unfit = column in NOT_IN and re.search(NOT_IN[column], text)
    return not unfit and re.fullmatch(PATTERNS[column], text) is not None


def _instant(column: str, text: str | None) -> Instant | None:
    """The instant that a text stands for, or None if there is none."""
    if text is None or not _matches(column, text):
        return None
    year, month, day = int(text[0:4]), int(text[5:7]), int(text[8:10])
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    if not 1 <= month <= 12 or not 1 <= day <= days[month - 1]:
        return None
    millis = int(text[20:23]) if text[19] == "." else 0
    return (
        year,
        month,
        day,
        int(text[11:13]),
        int(text[14:16]),
        int(text[17:19]),
        millis * 1000,
    )


def _as_instant(moment: datetime.datetime) -> Instant:
    """A datetime as an instant; one without a time zone is in UTC."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.UTC)
    return (
        moment.year,
        moment.month,
        moment.day,
        moment.hour,
        moment.minute,
        moment.second,
        moment.microsecond,
    )


def _age(birth: Instant, day: datetime.date) -> int | None:
    """Full years on a day, or None for a user who was born after it."""
    if birth[:3] > (day.year, day.month, day.day):
        return None
    return day.year - birth[0] - int((day.month, day.day) < birth[1:3])


def _degrees(text: str | None) -> Decimal | None:
    """Degrees, rounded to 4 decimals, halves away from zero; there is no negative zero."""
    if text is None:
        return None
    value = Decimal(text).quantize(Decimal("0.0001"), ROUND_HALF_UP)
    return Decimal("0.0000") if value.is_zero() else value


def _offset(text: str | None) -> str | None:
    """An offset from UTC as +HH:MM or -HH:MM."""
    if text is None:
        return None
    sign = "-" if text.startswith("-") else "+"
    hours, minutes = text.lstrip("+-").split(":")
    time = f"{int(hours):02d}:{minutes}"
    return "+00:00" if time == "00:00" else sign + time


def _broken(
    leaves: dict[str, Leaf], partition_date: datetime.date, requested: Instant
) -> list[tuple[str, str]]:
    """The broken rules of the columns, in order, each with its leaf."""
    broken: list[tuple[str, str]] = []
    texts = {path: leaf.text for path, leaf in leaves.items()}

    def rule(reason: str, path: str, is_broken: bool) -> None:
        """Add a broken rule, unless its leaf has a reason of the document."""
        if is_broken and leaves[path].reason is None:
            broken.append((reason, path))

    def too_long(reason: str, path: str, most: int = 200) -> None:
        """A text has at most so many characters."""
        rule(reason, path, len(texts[path] or "") > most)

    def invalid(column: str, path: str) -> bool:
        """Whether there is a text that does not match the pattern of the column."""
        text = texts[path]
        return text is not None and not _matches(column, text)

    rule("user_id_invalid", "login.uuid", not _matches("user_id", texts["login.uuid"] or ""))
    rule("username_missing", "login.username", texts["login.username"] is None)
    too_long("username_too_long", "login.username")
    too_long("title_too_long", "name.title")
    rule("first_name_missing", "name.first", texts["name.first"] is None)
    too_long("first_name_too_long", "name.first")
    rule("last_name_missing", "name.last", texts["name.last"] is None)
    too_long("last_name_too_long", "name.last")
    rule("gender_unknown", "gender", texts["gender"] not in ("male", "female"))

    birth = _instant("birth_date", texts["dob.date"])
    rule("birth_date_invalid", "dob.date", birth is None)
    if birth is not None:
        rule("birth_date_in_future", "dob.date", birth[:3] > requested[:3])
        rule("age_over_120", "dob.date", (_age(birth, partition_date) or 0) > 120)

    rule("email_invalid", "email", invalid("email", "email"))
    too_long("email_too_long", "email", 254)
    too_long("phone_too_long", "phone")
    too_long("cell_too_long", "cell")
    number = texts["location.street.number"]
    rule(
        "street_number_invalid",
        "location.street.number",
        invalid("street_number", "location.street.number")
        or (number is not None and int(number) > MAX_STREET_NUMBER),
    )
    too_long("street_name_too_long", "location.street.name")
    too_long("city_too_long", "location.city")
    too_long("state_too_long", "location.state")
    too_long("country_too_long", "location.country")
    too_long("postcode_too_long", "location.postcode")
    for column in ("latitude", "longitude"):
        path = f"location.coordinates.{column}"
        rule(f"{column}_invalid", path, invalid(column, path))
    rule(
        "timezone_offset_invalid",
        "location.timezone.offset",
        invalid("timezone_offset", "location.timezone.offset"),
    )
    rule("nationality_invalid", "nat", texts["nat"] not in NATIONALITIES)

    registered = _instant("registered_at", texts["registered.date"])
    rule(
        "registered_at_invalid",
        "registered.date",
        texts["registered.date"] is not None and registered is None,
    )
    if registered is not None:
        rule("registered_in_future", "registered.date", registered > requested)
        rule(
            "registered_before_birth",
            "registered.date",
            birth is not None and registered < birth,
        )
    rule("picture_url_invalid", "picture.large", invalid("picture_url", "picture.large"))
    too_long("picture_url_too_long", "picture.large", 2048)
    return broken


def _user(leaves: dict[str, Leaf], partition_date: datetime.date, position: int) -> dict[str, Any]:
    """The row of a clean user."""
    texts = {path: leaf.text for path, leaf in leaves.items()}
    birth = _instant("birth_date", texts["dob.date"])
    registered = _instant("registered_at", texts["registered.date"])
    if birth is None:
        raise AssertionError("a clean user has a day of birth")
    number = texts["location.street.number"]
    return {
        "user_id": uuid.UUID(texts["login.uuid"]),
        "username": texts["login.username"],
        "title": texts["name.title"],
        "first_name": texts["name.first"],
        "last_name": texts["name.last"],
        "gender": texts["gender"],
        "birth_date": datetime.date(*birth[:3]),
        "age": _age(birth, partition_date),
        "email": texts["email"],
        "phone": texts["phone"],
        "cell": texts["cell"],
        "street_number": None if number is None else int(number),
        "street_name": texts["location.street.name"],
        "city": texts["location.city"],
        "state": texts["location.state"],
        "country": texts["location.country"],
        "postcode": texts["location.postcode"],
        "latitude": _degrees(texts["location.coordinates.latitude"]),
        "longitude": _degrees(texts["location.coordinates.longitude"]),
        "timezone_offset": _offset(texts["location.timezone.offset"]),
        "nationality": texts["nat"],
        "registered_at": (
            None if registered is None else datetime.datetime(*registered, tzinfo=datetime.UTC)
        ),
        "picture_url": texts["picture.large"],
        "position": position,
    }


def _reject(
    position: int,
    user_id: uuid.UUID | None,
    reasons: Iterable[str],
    offending: dict[str, str | None],
) -> dict[str, Any]:
    """The row of a reject, with each reason once."""
    return {
        "position": position,
        "user_id": user_id,
        "reasons": list(dict.fromkeys(reasons)),
        "offending": offending,
    }


def read_day(
    documents: list[bytes], partition_date: datetime.date, requested_at: datetime.datetime
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The clean users and the rejects of a day, both in order of position."""
    users: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    seen: set[uuid.UUID] = set()
    requested = _as_instant(requested_at)
    for position, document in enumerate(documents):
        unstorable = _unstorable(document)
        if unstorable is not None:
            digest = hashlib.sha256(document).hexdigest()
            what = f"{len(document):,} bytes, sha256 {digest}"
            rejects.append(_reject(position, None, [unstorable], {"document": what}))
            continue
        try:
            value = json.loads(
                document.decode("utf-8"),
                parse_int=Number,
                parse_float=Number,
                parse_constant=_refuse,
            )
        except ValueError:
            rejects.append(_reject(position, None, ["invalid_json"], {}))
            continue
        if not isinstance(value, dict):
            rejects.append(_reject(position, None, ["not_an_object"], {}))
            continue

        leaves = {path: _leaf(value, path) for path in LEAVES}
        sent_id = leaves["login.uuid"].text
        user_id = uuid.UUID(sent_id) if sent_id and _matches("user_id", sent_id) else None
        found = [(leaf.reason, path) for path, leaf in leaves.items() if leaf.reason is not None]
        found += _broken(leaves, partition_date, requested)
        if not found and user_id in seen:
            found = [("duplicate_user_id", "login.uuid")]
        if found:
            offending = {path: leaves[path].sent for _, path in found}
            reasons = [reason for reason, _ in found]
            rejects.append(_reject(position, user_id, reasons, offending))
        elif user_id is not None:
            seen.add(user_id)
            users.append(_user(leaves, partition_date, position))
    return users, rejects


def _half_up(numerator: int, denominator: int, places: int) -> Decimal:
    """A quotient of whole numbers that are not negative, rounded once, halves up."""
    units = (2 * numerator * 10**places + denominator) // (2 * denominator)
    return Decimal(units).scaleb(-places)


def _age_band(age: int | None) -> str:
    """The member of `age_band` for an age."""
    if age is None:
        return "not born"
    return next((band for last, band in AGE_BANDS if age <= last), "75+")


def _figures(members: list[dict[str, Any]], total: int) -> tuple[Any, ...]:
    """The figures of one member of a dimension."""
    share = _half_up(len(members), total, 6) if total else None
    ages = sorted(user["age"] for user in members if user["age"] is not None)
    if not ages:
        return (len(members), share, None, None, None, None)
    count = len(ages)
    middle = ages[(count - 1) // 2] + ages[count // 2]
    return (
        len(members),
        share,
        _half_up(sum(ages), count, 2),
        ages[0],
        _half_up(middle, 2, 2),
        ages[-1],
    )


def statistics(users: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[Any, ...]]:
    """The figures of a day's clean users, by dimension and member."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {("all", "all"): list(users)}
    for user in users:
        for key in (
            ("gender", user["gender"]),
            ("nationality", user["nationality"]),
            ("age_band", _age_band(user["age"])),
        ):
            groups.setdefault(key, []).append(user)
    return {key: _figures(members, len(users)) for key, members in groups.items()}
