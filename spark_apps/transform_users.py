"""The raw users of one day, typed and split into clean and rejected rows.

`transform()` is DataFrame -> DataFrame; users.py says what clean rows hold and which rows are
rejected. As a program it reads one extraction from Cassandra and writes Parquet, one folder per
outcome:

    spark-submit spark_apps/transform_users.py --date 2026-03-01 --extraction-id UUID \\
        --requested-at 2026-03-02T01:00:00Z --rows 1000 --bucket-rows 20000 --hosts 127.0.0.1 \\
        --output data/run

All reasons of a row are kept: what `documents.Documents` finds, then the broken rules of the
columns in their order, but for the leaves that it has found already. A document that is no JSON
object has its one reason. Of clean rows with one key the first stays, and each other has DUPLICATE.
"""

import argparse
import sys
import uuid
from datetime import UTC, date, datetime
from pathlib import Path

import pyspark.sql.functions as F
from pyspark.sql import DataFrame, Window

if __name__ == "__main__":  # run as a file: make the package around it importable
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from spark_apps.cassandra_source import raw_documents
from spark_apps.documents import ERRORS_DDL, EVIDENCE_MAX, Documents
from spark_apps.session import script_session
from spark_apps.users import COLUMNS, DUPLICATE, KEY, RAW_TABLE, SHAPE, Column, Rule, leaf_sql


def _of_leaf(column: Column, sql: str) -> str:
    """SQL of users.py with the column's leaf filled in."""
    return sql.replace("{}", leaf_sql(column.leaf))


def _reason(column: Column, rule: Rule) -> str:
    """SQL of the struct that says that a row breaks a rule, and what was sent."""
    sent = f"doc.{column.leaf}"
    shown = (
        f"CASE WHEN length({sent}) > {EVIDENCE_MAX} "
        f"THEN concat(substring({sent}, 1, {EVIDENCE_MAX}), '…') ELSE {sent} END"
    )
    return f"named_struct('reason', '{rule.reason}', 'field', '{column.leaf}', 'value', {shown})"


def _broken(column: Column, rule: Rule) -> str:
    """SQL of the reason that a row breaks the rule, null when it keeps it or has an unfit leaf."""
    kept = f"coalesce({_of_leaf(column, rule.condition)}, false)"
    # null, not false, for an error without field
    unfit = f"coalesce(array_contains(json_errors.field, '{column.leaf}'), false)"
    return f"CASE WHEN NOT ({kept} OR {unfit}) THEN {_reason(column, rule)} END"


def transform(raw: DataFrame, partition_date: date, requested_at: datetime) -> DataFrame:
    """Type the raw users of a day and say of each whether it is clean or rejected.

    raw is (position int, raw_data string, json_errors string), as `raw_documents` gives it;
    requested_at, with a time zone, is when the extraction that completed them began. The result
    has a row for each of raw: position int; COLUMNS, of which a rejected row keeps only KEY;
    reasons array<struct<reason, field, value: string>>, null in a clean row; outcome `clean` or
    `rejected`. Write it with `.write.partitionBy("outcome")`.
    """
    broken = ", ".join(_broken(column, rule) for column in COLUMNS for rule in column.rules)
    reasons = (
        "CASE WHEN raw_data is null THEN json_errors ELSE "
        f"concat(json_errors, array_compact(array({broken}))) END"
    )
    # a row without key is alone in its window: thousands of them must not share one
    same_key = Window.partitionBy(F.expr(f"coalesce({KEY.name}, cast(position as string))"))
    return (
        raw.select(
            "position",
            "raw_data",
            F.expr(f"coalesce(from_json(json_errors, '{ERRORS_DDL}'), array())").alias(
                "json_errors"
            ),
            F.expr(f"from_json(raw_data, '{Documents(SHAPE).ddl}')").alias("doc"),
            F.lit(partition_date).alias("partition_date"),
            F.lit(requested_at).alias("requested_at"),
            F.lit(requested_at.astimezone(UTC).date()).alias("requested_date"),
        )
        .select("*", *(F.expr(_of_leaf(one, one.value)).alias(one.name) for one in COLUMNS))
        .withColumn("reasons", F.expr(reasons))
        .withColumn(
            "first_clean",
            F.min(F.expr("CASE WHEN size(reasons) = 0 THEN position END")).over(same_key),
        )
        .withColumn(
            "reasons",
            F.expr(
                "CASE WHEN size(reasons) > 0 THEN reasons "
                f"WHEN position > first_clean THEN array({_reason(KEY, DUPLICATE)}) END"
            ),
        )
        .select(
            "position",
            KEY.name,
            *(
                F.expr(f"CASE WHEN reasons is null THEN {column.name} END").alias(column.name)
                for column in COLUMNS
                if column is not KEY
            ),
            "reasons",
            F.expr("CASE WHEN reasons is null THEN 'clean' ELSE 'rejected' END").alias("outcome"),
        )
    )


def main() -> None:
    """Transform one extraction, as `--help` says."""
    parser = argparse.ArgumentParser(description="Type and check the raw users of one day.")
    parser.add_argument(
        "--date", dest="extraction_date", type=date.fromisoformat, required=True, help="of the day"
    )
    parser.add_argument("--extraction-id", type=uuid.UUID, required=True)
    parser.add_argument(
        "--requested-at", type=datetime.fromisoformat, required=True, help="with a time zone"
    )
    parser.add_argument("--rows", type=int, required=True, help="rows of the extraction")
    parser.add_argument("--output", required=True, help="Parquet folder or URL to create")
    parser.add_argument("--hosts", default="127.0.0.1", help="of Cassandra, comma-separated")
    parser.add_argument("--port", type=int, default=9042)
    parser.add_argument("--datacenter", default="datacenter1")
    parser.add_argument("--keyspace", default="batch_keyspace")
    parser.add_argument("--user", default="")
    parser.add_argument("--password-file", default="", help="a path on the executors")
    parser.add_argument("--bucket-rows", type=int, required=True, help="positions per bucket")
    parser.add_argument("--readers", type=int, default=2, help="Spark tasks that read")
    parser.add_argument("--patience", type=float, default=60.0, help="for nodes that are away, s")
    parser.add_argument("--remote", help="sc://host:port of a Spark Connect server")
    options = vars(parser.parse_args())
    output, spark = options.pop("output"), script_session(options.pop("remote"))
    requested_at = options.pop("requested_at")
    if requested_at.tzinfo is None:
        parser.error("--requested-at needs a time zone: 2026-03-02T01:00:00Z")
    table = f"{options.pop('keyspace')}.{RAW_TABLE}"
    raw = raw_documents(spark, table=table, shape=SHAPE, **options)
    users = transform(raw, options["extraction_date"], requested_at)
    users.write.partitionBy("outcome").parquet(output)
    spark.stop()


if __name__ == "__main__":
    main()
