"""The settings of a Spark session with which every engine gives the same rows."""

from pyspark.sql import SparkSession

#: Settings of the session, for every engine.
SESSION_CONF = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.compression.codec": "zstd",
}


def script_session(remote: str | None) -> SparkSession:
    """The session of a program in this folder: of `remote`, else what spark-submit set up."""
    builder = SparkSession.builder
    spark = (builder.remote(remote) if remote else builder).getOrCreate()
    for name, value in SESSION_CONF.items():
        spark.conf.set(name, value)
    return spark
