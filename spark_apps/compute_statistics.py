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

AGE_BAND = """
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
    ("age_band", AGE_BAND),
)


def _ratio(dividend: str, divisor: str, digits: int, precision: int) -> str:
    """SQL of dividend / divisor, whole numbers >= 0, rounded half up to a decimal.

    In whole numbers, because engines round doubles differently: 1.005 to 1.00 or 1.01. The
    last division only shifts the point; a double holds 15 digits. Null when divided by 0.
    """
    scale = 10**digits
    units = f"(2 * {scale} * {dividend} + {divisor}) div nullif(2 * {divisor}, 0)"
    return f"cast(cast({units} as double) / {scale} as decimal({precision}, {digits}))"


def compute(users: DataFrame) -> DataFrame:
    """Count and age of the users of a day, by each of DIMENSIONS.

    users needs gender string, nationality string, age smallint, none of them null. The result
    has a row for each member that occurs and always one for all/all, with 0 users and nulls on
    an empty day: dimension string, member string, users bigint, share decimal(7,6) of the
    day's users, age_avg decimal(5,2), age_min smallint, age_median decimal(5,2) (interpolated
    exactly), age_max smallint.
    """
    members = ", ".join(
        f"named_struct('dimension', '{dimension}', 'member', {member})"
        for dimension, member in DIMENSIONS
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
    )
    member = Window.partitionBy("dimension", "member")
    up_to_age = member.orderBy("age").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    # of N users in order of age, the median lies between number (N+1) div 2 and N div 2 + 1
    return (
        by_age.withColumn("members", F.sum("n").over(member))
        .withColumn("up_to_age", F.sum("n").over(up_to_age))
        .groupBy("dimension", "member")
        .agg(
            F.sum("n").alias("users"),
            F.sum(F.expr("age * n")).alias("age_sum"),
            F.min("age").alias("age_min"),
            F.min(F.expr("CASE WHEN up_to_age >= (members + 1) div 2 THEN age END")).alias("low"),
            F.min(F.expr("CASE WHEN up_to_age >= members div 2 + 1 THEN age END")).alias("high"),
            F.max("age").alias("age_max"),
        )
        .withColumn("total", F.max("users").over(Window.partitionBy(F.lit(0))))
        .select(
            "dimension",
            "member",
            "users",
            F.expr(_ratio("users", "total", 6, 7)).alias("share"),
            F.expr(_ratio("age_sum", "users", 2, 5)).alias("age_avg"),
            "age_min",
            F.expr(_ratio("(low + high)", "2", 2, 5)).alias("age_median"),
            "age_max",
        )
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
