"""Statistics of one day's clean users.

`compute()` is DataFrame -> DataFrame. As a program it reads what `transform_users.py` wrote:

    spark-submit spark_apps/compute_statistics.py --input data/run --output data/statistics
"""

import argparse
import sys
from pathlib import Path

import pyspark.sql.functions as F
from pyspark.sql import DataFrame, Window

if __name__ == "__main__":  # run as a file: make the package around it importable
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from spark_apps.session import script_session
from spark_apps.users import DIMENSIONS, FIGURES


def compute(users: DataFrame) -> DataFrame:
    """Count and age of the users of a day, by each of DIMENSIONS.

    users needs gender string, nationality string, age smallint, of which only age may be null. The
    result has a row for each member that occurs and always one for all/all, with 0 users and
    nulls on an empty day: dimension string, member string, users bigint, share decimal(7,6) of
    the day's users, and over the ages that are not null age_avg decimal(5,2), age_min smallint,
    age_median decimal(5,2) (interpolated exactly), age_max smallint.
    """
    members = ", ".join(
        f"named_struct('dimension', '{one.name}', 'member', {one.value})" for one in DIMENSIONS
    )
    # A day has at most a few thousand kinds of users, however many users it has.
    kinds = users.groupBy("gender", "nationality", "age").agg(F.count("*").alias("n"))
    by_age = (
        kinds.select(F.explode(F.expr(f"array({members})")).alias("m"), "age", "n")
        .select("m.dimension", "m.member", "age", "n")
        # the row for all/all of an empty day; it adds nothing to any other
        .union(
            users.sparkSession.range(1).select(
                F.lit("all").alias("dimension"),
                F.lit("all").alias("member"),
                F.expr("cast(null as smallint)").alias("age"),
                F.expr("cast(0 as bigint)").alias("n"),
            )
        )
        .groupBy("dimension", "member", "age")
        .agg(F.sum("n").alias("n"))
        .withColumn("with_age", F.expr("CASE WHEN age is null THEN 0 ELSE n END"))
    )
    member = Window.partitionBy("dimension", "member")
    up_to_age = member.orderBy("age").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    # of N ages in order, the median lies between number (N+1) div 2 and N div 2 + 1
    return (
        by_age.withColumn("ages", F.sum("with_age").over(member))
        .withColumn("up_to_age", F.sum("with_age").over(up_to_age))
        .groupBy("dimension", "member")
        .agg(
            F.sum("n").alias("users"),
            F.sum("with_age").alias("aged"),
            F.sum(F.expr("age * n")).alias("age_sum"),
            F.min("age").alias("age_min"),
            F.min(F.expr("CASE WHEN up_to_age >= (ages + 1) div 2 THEN age END")).alias("age_low"),
            F.min(F.expr("CASE WHEN up_to_age >= ages div 2 + 1 THEN age END")).alias("age_high"),
            F.max("age").alias("age_max"),
        )
        .withColumn("total", F.max("users").over(Window.partitionBy(F.lit(0))))
        .select("dimension", "member", *(F.expr(one.value).alias(one.name) for one in FIGURES))
    )


def main() -> None:
    """Compute the statistics of one day, as `--help` says."""
    parser = argparse.ArgumentParser(description="Statistics of the clean users of one day.")
    parser.add_argument("--input", required=True, help="folder that transform_users.py wrote")
    parser.add_argument("--output", required=True, help="Parquet folder or URL to create")
    parser.add_argument("--remote", help="sc://host:port of a Spark Connect server")
    options = parser.parse_args()
    spark = script_session(options.remote)
    users = spark.read.parquet(options.input).where("outcome = 'clean'")
    compute(users).coalesce(1).write.parquet(options.output)
    spark.stop()


if __name__ == "__main__":
    main()
