"""Raw documents of one extraction, read from Cassandra on any Spark engine.

`raw_documents()` is given the leaves of a document that anything after Cassandra may see, each
by its path (`name.first`), and gives a DataFrame of

    position    int     0 .. rows-1, each exactly once
    raw_data    string  the document's leaves as canonical JSON, every leaf a string or null; null
                        when the document is no JSON object
    json_errors string  why the document is unfit, JSON of `ERRORS_DDL` (`Documents.check`); null
                        when it is fit

Whether a document is JSON is decided once, here in Python: engines disagree on trailing
garbage, single quotes, lone surrogates, NaN, 1e400, and on the text of a number (-0, 0.00001,
integers beyond 64 bits). They therefore parse a canonical document, which also keeps passwords
and hashes out of every engine.

This module travels to Spark servers by value, so it must not import anything of this project.
Servers need pyarrow and cassandra-driver.
"""

import json
import math
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import accumulate
from json.encoder import encode_basestring
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

if TYPE_CHECKING:
    from cassandra.cluster import ResultSet, Session
    from cassandra.query import BoundStatement, PreparedStatement
    from pyspark.sql import DataFrame, SparkSession

#: Rows per page, enough for an efficient Arrow batch. Cassandra holds FETCH_SIZE x readers
#: rows in memory at a time: 5,000 x 64 kills one with a heap of 512 MB.
FETCH_SIZE = 1_000

# Sail takes no nested types from a DataSource, hence JSON in json_errors
SCHEMA = "position int, raw_data string, json_errors string"

#: The DDL for `from_json` of json_errors.
ERRORS_DDL = "ARRAY<STRUCT<reason: STRING, field: STRING, value: STRING>>"


class RawRowsError(Exception):
    """Cassandra does not hold of an extraction what its manifest says."""


# ---- documents ---------------------------------------------------------------------------


_NO_OBJECT: dict[str, Any] = {}


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is beyond a double")
    return value


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


class JsonError(NamedTuple):
    """Why a document is unfit.

    reason  a name that `Documents.check` lists
    field   the leaf that it is about; None: the document, or something else in it,
            which may be a secret
    value   the leaf's text, escaped; None without field and for `wrong_structure`, where
            the value may be anything
    """

    reason: str
    field: str | None
    value: str | None


def _bad_characters(text: str) -> str | None:
    """Why a text cannot be stored in PostgreSQL."""
    if "\0" in text:
        return "nul_character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "lone_surrogate"
    return None


def _bad_texts(document: object) -> list[str]:
    """The `_bad_characters` of all strings of a decoded document, keys included."""
    texts = []
    rest = [document]
    while rest:
        node = rest.pop()
        if isinstance(node, dict):
            rest += node.keys()
            rest += node.values()
        elif isinstance(node, list):
            rest += node
        elif isinstance(node, str):
            texts.append(node)
    if not _bad_characters(" ".join(texts)):  # the usual case; faster than text by text
        return []
    return [reason for text in texts if (reason := _bad_characters(text))]


class _WrongStructure(Exception):
    pass


def _other_leaf(value: object) -> str:
    """A leaf that is no string, as JSON; the engines see every number as text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return '"true"' if value else '"false"'
    if isinstance(value, int | float):
        return f'"{value!r}"'
    raise _WrongStructure


def _leaf(document: object, path: str) -> Any:
    """The leaf of a document at a path, None when it is missing."""
    node = document
    for key in path.split("."):
        if node is None:
            return None
        if not isinstance(node, dict):
            raise _WrongStructure
        node = node.get(key)
    if isinstance(node, dict | list):
        raise _WrongStructure
    return node


class Documents:
    """Documents reduced to some leaves, each given by its path: `name.first`."""

    def __init__(self, leaves: Sequence[str]) -> None:
        # the objects of the document, each after the one that it is in; "" is the document
        above = (accumulate(leaf.split(".")[:-1], "{}.{}".format) for leaf in leaves)
        objects = ["", *dict.fromkeys(path for paths in above for path in paths)]
        places = {path: path.rpartition(".") for path in [*leaves, *objects[1:]]}
        keys = {path: [places[x][2] for x in leaves if places[x][0] == path] for path in objects}
        below = {path: [x for x in objects[1:] if places[x][0] == path] for path in objects}

        def template(path: str) -> str:
            parts = [f'"{key}":%s' for key in keys[path]]
            parts += [f'"{places[x][2]}":{template(x)}' for x in below[path]]
            return "{" + ",".join(parts) + "}"

        def ddl(path: str) -> str:
            parts = [f"{key}: STRING" for key in keys[path]]
            parts += [f"{places[x][2]}: {ddl(x)}" for x in below[path]]
            return f"STRUCT<{', '.join(parts)}>"

        #: The DDL for `from_json`; every leaf is STRING, because engines differ in everything else.
        self.ddl = ddl("")
        self._template = template("")
        self._top_keys = keys[""]
        # (index of the parent in this very list, key in the parent, keys of leaves)
        self._below = [(objects.index(places[x][0]), places[x][2], keys[x]) for x in objects[1:]]
        # in the order of the template
        self._paths = [f"{path}.{key}".removeprefix(".") for path in objects for key in keys[path]]

    def check(self, text: str | None) -> tuple[str | None, list[JsonError]]:
        """Make a raw document fit for the rules: (canonical JSON, why it is unfit).

        Without errors the document is fit. No canonical JSON, and one error without field:

        invalid_json     not JSON by RFC 8259, or a number that is beyond a double or has
                         more than 4,300 digits
        not_an_object    JSON, but null, a list or a scalar

        The others come once for each leaf that they are about, in their order, then once
        without field when the rest of the document has them:

        nul_character    a string holds U+0000, which PostgreSQL's text and jsonb refuse
        lone_surrogate   a string is not Unicode
        wrong_structure  an object or list where a leaf is expected, or the other way round;
                         asked of leaves only

        The canonical JSON holds such a leaf escaped (`\\u0000`, `\\ud800`: six characters each),
        or as null where the structure is wrong.

        If a key occurs twice, the last value counts. Missing and null are left to the rules.
        """
        if text is None:
            return None, [JsonError("invalid_json", None, None)]
        try:
            document = json.loads(text, parse_float=_finite, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return None, [JsonError("invalid_json", None, None)]
        if type(document) is not dict:
            return None, [JsonError("not_an_object", None, None)]
        # only an escape can spell either: raw control characters are no JSON, and what
        # came through UTF-8 holds no surrogates
        bad_texts = _bad_texts(document) if "\\u" in text else []
        if not bad_texts:
            try:
                return self._canonical(document), []
            except _WrongStructure:
                pass
        return self._repaired(document, bad_texts)

    def _canonical(self, document: dict[str, Any]) -> str:
        objects = [document]
        leaves = [document.get(key) for key in self._top_keys]
        for parent, key, keys in self._below:
            node = objects[parent].get(key)
            if node is None:
                node = _NO_OBJECT
            elif type(node) is not dict:
                raise _WrongStructure
            objects.append(node)
            leaves += map(node.get, keys)
        return self._rendered(leaves)

    def _repaired(
        self, document: dict[str, Any], bad_texts: list[str]
    ) -> tuple[str, list[JsonError]]:
        """What `check` returns for an unfit object, leaf by leaf: slow, and seldom needed."""
        leaves: list[Any] = []
        errors = []
        for path in self._paths:
            try:
                leaf = _leaf(document, path)
            except _WrongStructure:
                leaf = None
                errors.append(JsonError("wrong_structure", path, None))
            if isinstance(leaf, str) and (reason := _bad_characters(leaf)):
                escaped = leaf.replace("\0", r"\u0000").encode(errors="backslashreplace")
                leaf = escaped.decode()
                errors.append(JsonError(reason, path, leaf))
            leaves.append(leaf)
        elsewhere = Counter(bad_texts) - Counter(error.reason for error in errors)
        errors += [JsonError(reason, None, None) for reason in sorted(elsewhere)]
        return self._rendered(leaves), errors

    def _rendered(self, leaves: list[Any]) -> str:
        # a template, because json.dumps of nested dictionaries takes twice as long
        return self._template % tuple(
            [encode_basestring(v) if type(v) is str else _other_leaf(v) for v in leaves]
        )


def errors_as_json(errors: list[JsonError]) -> str | None:
    """The errors of a document as the column json_errors holds them."""
    if not errors:
        return None
    return json.dumps([error._asdict() for error in errors], ensure_ascii=False)


# ---- Cassandra ---------------------------------------------------------------------------


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
                f"SELECT position, raw_data FROM {self.options['table']} "  # noqa: S608
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
        documents = Documents(self.options["leaves"].split(","))
        patience = float(self.options["patience"])
        bound = query.bind((date.fromisoformat(day), uuid.UUID(extraction), bucket))
        found = foreign = 0
        paging_state = None
        while True:
            page = _page(session, bound, paging_state, patience)
            rows = page.current_rows
            if rows:
                yield _batch(rows, documents)
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


def _batch(rows: list[Any], documents: Documents) -> pa.RecordBatch:
    checked = [documents.check(row.raw_data) for row in rows]
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
    leaves: Sequence[str],
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
    bucket_rows is how many positions share a bucket, a Cassandra partition; readers is the number
    of Spark tasks; patience is how long a read is retried while nodes are away, s; password_file is
    a path on the executors, because options show in plans; extracted_by is the step that stored
    the documents; timeout is per statement, s.

    The action that reads raises RawRowsError, wrapped by the engine, when Cassandra does not
    hold exactly `rows` rows.
    """
    from pyspark import cloudpickle

    # by reference it would not be found on a server without this project
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
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
            leaves=",".join(leaves),
            bucket_rows=bucket_rows,
            readers=readers,
            patience=patience,
            user=user,
            password_file=password_file,
            timeout=timeout,
        )
        .load()
    )
