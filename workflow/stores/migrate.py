"""`workflow init-db`: apply the schema files that a store does not have yet.

Each file is applied once, and its name and checksum are recorded in `schema_migrations` of
its own store. One PostgreSQL advisory lock serialises concurrent runs for both stores.
"""

import ast
import string
from collections.abc import Callable

from cassandra.cluster import Session

from workflow import settings
from workflow.stores import cassandra, schema
from workflow.stores.postgres import Connection, connect, transaction

_LOCK = "SELECT pg_advisory_lock(hashtext('workflow init-db'), 0)"

_POSTGRESQL_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)"""

_CASSANDRA_RECORD = """
CREATE TABLE IF NOT EXISTS {keyspace}.schema_migrations (
    name text PRIMARY KEY, sha256 text, applied_at timestamp
)"""

_CASSANDRA_REPLICATION = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s"

_CASSANDRA_APPLY = """
INSERT INTO {keyspace}.schema_migrations (name, sha256, applied_at)
VALUES (%s, %s, toTimestamp(now()))"""


def apply(say: Callable[[str], None]) -> None:
    """Bring both stores to the schema of this version; `say` gets a line per file.

    Raises SchemaError when an applied file was edited, or the store is newer than the code.
    """
    with connect("workflow init-db") as connection:
        with transaction(connection) as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute(_LOCK)
            cursor.execute(_POSTGRESQL_RECORD)
        _apply_postgresql(connection, say)
        with cassandra.connect() as session:
            _apply_cassandra(session, say)


def _apply_postgresql(connection: Connection, say: Callable[[str], None]) -> None:
    with transaction(connection) as cursor:
        cursor.execute("SELECT name, sha256 FROM schema_migrations")
        applied = dict(cursor.fetchall())
    for file in schema.pending(schema.files("postgresql"), applied, "PostgreSQL"):
        with transaction(connection) as cursor:
            cursor.execute(file.text)
            cursor.execute(
                "INSERT INTO schema_migrations (name, sha256) VALUES (%s, %s)",
                (file.name, file.sha256),
            )
        say(f"postgresql/{file.name}: applied")


def _apply_cassandra(session: Session, say: Callable[[str], None]) -> None:
    """CQL has no transactions: its files may run again until they are recorded."""
    cfg = settings.cassandra()
    applied: dict[str, str] = {}
    record = _CASSANDRA_RECORD.format(keyspace=cfg.keyspace)
    if _replication(session):
        session.execute(record)
        applied = cassandra.applied_schema(session)
        _apply_replication(session, say)
    for file in schema.pending(schema.files("cassandra"), applied, "Cassandra"):
        text = string.Template(file.text).substitute(
            keyspace=cfg.keyspace, replication=cfg.replication
        )
        for statement in _statements(text):
            session.execute(statement)
        session.execute(record)
        session.execute(_CASSANDRA_APPLY.format(keyspace=cfg.keyspace), (file.name, file.sha256))
        say(f"cassandra/{file.name}: applied")


def _apply_replication(session: Session, say: Callable[[str], None]) -> None:
    cfg = settings.cassandra()
    wanted = {name: str(value) for name, value in ast.literal_eval(cfg.replication).items()}
    before = _replication(session)
    if wanted == before:
        return
    session.execute(f"ALTER KEYSPACE {cfg.keyspace} WITH replication = {cfg.replication}")
    if _replication(session) != before:
        say(
            f"cassandra: replication of {cfg.keyspace} is now {cfg.replication}; "
            "run `nodetool repair` on every node, so that older rows have it too"
        )


def _replication(session: Session) -> dict[str, str]:
    """The keyspace's replication with the short name of its class; empty without a keyspace."""
    row = session.execute(_CASSANDRA_REPLICATION, (settings.cassandra().keyspace,)).one()
    if row is None:
        return {}
    return dict(row.replication) | {"class": row.replication["class"].rpartition(".")[2]}


def _statements(text: str) -> list[str]:
    """The statements of a CQL file, which end in `;` at a line's end."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [part for part in "\n".join(lines).split(";\n") if part.strip(" \n;")]
