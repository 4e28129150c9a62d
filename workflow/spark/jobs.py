"""The two Spark apps, run with our settings on this process's Spark session.

Spark is imported inside the functions: a run that finds its date complete must not pay for
it.
"""

import os

from spark_apps.users import RAW_TABLE, SHAPE
from workflow import settings
from workflow.ledger.details import Engine, Extracting
from workflow.ledger.runs import Run
from workflow.stores import cassandra, raw_store


def transform(extract: Run, *, output: str) -> None:
    """Flatten and type the documents that a run extracted into Parquet under `output`.

    Writes `outcome=clean/` and `outcome=rejected/`, see spark_apps/transform_users.py.
    """
    from spark_apps import cassandra_source, transform_users
    from workflow.spark import engine

    cfg = settings.cassandra()
    if cfg.user:
        # raises here, as a sentence
        settings.read_secret(cfg.password_file, "[cassandra] password_file")
    raw = cassandra_source.raw_documents(
        engine.session(),
        hosts=",".join(cassandra.contact_points()),
        port=cfg.port,
        datacenter=cfg.datacenter,
        table=f"{cfg.keyspace}.{RAW_TABLE}",
        extracted_by=extract.job,
        extraction_date=extract.partition_date,
        extraction_id=Extracting.of(extract).extraction_id,
        rows=extract.rows_out or 0,
        shape=SHAPE,
        bucket_rows=raw_store.BUCKET_ROWS,
        readers=settings.spark().readers or os.cpu_count() or 1,
        patience=cfg.patience,
        user=cfg.user,
        password_file=cfg.password_file,
        timeout=cfg.timeout,
    )
    with engine.failures_explained():
        frame = transform_users.transform(raw, extract.partition_date, extract.started_at)
        frame.write.partitionBy("outcome").parquet(output)


def compute_statistics(users: str, *, output: str) -> None:
    """Compute the statistics of the clean users under `users` into Parquet under `output`."""
    from spark_apps import compute_statistics as app
    from workflow.spark import engine

    with engine.failures_explained():
        clean = engine.session().read.parquet(users).where("outcome = 'clean'")
        app.compute(clean).coalesce(1).write.parquet(output)


def describe() -> Engine:
    """Name and version of the engine, for the ledger and the run summary."""
    from workflow.spark import engine

    return Engine(**engine.describe())
