"""Raw users of one day, typed and split into clean and rejected rows.

`transform()` is DataFrame -> DataFrame; what clean rows hold stands in `COLUMNS`, which rows
are rejected in `RULES`. As a program it reads one extraction from Cassandra and writes
Parquet, one folder per outcome:

    spark-submit spark_apps/transform_users.py --date 2026-03-01 --extraction-id UUID \\
        --rows 1000 --buckets 1 --hosts 127.0.0.1 --output data/run

All expressions mean the same on every engine: no cast that may fail, regular expressions of
ASCII classes that end in `\\z` (Java's `$` also matches before a last line feed).
"""

import argparse
import sys
import uuid
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pyspark.sql.functions as F
from pyspark.sql import DataFrame, Window

if __name__ == "__main__":  # run as a file: make the package around it importable
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from spark_apps.cassandra_source import DOCUMENT_DDL, ERRORS_DDL, raw_users
from spark_apps.session import script_session


class Rule(NamedTuple):
    """A row is rejected when the condition is not true of it.

    name       the reason, as rejected rows carry it
    field      the leaf of the raw document, whose text they carry with it
    condition  SQL over `doc`, COLUMNS and partition_date; `{}` is the field
    """

    name: str
    field: str
    condition: str


def _typed(field: str, pattern: str, value: str) -> str:
    """SQL of a value that is null unless its leaf has the pattern.

    The pattern comes first because engines differ in what else their casts accept.
    """
    return f"CASE WHEN {field} rlike '{pattern}' THEN {value.replace('{}', field)} END"


_END = r"\\z"  # an SQL string literal halves the backslashes
_UUID = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}" + _END
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{3})?"
_INSTANT = f"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_TIME}Z{_END}"
_COORDINATE = "^-?[0-9]{1,3}([.][0-9]{1,4})?" + _END
_SPACE = r" \\t\\n\\x0B\\f\\r"
# Blank is what shows nothing; spelt out, because engines differ in what they call a space.
_BLANK = _SPACE + "\u0085\u00a0\u2000-\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
_FILLED = f"{{}} rlike '[^{_BLANK}]'"

# 20260301 - 20000229 = 260072: 26 full years, and a 29 February counts from 1 March
_PARTITION_NUMBER = (
    "year(partition_date) * 10000 + month(partition_date) * 100 + day(partition_date)"
)
_BIRTH_NUMBER = "try_cast(replace(substring({}, 1, 10), '-', '') as int)"
_AGE = f"try_cast(({_PARTITION_NUMBER} - {_BIRTH_NUMBER}) div 10000 as smallint)"

#: The columns of a user, between position and reasons: name, SQL over `doc` (the raw document
#: with every leaf as text) and partition_date.
COLUMNS = (
    ("user_id", _typed("doc.login.uuid", _UUID, "lower({})")),
    ("username", "doc.login.username"),
    ("title", "doc.name.title"),
    ("first_name", "doc.name.first"),
    ("last_name", "doc.name.last"),
    ("gender", "doc.gender"),
    ("birth_date", _typed("doc.dob.date", _INSTANT, "try_cast(substring({}, 1, 10) as date)")),
    ("age", _typed("doc.dob.date", _INSTANT, _AGE)),
    ("email", "doc.email"),
    ("phone", "doc.phone"),
    ("cell", "doc.cell"),
    (
        "street_number",
        _typed("doc.location.street.number", "^[0-9]{1,10}" + _END, "try_cast({} as int)"),
    ),
    ("street_name", "doc.location.street.name"),
    ("city", "doc.location.city"),
    ("state", "doc.location.state"),
    ("country", "doc.location.country"),
    ("postcode", "doc.location.postcode"),
    (
        "latitude",
        _typed("doc.location.coordinates.latitude", _COORDINATE, "try_cast({} as decimal(7, 4))"),
    ),
    (
        "longitude",
        _typed("doc.location.coordinates.longitude", _COORDINATE, "try_cast({} as decimal(7, 4))"),
    ),
    ("timezone_offset", "doc.location.timezone.offset"),
    ("nationality", "doc.nat"),
    ("registered_at", _typed("doc.registered.date", _INSTANT, "try_cast({} as timestamp)")),
    ("picture_url", "doc.picture.large"),
)

#: All reasons of a row are kept: what `cassandra_source.check_document` finds, these rules in
#: this order, but for the leaves that it has found already, and DUPLICATE. A document that is
#: no JSON object has its one reason.
RULES = (
    Rule("user_id_invalid", "login.uuid", "user_id is not null"),
    Rule("username_missing", "login.username", _FILLED),
    Rule("title_missing", "name.title", _FILLED),
    Rule("first_name_missing", "name.first", _FILLED),
    Rule("last_name_missing", "name.last", _FILLED),
    Rule("gender_unknown", "gender", "{} in ('male', 'female')"),
    Rule("birth_date_invalid", "dob.date", "birth_date is not null"),
    Rule("birth_date_in_future", "dob.date", "birth_date is null or birth_date <= partition_date"),
    Rule("age_over_120", "dob.date", "birth_date is null or age <= 120"),
    Rule("email_invalid", "email", f"{{}} rlike '^[^@{_SPACE}]+@[^@{_SPACE}]+{_END}'"),
    Rule("phone_missing", "phone", _FILLED),
    Rule("cell_missing", "cell", _FILLED),
    Rule("street_number_invalid", "location.street.number", "street_number is not null"),
    Rule("street_name_missing", "location.street.name", _FILLED),
    Rule("city_missing", "location.city", _FILLED),
    Rule("state_missing", "location.state", _FILLED),
    Rule("country_missing", "location.country", _FILLED),
    Rule("postcode_missing", "location.postcode", _FILLED),
    Rule("latitude_invalid", "location.coordinates.latitude", "latitude between -90 and 90"),
    Rule("longitude_invalid", "location.coordinates.longitude", "longitude between -180 and 180"),
    Rule(
        "timezone_offset_invalid",
        "location.timezone.offset",
        f"{{}} rlike '^[+-]?[0-9]{{1,2}}:[0-9]{{2}}{_END}'",
    ),
    Rule("nationality_invalid", "nat", f"{{}} rlike '^[A-Z]{{2}}{_END}'"),
    Rule("registered_at_invalid", "registered.date", "registered_at is not null"),
    # not compared with the partition date: back-fills of old dates must load
    Rule(
        "registered_before_birth",
        "registered.date",
        "birth_date is null or registered_at is null"
        " or substring({}, 1, 10) >= substring(doc.dob.date, 1, 10)",
    ),
    Rule("picture_url_missing", "picture.large", _FILLED),
)

#: Another row of the day, clean or rejected, with a lower position, is the same user.
DUPLICATE = "duplicate_user_id"

_REASON = "named_struct('reason', {reason}, 'field', {field}, 'value', {value})"


def _broken(rule: Rule) -> str:
    """SQL of the reason that a row breaks the rule, null when it keeps it or has an unfit leaf."""
    leaf = f"doc.{rule.field}"
    reason = _REASON.format(reason=f"'{rule.name}'", field=f"'{rule.field}'", value=leaf)
    kept = f"coalesce({rule.condition.replace('{}', leaf)}, false)"
    # null, not false, where an error has no field
    unfit = f"coalesce(array_contains(json_errors.field, '{rule.field}'), false)"
    return f"CASE WHEN NOT ({kept} OR {unfit}) THEN {reason} END"


def transform(raw: DataFrame, partition_date: date) -> DataFrame:
    """Type the raw users of a day and say of each whether it is clean or rejected.

    raw is (position int, raw_data string, json_errors string), as `raw_users` gives it. The
    result has a row for each of raw: position int; COLUMNS, of which a rejected row keeps only
    user_id; reasons array<struct<reason, field, value: string>>, null in a clean row; outcome
    `clean` or `rejected`. Write it with `.write.partitionBy("outcome")`.
    """
    repeated = _REASON.format(reason=f"'{DUPLICATE}'", field="'login.uuid'", value="doc.login.uuid")
    reasons = (
        "CASE WHEN raw_data is null THEN json_errors ELSE "
        f"concat(json_errors, array_compact(array({', '.join(map(_broken, RULES))}))) END"
    )
    # a row without user is alone in its window: thousands of them must not meet in one
    same_user = Window.partitionBy(F.expr("coalesce(user_id, cast(position as string))"))
    return (
        raw.select(
            "position",
            "raw_data",
            F.expr(f"coalesce(from_json(json_errors, '{ERRORS_DDL}'), array())").alias(
                "json_errors"
            ),
            F.expr(f"from_json(raw_data, '{DOCUMENT_DDL}')").alias("doc"),
            F.lit(partition_date).alias("partition_date"),
        )
        .select("*", *(F.expr(sql).alias(name) for name, sql in COLUMNS))
        .withColumn("reasons", F.expr(reasons))
        .withColumn("first_position", F.min("position").over(same_user))
        .withColumn(
            "reasons",
            F.expr(
                "CASE WHEN position > first_position "
                f"THEN concat(reasons, array({repeated})) "
                "WHEN size(reasons) > 0 THEN reasons END"
            ),
        )
        .select(
            "position",
            "user_id",
            *(
                F.expr(f"CASE WHEN reasons is null THEN {name} END").alias(name)
                for name, _ in COLUMNS[1:]
            ),
            "reasons",
            F.expr("CASE WHEN reasons is null THEN 'clean' ELSE 'rejected' END").alias("outcome"),
        )
    )


def main() -> None:
    """Transform one extraction, as `--help` says."""
    parser = argparse.ArgumentParser(description="Type and check the raw users of one day.")
    parser.add_argument("--date", type=date.fromisoformat, required=True, help="partition date")
    parser.add_argument("--extraction-id", type=uuid.UUID, required=True)
    parser.add_argument("--rows", type=int, required=True, help="rows of the extraction")
    parser.add_argument("--buckets", type=int, required=True, help="its buckets")
    parser.add_argument("--output", required=True, help="Parquet folder or URL to create")
    parser.add_argument("--hosts", default="127.0.0.1", help="of Cassandra, comma-separated")
    parser.add_argument("--port", type=int, default=9042)
    parser.add_argument("--datacenter", default="datacenter1")
    parser.add_argument("--keyspace", default="batch_keyspace")
    parser.add_argument("--user", default="")
    parser.add_argument("--password-file", default="", help="a path on the executors")
    parser.add_argument("--readers", type=int, default=2, help="Spark tasks that read")
    parser.add_argument("--remote", help="sc://host:port of a Spark Connect server")
    options = parser.parse_args()
    spark = script_session(options.remote)
    raw = raw_users(
        spark,
        hosts=options.hosts,
        port=options.port,
        datacenter=options.datacenter,
        keyspace=options.keyspace,
        extraction_date=options.date,
        extraction_id=options.extraction_id,
        rows=options.rows,
        buckets=options.buckets,
        readers=options.readers,
        user=options.user,
        password_file=options.password_file,
    )
    transform(raw, options.date).write.partitionBy("outcome").parquet(options.output)
    spark.stop()


if __name__ == "__main__":
    main()
