"""`workflow init-db`: apply the schema files that a store does not have yet.

Each file is applied once, and its name and checksum are recorded in `schema_migrations` of
its own store. One PostgreSQL advisory lock keeps two runs apart, also while they work on
Cassandra.
"""

import string
from collections.abc import Callable

from cassandra.cluster import Session

from workflow import raw_store, schema
from workflow.postgres import Connection, connect, transaction
from workflow.settings import cassandra

_LOCK = "SELECT pg_advisory_lock(hashtext('workflow init-db'), 0)"

_POSTGRESQL_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)"""

_CASSANDRA_RECORD = """
CREATE TABLE IF NOT EXISTS {keyspace}.schema_migrations (
    name text PRIMARY KEY, sha256 text, applied_at timestamp
)"""

_CASSANDRA_APPLIED = "SELECT name, sha256 FROM {keyspace}.schema_migrations"

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
        with raw_store.connect() as session:
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
    """CQL has no transactions: its files are written to be run twice, and are until recorded."""
    cfg = cassandra()
    keyspaces = {row.keyspace_name for row in session.execute(
        "SELECT keyspace_name FROM system_schema.keyspaces"
    )}  # fmt: skip
    applied: dict[str, str] = {}
    record = _CASSANDRA_RECORD.format(keyspace=cfg.keyspace)
    if cfg.keyspace in keyspaces:
        session.execute(record)
        rows = session.execute(_CASSANDRA_APPLIED.format(keyspace=cfg.keyspace))
        applied = {row.name: row.sha256 for row in rows}
    for file in schema.pending(schema.files("cassandra"), applied, "Cassandra"):
        text = string.Template(file.text).substitute(
            keyspace=cfg.keyspace, replication=cfg.replication
        )
        for statement in _statements(text):
            session.execute(statement)
        session.execute(record)
        session.execute(_CASSANDRA_APPLY.format(keyspace=cfg.keyspace), (file.name, file.sha256))
        say(f"cassandra/{file.name}: applied")


def _statements(text: str) -> list[str]:
    """The statements of a CQL file, which end in `;` at a line's end."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [part for part in "\n".join(lines).split(";\n") if part.strip(" \n;")]
