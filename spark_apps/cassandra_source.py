"""Raw documents of one extraction, read from Cassandra on any Spark engine.

`raw_documents()` is given what is to be taken from a document, and gives a DataFrame of

    position    int     0 .. rows-1, each exactly once
    raw_data    string  the document's leaves as canonical JSON, every leaf a string or null; null
                        when the document is no JSON object, or was not stored
    json_errors string  why the document is unfit, JSON of `ERRORS_DDL` (documents.py); null when it
                        is fit

This module and documents.py travel to Spark servers by value, so they must not import anything
else of this project. Servers need pyarrow and cassandra-driver.
"""

import json
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

from spark_apps import documents
from spark_apps.documents import Documents, JsonError, Shape, errors_as_json

if TYPE_CHECKING:
    from cassandra.cluster import ResultSet, Session
    from cassandra.query import BoundStatement, PreparedStatement
    from pyspark.sql import DataFrame, SparkSession

#: Rows per page, enough for an efficient Arrow batch. Cassandra holds FETCH_SIZE x readers
#: rows in memory at a time: 5,000 x 64 kills one with a heap of 512 MB.
FETCH_SIZE = 250

# Sail takes no nested types from a DataSource, hence JSON in json_errors
SCHEMA = "position int, raw_data string, json_errors string"


class RawRowsError(Exception):
    """Cassandra does not hold of an extraction what its manifest says."""


def _connect(options: Mapping[str, str]) -> "Session":
    from cassandra import ConsistencyLevel
    from cassandra.auth import PlainTextAuthProvider
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.policies import DCAwareRoundRobinPolicy, ExponentialReconnectionPolicy

    auth = None
    if options.get("user"):
        password = Path(options["password_file"]).read_text(encoding="utf-8").strip()
        auth = PlainTextAuthProvider(options["user"], password)
    profile = ExecutionProfile(
        load_balancing_policy=DCAwareRoundRobinPolicy(options["datacenter"]),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=float(options["timeout"]),
    )
    cluster = Cluster(
        options["hosts"].split(","),
        port=int(options["port"]),
        auth_provider=auth,
        protocol_version=5,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        connect_timeout=float(options["timeout"]),
        # the driver's own waits grow to ten minutes, far beyond our patience
        reconnection_policy=ExponentialReconnectionPolicy(0.5, 5.0, max_attempts=None),
        # 0.03 s instead of 0.15 s; a token-aware policy, which needs it, would save a hop
        schema_metadata_enabled=False,
    )
    return cluster.connect()


def _page(
    session: "Session", query: "BoundStatement", paging_state: bytes | None, patience: float
) -> "ResultSet":
    """One page of at most FETCH_SIZE rows; the read is retried while the cluster cannot serve it.

    Right after a node was killed, quorum reads time out until the failure detector has noticed.
    """
    from cassandra import OperationTimedOut, ReadTimeout, Unavailable
    from cassandra.cluster import NoHostAvailable

    give_up = time.monotonic() + patience
    wait = 0.1
    while True:
        try:
            return session.execute(query, paging_state=paging_state)
        except (OperationTimedOut, ReadTimeout, Unavailable, NoHostAvailable):
            if time.monotonic() + wait > give_up:
                raise
            time.sleep(wait)
            wait = min(2 * wait, 5.0)


class CassandraDocuments(DataSource):
    """`spark.read.format("cassandra_documents")`, see `raw_documents` for the options."""

    @classmethod
    def name(cls) -> str:
        return "cassandra_documents"

    def schema(self) -> str:
        return SCHEMA

    def reader(self, schema: object) -> "CassandraDocumentsReader":  # noqa: ARG002 - pyspark's
        return CassandraDocumentsReader(dict(self.options))


class CassandraDocumentsReader(DataSourceReader):
    """One Spark partition per group of buckets: connecting costs, so tasks are few."""

    def __init__(self, options: dict[str, str]) -> None:
        self.options = options
        self.rows = int(options["rows"])
        self.bucket_rows = int(options["bucket_rows"])

    def partitions(self) -> list[InputPartition]:
        buckets = range(-(-self.rows // self.bucket_rows))
        readers = max(1, min(int(self.options["readers"]), len(buckets)))
        return [InputPartition(list(buckets[first::readers])) for first in range(readers)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        session = _connect(self.options)
        try:
            query = session.prepare(  # a table cannot be bound
                f"SELECT position, raw_data, unstorable FROM {self.options['table']} "  # noqa: S608
                "WHERE extraction_date = ? AND extraction_id = ? AND bucket = ?"
            )
            query.fetch_size = FETCH_SIZE
            query.is_idempotent = True
            for bucket in partition.value:
                yield from self._bucket(session, query, bucket)
        finally:
            session.cluster.shutdown()

    def _bucket(
        self, session: "Session", query: "PreparedStatement", bucket: int
    ) -> Iterator[pa.RecordBatch]:
        day, extraction = self.options["extraction_date"], self.options["extraction_id"]
        first = bucket * self.bucket_rows
        expected = range(first, min(first + self.bucket_rows, self.rows))
        reduced = Documents(Shape(**json.loads(self.options["shape"])))
        patience = float(self.options["patience"])
        bound = query.bind((date.fromisoformat(day), uuid.UUID(extraction), bucket))
        found = foreign = 0
        paging_state = None
        while True:
            page = _page(session, bound, paging_state, patience)
            rows = page.current_rows
            if rows:
                yield _batch(rows, reduced)
            # primary keys are unique, so the count alone proves that no position is missing
            inside = sum(row.position in expected for row in rows)
            found += inside
            foreign += len(rows) - inside
            paging_state = page.paging_state
            if paging_state is None:
                break
        if found < len(expected) or foreign:
            raise RawRowsError(
                f"Bucket {bucket} of extraction {extraction} of {day} in Cassandra lost "
                f"{len(expected) - found:,} of its {len(expected):,} rows and holds {foreign:,} "
                f"that do not belong there; run `workflow rerun {day} --from "
                f"{self.options['extracted_by']}`."
            )


def _check(row: Any, reduced: Documents) -> tuple[str | None, list[JsonError]]:
    if row.raw_data is None and row.unstorable is not None:
        return None, [documents.unstorable(row.unstorable)]
    return reduced.check(row.raw_data)


def _batch(rows: list[Any], reduced: Documents) -> pa.RecordBatch:
    checked = [_check(row, reduced) for row in rows]
    return pa.RecordBatch.from_arrays(
        [
            pa.array([row.position for row in rows], pa.int32()),
            pa.array([raw_data for raw_data, _ in checked], pa.string()),
            pa.array([errors_as_json(errors) for _, errors in checked], pa.string()),
        ],
        names=["position", "raw_data", "json_errors"],
    )


def raw_documents(  # noqa: PLR0913 - one for each option
    spark: "SparkSession",
    *,
    hosts: str,
    port: int,
    datacenter: str,
    table: str,
    extraction_date: date,
    extraction_id: uuid.UUID,
    rows: int,
    shape: Shape,
    bucket_rows: int,
    readers: int,
    patience: float,
    user: str = "",
    password_file: str = "",
    extracted_by: str = "",
    timeout: float = 30.0,
) -> "DataFrame":
    """The raw rows of one extraction (see the module for the columns), not yet read.

    hosts are comma-separated contact points; table is with its keyspace; rows are the manifest's;
    shape says what is taken from a document;
    bucket_rows is how many positions share a bucket, a Cassandra partition; readers is the number
    of Spark tasks; patience is how long a read is retried while nodes are away, s; password_file is
    a path on the executors, because options show in plans; extracted_by is the step that stored
    the documents; timeout is per statement, s.

    The action that reads raises RawRowsError, wrapped by the engine, when Cassandra does not
    hold exactly `rows` rows.
    """
    from pyspark import cloudpickle

    # by reference it would not be found on a server without this project
    for module in (sys.modules[__name__], documents):
        cloudpickle.register_pickle_by_value(module)
    spark.dataSource.register(CassandraDocuments)
    return (
        spark.read.format(CassandraDocuments.name())
        .options(
            hosts=hosts,
            port=port,
            datacenter=datacenter,
            table=table,
            extracted_by=extracted_by,
            extraction_date=extraction_date.isoformat(),
            extraction_id=str(extraction_id),
            rows=rows,
            shape=json.dumps(shape._asdict()),
            bucket_rows=bucket_rows,
            readers=readers,
            patience=patience,
            user=user,
            password_file=password_file,
            timeout=timeout,
        )
        .load()
    )
