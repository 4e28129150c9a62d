"""The two Spark apps, run with our settings on this process's Spark session.

Spark is imported inside the functions: a run that finds its date complete must not pay for
it.
"""

import datetime
import os
import uuid

from spark_apps.users import LEAVES
from workflow import settings
from workflow.ledger.details import Engine
from workflow.stores import cassandra, raw_store


def transform(date: datetime.date, extraction_id: uuid.UUID, *, rows: int, output: str) -> None:
    """Flatten and type an extraction of `rows` documents into Parquet under `output`.

    Writes `outcome=clean/` and `outcome=rejected/`, see spark_apps/transform_users.py.
    """
    from spark_apps import cassandra_source, transform_users
    from workflow.spark import engine

    cfg = settings.cassandra()
    if cfg.user:
        settings.read_secret(
            cfg.password_file, "[cassandra] password_file"
        )  # raises here, as a sentence
    raw = cassandra_source.raw_documents(
        engine.session(),
        hosts=",".join(cassandra.contact_points()),
        port=cfg.port,
        datacenter=cfg.datacenter,
        keyspace=cfg.keyspace,
        extraction_date=date,
        extraction_id=extraction_id,
        rows=rows,
        leaves=LEAVES,
        bucket_rows=raw_store.BUCKET_ROWS,
        readers=settings.spark().readers or os.cpu_count() or 1,
        patience=cfg.patience,
        user=cfg.user,
        password_file=cfg.password_file,
        timeout=cfg.timeout,
    )
    with engine.failures_explained():
        transform_users.transform(raw, date).write.partitionBy("outcome").parquet(output)


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
