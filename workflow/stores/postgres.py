"""Connections to PostgreSQL, and its errors as sentences.

Connections are opened when needed and closed by the `with` that opened them: nothing
connected before a fork is ever used after it.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
import psycopg2.extras
from psycopg2.sql import Composed

from workflow.errors import SchemaError, SettingsError, StoreError
from workflow.settings import postgres

Connection = psycopg2.extensions.connection
Cursor = psycopg2.extensions.cursor

psycopg2.extras.register_uuid()

#: By the system's defaults the server keeps the locks of a machine that vanished for two hours, or
#: for a quarter of an hour when it has just sent something.
_SERVER_KEEPALIVES = (
    "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3 "
    "-c tcp_user_timeout=60000"
)


def address() -> str:
    """`host:port/dbname`, for messages."""
    cfg = postgres()
    return f"{cfg.host}:{cfg.port}/{cfg.dbname}"


def _passfile() -> str:
    """The absolute path of the password file: `PGPASSFILE`, else the setting.

    libpq silently ignores a password file that it cannot read; here that is an error.
    """
    path = Path(os.environ.get("PGPASSFILE") or postgres().passfile).absolute()
    if not path.is_file() and "PGPASSWORD" not in os.environ:
        raise SettingsError(
            f"[postgres] passfile = {path} does not exist; run `workflow stack up`, which writes "
            "it for the local stack, or write host:port:dbname:user:password into it for your own "
            "server."
        )
    return str(path)


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Turn psycopg2's errors into StoreError and SchemaError.

    Raises StoreError, SchemaError.
    """
    try:
        yield
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedFunction) as exc:
        raise SchemaError(
            f"PostgreSQL {address()} does not have this pipeline's schema, or has an old one "
            f"({first_line(exc)}); run `workflow init-db`."
        ) from exc
    except psycopg2.Error as exc:
        if "authentication failed" in str(exc):
            raise StoreError(
                f"PostgreSQL {address()} rejects our user or password ({first_line(exc)}); "
                "check [postgres] user and passfile."
            ) from exc
        raise StoreError(
            f"PostgreSQL {address()} failed ({first_line(exc)}); check that it is running and "
            "healthy (`workflow stack status` shows the local one), and check [postgres] host, "
            "port and dbname."
        ) from exc


def first_line(exc: BaseException) -> str:
    """The message of an exception without the server's hints, contexts and line ends."""
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0].rstrip(".")


@contextlib.contextmanager
def connect(purpose: str) -> Iterator[Connection]:
    """A connection for one purpose, shown as `pg_stat_activity.application_name`.

    Commits when the block succeeds, rolls back when it does not, closes in any case.
    Sessions are in UTC, READ COMMITTED; rows are named tuples.

    Raises SettingsError, StoreError, SchemaError.
    """
    cfg = postgres()
    passfile = _passfile()
    with translated_errors():
        connection = psycopg2.connect(
            host=cfg.host,
            port=cfg.port,
            dbname=cfg.dbname,
            user=cfg.user,
            passfile=passfile,
            sslmode=cfg.sslmode,
            connect_timeout=10,
            application_name=purpose[:63],
            options="-c timezone=UTC -c datestyle=ISO "
            f"-c statement_timeout={int(cfg.statement_timeout * 1000)} {_SERVER_KEEPALIVES}",
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=60_000,
            cursor_factory=psycopg2.extras.NamedTupleCursor,
        )
        try:
            yield connection
            if not connection.closed:  # lost, and the block has handled that
                connection.commit()
        finally:
            connection.close()


@contextlib.contextmanager
def transaction(connection: Connection) -> Iterator[Cursor]:
    """A cursor in one transaction, committed at the end of the block, else rolled back."""
    with connection, connection.cursor() as cursor:
        yield cursor


def fetch(cursor: Cursor, statement: str | Composed, parameters: Mapping[str, object]) -> list[Any]:
    """The rows that a statement returns, as named tuples."""
    cursor.execute(statement, parameters)
    return cursor.fetchall()


def query(statement: str | Composed, **parameters: object) -> list[Any]:
    """The same on a connection of its own, for a single query."""
    with connect("workflow") as connection, transaction(connection) as cursor:
        return fetch(cursor, statement, parameters)
