"""The two Spark apps, run with the settings on this process's Spark session.

Spark is imported inside the functions: a run that finds its date complete must not pay for
it.
"""

import datetime
import os
import uuid

from workflow import deadline, raw_store
from workflow.errors import DeadlineError
from workflow.settings import cassandra, read_secret, spark


def transform(date: datetime.date, extraction_id: uuid.UUID, *, rows: int, output: str) -> None:
    """Flatten and type an extraction of `rows` documents into Parquet under `output`.

    Writes `outcome=clean/` and `outcome=rejected/`, see spark_apps/transform_users.py.
    """
    from spark_apps import cassandra_source, transform_users
    from workflow import engine

    cfg = cassandra()
    if cfg.user:
        read_secret(cfg.password_file, "[cassandra] password_file")  # said here in a sentence
    raw = cassandra_source.raw_users(
        engine.session(),
        hosts=",".join(raw_store.contact_points()),
        port=cfg.port,
        datacenter=cfg.datacenter,
        keyspace=cfg.keyspace,
        extraction_date=date,
        extraction_id=extraction_id,
        rows=rows,
        buckets=raw_store.buckets(rows),
        readers=spark().readers or os.cpu_count() or 1,
        user=cfg.user,
        password_file=cfg.password_file,
        timeout=cfg.timeout,
    )
    with engine.failures_explained():
        transform_users.transform(raw, date).write.partitionBy("outcome").parquet(output)


def compute_statistics(users: str, *, output: str) -> None:
    """Compute the statistics of the clean users under `users` into Parquet under `output`."""
    from spark_apps import compute_statistics as app
    from workflow import engine

    with engine.failures_explained():
        clean = engine.session().read.parquet(users).where("outcome = 'clean'")
        app.compute(clean).coalesce(1).write.parquet(output)


def abandon_session(because: DeadlineError) -> None:
    """Have the next job start a session of its own: this one does not answer."""
    from workflow import engine

    # of client mode: a JVM that hangs takes the request that ends its jobs, and never answers
    sentence = (
        f"{because} Spark does not even answer that its jobs shall end, so this process ends."
    )
    with deadline.or_end(deadline.GRACE, sentence):
        engine.abandon_session()


def describe() -> dict[str, str]:
    """Name and version of the engine, for the ledger and the run summary."""
    from workflow import engine

    return engine.describe()
