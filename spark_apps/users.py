"""The one home of the columns of `users`, of their rules, and of the statistics: data only.

TransformUsers, the reader of the raw documents, ComputeStats, the warehouse, its fingerprints and
docs/data.md take them from here. The tables' DDL is in db-init/postgresql, and a test compares it
with this file. To add a column, append it here, add it to its table in a new file of db-init/, and
raise `logic_version` of TransformUsers.

All SQL means the same on every engine: no cast that may fail, regular expressions of ASCII
classes that end in `\\z` (Java's `$` also matches before a last line feed).
"""

import uuid
from typing import NamedTuple

from spark_apps.documents import Shape

#: What a row is called, the tables of a day, and the table of its raw documents in Cassandra.
NOUN, TABLE, REJECTS, STATISTICS = "user", "users", "rejected_users", "user_statistics"
RAW_TABLE = "raw_users"


class Rule(NamedTuple):
    """A row is rejected when the condition is not true of it.

    reason     the name that rejected rows carry, beside the text of the column's leaf
    condition  SQL over the columns, partition_date, requested_at and `{}`, the column's leaf
    meaning    a sentence for docs/data.md that says what is wrong with the row
    """

    reason: str
    condition: str
    meaning: str


class Column(NamedTuple):
    """A column of `users`.

    leaf     the path of its value in the raw document
    type     as PostgreSQL names it
    value    SQL over partition_date and `{}`, the leaf as `leaf_sql` gives it
    rules    in the order in which a reject lists their reasons
    null     when it is null, in words; empty for a column that never is
    meaning  what it holds, for docs/data.md
    example  what an answer of the API gives
    number   whether the document may hold a number there; else it must be text
    """

    name: str
    leaf: str
    type: str
    value: str
    rules: tuple[Rule, ...]
    null: str
    meaning: str
    example: str
    number: bool = False


_END = r"\\z"  # an SQL string literal halves the backslashes
_UUID = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}" + _END
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{3})?"
_INSTANT = f"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_TIME}Z{_END}"
_INTEGER = "^[0-9]{1,10}" + _END
# the limits are in the patterns, because 90.000000000000000000001 must not be rounded first
_DIGITS, _ZEROS = "([.][0-9]{1,30})?", "([.]0{1,30})?"
_LATITUDE = f"^-?(90{_ZEROS}|[0-8]?[0-9]{_DIGITS}){_END}"
_LONGITUDE = f"^-?(180{_ZEROS}|(1[0-7][0-9]|[0-9]?[0-9]){_DIGITS}){_END}"
_HOURS_AND_MINUTES = (
    f"^([+]?((0?[0-9]|1[0-3]):[0-5][0-9]|14:00)|-((0?[0-9]|1[01]):[0-5][0-9]|12:00)){_END}"
)
#: What shows nothing; spelt out, because engines disagree on what is a space.
BLANK = (
    " \t\n\x0b\f\r\x1c\x1d\x1e\x1f\x85\xa0\xad\u061c\u1680\u180e\u2000\u2001\u2002\u2003\u2004"
    "\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b"
    "\u202c\u202d\u202e\u202f\u205f\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\u2800"
    "\u3000\u3164\ufeff\uffa0"
)
_INVISIBLE = rf"\\xa0{BLANK[BLANK.index(chr(0xAD)) :]}"
_IN_NO_NAME = rf'\\x00-\\x20<>()\\[\\],;:\\\\"@\\x7f-{_INVISIBLE}'
# of ASCII, a host has letters, digits, points and hyphens
_IN_NO_HOST = rf"\\x00-\\x2c\\x2f\\x3a-\\x40\\x5b-\\x60\\x7b-{_INVISIBLE}"
# no group repeats without a bound: Java's regex recurses for each turn, and an address of 2,000
# labels overflows the stack, which ends Spark's process
_EMAIL = f"^[^{_IN_NO_NAME}]{{1,64}}@[^{_IN_NO_HOST}]+[.][^.{_IN_NO_HOST}]{{2,}}{_END}"
# a label of the host is empty, begins or ends with a hyphen, or is the last and begins with a digit
_BAD_LABEL = f"@([.-]|[^@]*([.-][.]|[.]-))|-{_END}|[.][0-9][^.]*{_END}"
_IN_NO_URL = rf'\\x00-\\x20<>"\\\\\\x7f-{_INVISIBLE}'
# without @ before the path: no name and password
_URL = f"^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@{_IN_NO_URL}]+([/?#][^{_IN_NO_URL}]*)?{_END}"

#: The lengths that a text may have, in characters.
TEXT_MAX, EMAIL_MAX, URL_MAX = 200, 254, 2048

_NATIONALITIES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ "
    "BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM "
    "DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS "
    "GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN "
    "KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ "
    "MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM "
    "PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV "
    "SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI "
    "VN VU WF WS YE YT ZA ZM ZW"
)
#: ISO 3166-1 alpha-2.
NATIONALITIES = _NATIONALITIES.split()

# 20260301 - 20000229 = 260072: 26 full years, and a 29 February counts from 1 March
_PARTITION_NUMBER = (
    "year(partition_date) * 10000 + month(partition_date) * 100 + day(partition_date)"
)
_BIRTH_NUMBER = "try_cast(replace(substring({}, 1, 10), '-', '') as int)"
_AGE = f"""CASE WHEN try_cast(substring({{}}, 1, 10) as date) <= partition_date
THEN try_cast(({_PARTITION_NUMBER} - {_BIRTH_NUMBER}) div 10000 as smallint) END"""


def leaf_sql(path: str) -> str:
    """SQL of a leaf: its text without what shows nothing at its ends, null when that is all."""
    return f"nullif(btrim(doc.{path}, '{BLANK}'), '')"


def _typed(pattern: str, value: str) -> str:
    """SQL of a value that is null unless its leaf matches the pattern.

    The pattern comes first because engines differ in what else their casts accept.
    """
    return f"CASE WHEN {{}} rlike '{pattern}' THEN {value} END"


def _limit(name: str, length: int) -> Rule:
    return Rule(
        f"{name}_too_long",
        f"{{}} is null or length({{}}) <= {length}",
        f"The text has more than {length:,} characters.",
    )


def _required(name: str) -> tuple[Rule, Rule]:
    """The rules of a text that may not be missing."""
    missing = Rule(f"{name}_missing", "{} is not null", "There is no text.")
    return missing, _limit(name, TEXT_MAX)


_NEVER, _IF_MISSING = "", "missing or blank"
_BIRTH = leaf_sql("dob.date")

#: The columns between partition_date and position, in the order of the table.
COLUMNS = (
    Column(
        "user_id", "login.uuid", "uuid", _typed(_UUID, "lower({})"),
        (Rule("user_id_invalid", "user_id is not null", "There is no UUID."),),
        _NEVER,
        "identifies a user within a date; the same value on another date means nothing; lower case",
        "155e77ee-ba6d-486f-95ce-0e0c0fb4b919",
    ),
    Column(
        "username", "login.username", "text", "{}",
        _required("username"),
        _NEVER, "no key: two users of a date may share it", "silverswan131",
    ),
    Column(
        "title", "name.title", "text", "{}", (_limit("title", TEXT_MAX),),
        _IF_MISSING, "form of address", "Mr",
    ),
    Column(
        "first_name", "name.first", "text", "{}",
        _required("first_name"),
        _NEVER, "in the user's own script", "Lea",
    ),
    Column(
        "last_name", "name.last", "text", "{}",
        _required("last_name"),
        _NEVER, "in the user's own script", "In 't Veen",
    ),
    Column(
        "gender", "gender", "text", "{}",
        (
            Rule(
                "gender_unknown", "{} in ('male', 'female')",
                "The text is neither `male` nor `female`.",
            ),
        ),
        _NEVER, "`male` or `female`, all that the API knows", "female",
    ),
    Column(
        "birth_date", "dob.date", "date",
        _typed(_INSTANT, "try_cast(substring({}, 1, 10) as date)"),
        (
            Rule(
                "birth_date_invalid", "birth_date is not null",
                "There is no date of the calendar, written as YYYY-MM-DDTHH:MM:SS[.mmm]Z.",
            ),
            Rule(
                "birth_date_in_future", "birth_date is null or birth_date <= requested_date",
                "The user was born after the day (UTC) on which the extraction began.",
            ),
        ),
        _NEVER, "day of birth in UTC; may be after partition_date on a back-filled date",
        "1990-09-18",
    ),
    Column(
        "age", "dob.date", "smallint", _typed(_INSTANT, _AGE),
        (
            Rule(
                "age_over_120", "age is null or age <= 120",
                "The user is more than 120 years old on partition_date.",
            ),
        ),
        "born after partition_date",
        "full years on partition_date; born on 29 February, a user is a year older on that day, or "
        "on 1 March of a year without it",
        "35",
    ),
    Column(
        "email", "email", "text",
        _typed(_EMAIL, f"CASE WHEN NOT {{}} rlike '{_BAD_LABEL}' THEN {{}} END"),
        (
            Rule(
                "email_invalid", "email is not null or {} is null",
                "The text is not one address like name@host.domain.",
            ),
            _limit("email", EMAIL_MAX),
        ),
        _IF_MISSING, "no key: two users of a date may share it", "lea.bernard@example.com",
    ),
    Column(
        "phone", "phone", "text", "{}", (_limit("phone", TEXT_MAX),),
        _IF_MISSING, "in the country's own form, letters among the digits", "02-97-33-55-60",
        number=True,
    ),
    Column(
        "cell", "cell", "text", "{}", (_limit("cell", TEXT_MAX),),
        _IF_MISSING, "as phone", "06-10-57-71-79", number=True,
    ),
    Column(
        "street_number", "location.street.number", "integer",
        _typed(_INTEGER, "try_cast({} as int)"),
        (
            Rule(
                "street_number_invalid", "street_number is not null or {} is null",
                "The value is not a whole number from 0 to 2,147,483,647 in digits.",
            ),
        ),
        _IF_MISSING, "number of the house", "7781", number=True,
    ),
    Column(
        "street_name", "location.street.name", "text", "{}", (_limit("street_name", TEXT_MAX),),
        _IF_MISSING, "street without the number", "Rue du Bât-D'Argent",
    ),
    Column(
        "city", "location.city", "text", "{}", (_limit("city", TEXT_MAX),),
        _IF_MISSING, "drawn by the API independently of state and country", "Støvring",
    ),
    Column(
        "state", "location.state", "text", "{}", (_limit("state", TEXT_MAX),),
        _IF_MISSING, "state, county or region", "Île-de-France",
    ),
    Column(
        "country", "location.country", "text", "{}", (_limit("country", TEXT_MAX),),
        _IF_MISSING, "name of the country in English", "France",
    ),
    Column(
        "postcode", "location.postcode", "text", "{}", (_limit("postcode", TEXT_MAX),),
        _IF_MISSING,
        "text, with its leading zeros; what the API sends as a number is kept as it was written",
        "00501", number=True,
    ),
    Column(
        "latitude", "location.coordinates.latitude", "numeric(7,4)",
        _typed(_LATITUDE, "cast(try_cast({} as decimal(38, 30)) as decimal(7, 4))"),
        (
            Rule(
                "latitude_invalid", "latitude is not null or {} is null",
                "The value is not a decimal number from -90 to 90 with at most 30 decimals.",
            ),
        ),
        _IF_MISSING, "degrees north, rounded to 4 decimals, halves away from zero", "-6.2190",
        number=True,
    ),
    Column(
        "longitude", "location.coordinates.longitude", "numeric(7,4)",
        _typed(_LONGITUDE, "cast(try_cast({} as decimal(38, 30)) as decimal(7, 4))"),
        (
            Rule(
                "longitude_invalid", "longitude is not null or {} is null",
                "The value is not a decimal number from -180 to 180 with at most 30 decimals.",
            ),
        ),
        _IF_MISSING, "degrees east, rounded to 4 decimals, halves away from zero", "17.0000",
        number=True,
    ),
    Column(
        "timezone_offset", "location.timezone.offset", "text",
        _typed(
            _HOURS_AND_MINUTES,
            "concat(CASE WHEN {} rlike '-.*[1-9]' THEN '-' ELSE '+' END, "
            "lpad(replace(replace(substring({}, 1, length({}) - 3), '+', ''), '-', ''), 2, '0'), "
            "substring({}, length({}) - 2))",
        ),
        (
            Rule(
                "timezone_offset_invalid", "timezone_offset is not null or {} is null",
                "The text is not an offset from -12:00 to +14:00.",
            ),
        ),
        _IF_MISSING, "offset from UTC, always as +HH:MM or -HH:MM; zero is +00:00", "+09:30",
    ),
    Column(
        "nationality", "nat", "character(2)", "{}",
        (
            Rule(
                "nationality_invalid", "{} in (" + ", ".join(f"'{n}'" for n in NATIONALITIES) + ")",
                "The text is not a code of ISO 3166-1 alpha-2.",
            ),
        ),
        _NEVER, "country code of ISO 3166-1 alpha-2", "FR",
    ),
    Column(
        "registered_at", "registered.date", "timestamp with time zone",
        _typed(_INSTANT, "try_cast({} as timestamp)"),
        (
            Rule(
                "registered_at_invalid", "registered_at is not null or {} is null",
                "The text is not an instant like 2015-11-04T22:09:36.415Z.",
            ),
            Rule(
                "registered_in_future", "registered_at is null or registered_at <= requested_at",
                "The user registered after the extraction began.",
            ),
            Rule(
                "registered_before_birth",
                "registered_at is null or birth_date is null or "
                f"registered_at >= try_cast({_BIRTH} as timestamp)",
                "The user registered before the instant in `dob.date`.",
            ),
        ),
        _IF_MISSING, "when the user registered; may be after partition_date on a back-filled date",
        "2015-11-04 22:09:36.415+00",
    ),
    Column(
        "picture_url", "picture.large", "text", _typed(_URL, "{}"),
        (
            Rule(
                "picture_url_invalid", "picture_url is not null or {} is null",
                "The text is not an address of http or https without a name and password.",
            ),
            _limit("picture_url", URL_MAX),
        ),
        _IF_MISSING, "address of the largest picture; users share pictures",
        "https://randomuser.me/api/portraits/men/75.jpg",
    ),
)  # fmt: skip

#: The column that identifies a row of a day, its type, and all that `workflow trace` shows of one.
KEY = COLUMNS[0]
Key = uuid.UUID
SHOWN = ("user_id", "first_name", "last_name", "birth_date")

#: An earlier clean row of the day is the same user.
DUPLICATE = Rule(
    f"duplicate_{KEY.name}",
    "",
    "A clean row of the date with a lower position is the same user.",
)

# The objects of a document in the order in which a reject lists what is wrong in them; the leaves
# at the top come before, objects that are not named here after.
_OBJECTS = ("name", "location", "login", "dob", "registered", "picture")


def _rank(leaf: str) -> int:
    top, _, below = leaf.partition(".")
    return -1 if not below else _OBJECTS.index(top) if top in _OBJECTS else len(_OBJECTS)


#: What anything after Cassandra may see of a RandomUser 1.4 document: no password, salt or hash, no
#: national id value.
SHAPE = Shape(
    leaves=sorted(dict.fromkeys(column.leaf for column in COLUMNS), key=_rank),
    numbers=[column.leaf for column in COLUMNS if column.number],
    secret_keys=["password", "salt", "md5", "sha1", "sha256"],
    open_keys={"login": ["uuid", "username"], "id": ["name"]},
)

# ---- statistics --------------------------------------------------------------------------

_AGE_BAND = """
CASE WHEN age is null THEN 'not born'
     WHEN age < 18 THEN '0-17'
     WHEN age < 25 THEN '18-24'
     WHEN age < 35 THEN '25-34'
     WHEN age < 45 THEN '35-44'
     WHEN age < 55 THEN '45-54'
     WHEN age < 65 THEN '55-64'
     WHEN age < 75 THEN '65-74'
     ELSE '75+' END"""


class Dimension(NamedTuple):
    """What users are counted by; `value` is SQL of the member that a user belongs to."""

    name: str
    value: str
    meaning: str


DIMENSIONS = (
    Dimension("all", "'all'", "`all`: every user, in the one row of an empty day, too"),
    Dimension("gender", "gender", "`female`, `male`"),
    Dimension("nationality", "nationality", "the codes that occur"),
    Dimension(
        "age_band",
        _AGE_BAND,
        "`0-17`, `18-24`, `25-34`, `35-44`, `45-54`, `55-64`, `65-74`, `75+`, and `not born`: born "
        "after partition_date, without an age",
    ),
)


def _ratio(dividend: str, divisor: str, digits: int, precision: int) -> str:
    """SQL of dividend / divisor, whole numbers >= 0, rounded half up to a decimal.

    In whole numbers, because engines round doubles differently: 1.005 to 1.00 or 1.01. The
    last division only shifts the point; a double holds 15 digits. Null when divided by 0.
    """
    scale = 10**digits
    units = f"(2 * {scale} * {dividend} + {divisor}) div nullif(2 * {divisor}, 0)"
    return f"cast(cast({units} as double) / {scale} as decimal({precision}, {digits}))"


class Figure(NamedTuple):
    """A figure of each member.

    value is SQL over its users, those of them with an age (`aged`), age_sum, age_min, age_max, the
    two ages in the middle (age_low, age_high; one and the same for an odd number), and `total`,
    the users of the day; numbers are bigint. null says when it is null, as in Column.
    """

    name: str
    type: str
    value: str
    null: str
    meaning: str


_WITHOUT_AGES = "nobody has an age"

FIGURES = (
    Figure("users", "bigint", "users", _NEVER, "number of clean users of the date in the member"),
    Figure(
        "share", "numeric(7,6)", _ratio("users", "total", 6, 7), "on an empty day",
        "users / all clean users of the date, rounded half up to 6 decimals",
    ),
    Figure(
        "age_avg", "numeric(5,2)", _ratio("age_sum", "aged", 2, 5), _WITHOUT_AGES,
        "sum of the ages / number of users with an age, rounded half up to 2 decimals",
    ),
    Figure("age_min", "smallint", "age_min", _WITHOUT_AGES, "lowest age"),
    Figure(
        "age_median", "numeric(5,2)", _ratio("(age_low + age_high)", "2", 2, 5), _WITHOUT_AGES,
        "the age in the middle, or the exact mean of the two in the middle",
    ),
    Figure("age_max", "smallint", "age_max", _WITHOUT_AGES, "highest age"),
)  # fmt: skip

#: What a person is shown of them: figures by headings, all dimensions but one; or a sentence.
FIGURES_SHOWN = ("users", "share", "age_avg", "age_median", "age_min", "age_max")
HEADINGS = ("users", "share", "age: mean", "median", "from", "to")
NOT_SHOWN = "nationality"
SUMMARY = "{0.users:,} users, mean age {0.age_avg}"
