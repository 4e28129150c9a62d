"""The one home of the columns of `users`, of their rules, and of the statistics: data only.

TransformUsers, the reader of the raw documents, ComputeStats, the warehouse and its fingerprints
take them from here. The tables' DDL is in db-init/postgresql, and a test compares it with this
file. To add a column, append it here, add it to its table in a new file of db-init/, and
raise `logic_version` of TransformUsers.

All SQL means the same on every engine: no cast that may fail, regular expressions of ASCII
classes that end in `\\z` (Java's `$` also matches before a last line feed).
"""

import uuid
from typing import NamedTuple

#: What a row is called, the tables of a day, and the table of its raw documents in Cassandra.
NOUN, TABLE, REJECTS, STATISTICS = "user", "users", "rejected_users", "user_statistics"
RAW_TABLE = "raw_users"


class Rule(NamedTuple):
    """A row is rejected when the condition is not true of it.

    reason     the name that rejected rows carry, beside the text of the column's leaf
    condition  SQL over the columns, partition_date and `doc`; `{}` is the column's leaf
    """

    reason: str
    condition: str


class Column(NamedTuple):
    """A column of `users`.

    leaf   the path of its value in the raw document
    value  SQL over `{}`, the leaf as text, and partition_date
    rules  in the order in which a reject lists their reasons
    """

    name: str
    leaf: str
    value: str
    rules: tuple[Rule, ...]


_END = r"\\z"  # an SQL string literal halves the backslashes
_UUID = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}" + _END
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{3})?"
_INSTANT = f"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_TIME}Z{_END}"
_INTEGER = "^[0-9]{1,10}" + _END
_DECIMAL = "try_cast({} as decimal(7, 4))"
_COORDINATE = "^-?[0-9]{1,3}([.][0-9]{1,4})?" + _END
_OFFSET = f"^[+-]?[0-9]{{1,2}}:[0-9]{{2}}{_END}"
_SPACE = r" \\t\\n\\x0B\\f\\r"
# Blank is what shows nothing; spelt out, because engines disagree on what is a space.
_BLANK = _SPACE + "\u0085\u00a0\u2000-\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"

# 20260301 - 20000229 = 260072: 26 full years, and a 29 February counts from 1 March
_PARTITION_NUMBER = (
    "year(partition_date) * 10000 + month(partition_date) * 100 + day(partition_date)"
)
_BIRTH_NUMBER = "try_cast(replace(substring({}, 1, 10), '-', '') as int)"
_AGE = f"try_cast(({_PARTITION_NUMBER} - {_BIRTH_NUMBER}) div 10000 as smallint)"
_NOT_BEFORE_BIRTH = (
    "birth_date is null or registered_at is null"
    " or substring({}, 1, 10) >= substring(doc.dob.date, 1, 10)"
)


def _column(name: str, leaf: str, value: str, *rules: tuple[str, str]) -> Column:
    return Column(name, leaf, value, tuple(Rule(*rule) for rule in rules))


def _text(name: str, leaf: str) -> Column:
    """A text that must not be blank, kept as it is."""
    return _column(name, leaf, "{}", (f"{name}_missing", f"{{}} rlike '[^{_BLANK}]'"))


def _pattern(name: str, leaf: str, reason: str, pattern: str) -> Column:
    """A text that must match a pattern, kept as it is."""
    return _column(name, leaf, "{}", (reason, f"{{}} rlike '{pattern}'"))


def _typed(pattern: str, value: str) -> str:
    """SQL of a value that is null unless its leaf matches the pattern.

    The pattern comes first because engines differ in what else their casts accept.
    """
    return f"CASE WHEN {{}} rlike '{pattern}' THEN {value} END"


#: The columns between partition_date and position, in the order of the table.
COLUMNS = (
    _column(
        "user_id",
        "login.uuid",
        _typed(_UUID, "lower({})"),
        ("user_id_invalid", "user_id is not null"),
    ),
    _text("username", "login.username"),
    _text("title", "name.title"),
    _text("first_name", "name.first"),
    _text("last_name", "name.last"),
    _column("gender", "gender", "{}", ("gender_unknown", "{} in ('male', 'female')")),
    _column(
        "birth_date",
        "dob.date",
        _typed(_INSTANT, "try_cast(substring({}, 1, 10) as date)"),
        ("birth_date_invalid", "birth_date is not null"),
        ("birth_date_in_future", "birth_date is null or birth_date <= partition_date"),
    ),
    _column(
        "age",
        "dob.date",
        _typed(_INSTANT, _AGE),
        ("age_over_120", "birth_date is null or age <= 120"),
    ),
    _pattern("email", "email", "email_invalid", f"^[^@{_SPACE}]+@[^@{_SPACE}]+{_END}"),
    _text("phone", "phone"),
    _text("cell", "cell"),
    _column(
        "street_number",
        "location.street.number",
        _typed(_INTEGER, "try_cast({} as int)"),
        ("street_number_invalid", "street_number is not null"),
    ),
    _text("street_name", "location.street.name"),
    _text("city", "location.city"),
    _text("state", "location.state"),
    _text("country", "location.country"),
    _text("postcode", "location.postcode"),
    _column(
        "latitude",
        "location.coordinates.latitude",
        _typed(_COORDINATE, _DECIMAL),
        ("latitude_invalid", "latitude between -90 and 90"),
    ),
    _column(
        "longitude",
        "location.coordinates.longitude",
        _typed(_COORDINATE, _DECIMAL),
        ("longitude_invalid", "longitude between -180 and 180"),
    ),
    _pattern("timezone_offset", "location.timezone.offset", "timezone_offset_invalid", _OFFSET),
    _pattern("nationality", "nat", "nationality_invalid", f"^[A-Z]{{2}}{_END}"),
    _column(
        "registered_at",
        "registered.date",
        _typed(_INSTANT, "try_cast({} as timestamp)"),
        ("registered_at_invalid", "registered_at is not null"),
        # not compared with the partition date: back-fills of old dates must load
        ("registered_before_birth", _NOT_BEFORE_BIRTH),
    ),
    _text("picture_url", "picture.large"),
)

#: The column that identifies a row of a day, its type, and all that `workflow trace` shows of one.
KEY = COLUMNS[0]
Key = uuid.UUID
SHOWN = ("user_id", "first_name", "last_name", "birth_date")

#: Another row of the day, clean or rejected, with a lower position, is the same user.
DUPLICATE = f"duplicate_{KEY.name}"

# The objects of a document in the order in which a reject lists what is wrong in them; the leaves
# at the top come before, objects that are not named here after.
_OBJECTS = ("name", "location", "login", "dob", "registered", "picture")


def _rank(leaf: str) -> int:
    top, _, below = leaf.partition(".")
    return -1 if not below else _OBJECTS.index(top) if top in _OBJECTS else len(_OBJECTS)


#: The leaves of a RandomUser 1.4 document that anything after Cassandra may see.
#: No password, salt or hash, no national id value.
LEAVES = tuple(sorted(dict.fromkeys(column.leaf for column in COLUMNS), key=_rank))

#: Keys of a document whose values are never shown; the only ones shown of objects that hold such.
SECRET_KEYS = frozenset({"password", "salt", "md5", "sha1", "sha256"})
OPEN_KEYS = {"login": frozenset({"uuid", "username"}), "id": frozenset({"name"})}

# ---- statistics --------------------------------------------------------------------------

_AGE_BAND = """
CASE WHEN age < 18 THEN 'under 18'
     WHEN age < 25 THEN '18-24'
     WHEN age < 35 THEN '25-34'
     WHEN age < 45 THEN '35-44'
     WHEN age < 55 THEN '45-54'
     WHEN age < 65 THEN '55-64'
     WHEN age < 75 THEN '65-74'
     ELSE '75+' END"""

#: What the users are counted by: dimension, SQL of the member that a user belongs to.
DIMENSIONS = (
    ("all", "'all'"),
    ("gender", "gender"),
    ("nationality", "nationality"),
    ("age_band", _AGE_BAND),
)


def _ratio(dividend: str, divisor: str, digits: int, precision: int) -> str:
    """SQL of dividend / divisor, whole numbers >= 0, rounded half up to a decimal.

    In whole numbers, because engines round doubles differently: 1.005 to 1.00 or 1.01. The
    last division only shifts the point; a double holds 15 digits. Null when divided by 0.
    """
    scale = 10**digits
    units = f"(2 * {scale} * {dividend} + {divisor}) div nullif(2 * {divisor}, 0)"
    return f"cast(cast({units} as double) / {scale} as decimal({precision}, {digits}))"


#: The figures of each member: name, SQL over its users (bigint), age_sum, age_min, age_max, the
#: two ages in the middle (age_low, age_high; one and the same for an odd number), and `total`,
#: the users of the day.
FIGURES = (
    ("users", "users"),
    ("share", _ratio("users", "total", 6, 7)),
    ("age_avg", _ratio("age_sum", "users", 2, 5)),
    ("age_min", "age_min"),
    ("age_median", _ratio("(age_low + age_high)", "2", 2, 5)),
    ("age_max", "age_max"),
)

#: What a person is shown of them: figures by headings, all dimensions but one; or a sentence.
FIGURES_SHOWN = ("users", "share", "age_avg", "age_median", "age_min", "age_max")
HEADINGS = ("users", "share", "age: mean", "median", "from", "to")
NOT_SHOWN = "nationality"
SUMMARY = "{0.users:,} users, mean age {0.age_avg}"
