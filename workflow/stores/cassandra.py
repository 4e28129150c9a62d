"""Connections to Cassandra, and its errors as sentences."""

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

import tenacity
from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    DriverException,
    InvalidRequest,
    OperationTimedOut,
    ReadFailure,
    ReadTimeout,
    Unavailable,
    WriteFailure,
    WriteTimeout,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
    Session,
)
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    TokenAwarePolicy,
)
from cassandra.query import named_tuple_factory

from workflow import sql
from workflow.errors import SchemaError, StoreError
from workflow.settings import cassandra, read_secret
from workflow.stores import schema

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Rows per page: 64 concurrent reads of 5,000 killed a node with a 512 MB heap.
FETCH_ROWS = 250


_TRANSIENT = (
    OperationTimedOut, Unavailable, ReadTimeout, ReadFailure, WriteTimeout, WriteFailure,
    NoHostAvailable,
)  # fmt: skip


def address() -> str:
    """Contact points, for messages."""
    cfg = cassandra()
    return ", ".join(f"{host}:{cfg.port}" for host in contact_points())


def contact_points() -> list[str]:
    """`[cassandra] hosts` as a list."""
    return [host.strip() for host in cassandra().hosts.split(",") if host.strip()]


@contextlib.contextmanager
def connect() -> Iterator[Session]:
    """A driver session with LOCAL_QUORUM and rows as named tuples, closed at the end.

    Raises StoreError, SchemaError.
    """
    cfg = cassandra()
    auth = None
    if cfg.user:
        password = read_secret(cfg.password_file, "[cassandra] password_file")
        auth = PlainTextAuthProvider(cfg.user, password)
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(cfg.datacenter)),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=cfg.timeout,
        row_factory=named_tuple_factory,
    )
    cluster = Cluster(
        contact_points(),
        port=cfg.port,
        auth_provider=auth,
        protocol_version=5,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        connect_timeout=10,
        # the driver's own waits grow to ten minutes, far beyond our patience
        reconnection_policy=ExponentialReconnectionPolicy(0.5, 5.0, max_attempts=None),
    )
    with translated_errors():
        try:
            session = cluster.connect()
            session.default_fetch_size = FETCH_ROWS
            yield session
        finally:
            cluster.shutdown()


def patiently(call: Callable[[], T]) -> T:
    """Retry while nodes are away, at most `[cassandra] patience`: our statements are idempotent."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_TRANSIENT),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
        stop=tenacity.stop_after_delay(cassandra().patience),
        before_sleep=tenacity.before_sleep_log(log, logging.WARNING),
        reraise=True,
    )
    return retrying(call)


def applied_schema(session: Session) -> dict[str, str]:
    """The schema files that were applied to the keyspace, by name, with their checksums."""
    statement = sql.load("raw_store.cql").schema_migrations.format(keyspace=cassandra().keyspace)
    rows = patiently(lambda: list(session.execute(statement)))
    return {row.name: row.sha256 for row in rows}


def require_schema(session: Session) -> None:
    """Raises SchemaError unless the keyspace has the schema of this version of the code."""
    schema.require("Cassandra", applied_schema(session))


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the driver's errors into StoreError and SchemaError."""
    try:
        yield
    except InvalidRequest as exc:
        if not re.search("unconfigured|does not exist|Undefined|Unknown identifier", str(exc)):
            raise StoreError(
                f"Cassandra {address()} refused a statement ({_message(exc)}); check its log and "
                "its configuration."
            ) from exc
        raise SchemaError(
            f"Cassandra {address()} does not have this pipeline's schema ({_message(exc)}); "
            "run `workflow init-db`."
        ) from exc
    except NoHostAvailable as exc:
        reasons = list(exc.errors.values()) if isinstance(exc.errors, dict) else exc.errors
        refused = [reason for reason in reasons if isinstance(reason, AuthenticationFailed)]
        if refused:
            raise StoreError(
                f"Cassandra {address()} rejects our user or password ({_message(refused[0])}); "
                "check [cassandra] user and password_file."
            ) from exc
        reason = _message(reasons[0]) if reasons else _message(exc)
        raise StoreError(
            f"Cassandra {address()} does not respond ({reason}); check that it is running "
            "(`workflow stack status` shows the local one), and check [cassandra] hosts, port and "
            "datacenter."
        ) from exc
    except (DriverException, *_TRANSIENT) as exc:
        raise StoreError(
            f"Cassandra {address()} failed ({_message(exc)}); check its log, and run the date "
            "again once it is healthy."
        ) from exc


def _message(exc: BaseException) -> str:
    return str(getattr(exc, "message", "") or exc or type(exc).__name__).splitlines()[0][:200]
