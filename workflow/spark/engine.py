"""The Spark session of this process, as `[spark]` says.

`sail` runs Sail, a Spark Connect server, inside this process; `spark` is Apache Spark with
this process as its driver (client mode); `connect` is any Spark Connect server. pyspark and
pysail are imported only when a session is needed: that costs 0.4 s, which a run with nothing
to do must not pay.
"""

import atexit
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from workflow import settings
from workflow.errors import DataError, SettingsError, StoreError
from workflow.resources import resource

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: How long a Spark Connect server may take to respond at all, s. By itself the client tries
#: for 10 minutes.
CONNECT_SECONDS = 10.0


class _Started(NamedTuple):
    engine: str
    address: str
    session: "SparkSession"
    stop: Finalize  # runs once: when called, at exit, or at the exit of a multiprocessing fork


_started: _Started | None = None
_started_in: int | None = None  # the process that started the first one


def session() -> "SparkSession":
    """The session of this process: the first call starts it, the process's exit stops it.

    If `[spark]` has changed since, the old one is stopped and a new one started.

    Raises SettingsError when this Java cannot run the engine, StoreError when the Spark
    cluster or the Spark Connect server does not respond, RuntimeError in a fork of a process
    that had a session: neither gRPC nor Sail nor py4j survives a fork, and a session that is
    started there hangs.
    """
    global _started, _started_in
    section = settings.spark()
    engine = section.engine
    address = {"sail": "", "spark": section.master, "connect": section.remote}[engine]
    if _started_in not in (None, os.getpid()):
        raise RuntimeError("A process that had a Spark session was forked; start a new one.")
    if _started and (_started.engine, _started.address) == (engine, address):
        return _started.session
    stop_session()
    _started_in = os.getpid()
    start = {"sail": _start_sail, "spark": _start_spark, "connect": _start_connect}[engine]
    _started = start(address)
    for name, value in _session_conf().items():
        _started.session.conf.set(name, value)
    return _started.session


def stop_session() -> None:
    """Stop the session of this process, if any; the next `session()` starts a new one."""
    global _started
    if _started:
        _started.stop()
        _started = None


def describe() -> dict[str, str]:
    """For the ledger and the summary: engine, its version, the version of pyspark.

    Asks the server for its version when the engine is `connect`, so it raises what
    `session` raises.
    """
    engine = settings.spark().engine
    pyspark = importlib.metadata.version("pyspark")
    version = {
        "sail": lambda: importlib.metadata.version("pysail"),
        "spark": lambda: pyspark,  # client mode refuses a cluster of another version
        "connect": lambda: session().version,
    }[engine]()
    return {"engine": engine, "version": version, "pyspark": pyspark}


@contextmanager
def failures_explained() -> Iterator[None]:
    """Turn a failure of an action on the engine into one sentence instead of a stack trace.

    Raises DataError when Cassandra does not hold the extraction, StoreError for any other error
    of pyspark.
    """
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JJavaError) as exc:  # client mode does not convert all of Java's
        text = str(exc)
        # each engine wraps the Python error in its own way, but keeps `Class: message`
        if lost := re.search(r"\bRawRowsError: (.+)", text):
            raise DataError(lost.group(1)) from exc
        cause = re.search(r"\b(?:cassandra\.)?\w*(?:NoHostAvailable|FileNotFoundError): .+", text)
        reason = cause.group() if cause else (text.strip().splitlines() or [""])[0]
        raise StoreError(
            f"The Spark job failed on engine {settings.spark().engine} ({reason}); check that "
            "the engine can reach Cassandra and the lake, then run the date again."
        ) from exc


def _session_conf() -> dict[str, str]:
    from spark_apps.session import SESSION_CONF

    return SESSION_CONF


def _start_sail(_: str) -> _Started:
    # Sail logs to stderr, a line per query at the default level
    os.environ.setdefault("RUST_LOG", "error")
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    host, port = server.listening_address
    spark = SparkSession.builder.remote(f"sc://{host}:{port}").create()
    _ask_nothing_at_exit(spark)
    # the server ends with us, and before us after Ctrl-C, which it receives, too: a client that
    # still asks it tries for 10 minutes. Reattaching is useless inside one process, and its
    # threads, which Python joins before it exits, would ask as well
    spark.release_session_on_close = False
    _client(spark).disable_reattachable_execute()

    def stop() -> None:
        # measured: a fork that stops neither never exits
        spark.stop()
        server.stop()

    return _Started("sail", "", spark, Finalize(None, stop, exitpriority=0))


def _client(spark: "SparkSession") -> Any:
    """The Spark Connect client of a session, which the classic type does not have."""
    connected: Any = spark
    return connected.client


def _ask_nothing_at_exit(spark: "SparkSession") -> None:
    """Keep pyspark's client from clearing its cache of ML models, which we do not use, at exit.

    It would try for 10 minutes if its server had exited.
    """
    atexit.unregister(_client(spark)._cleanup_ml_cache)


def _start_connect(remote: str) -> _Started:
    import grpc
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client import DefaultChannelBuilder

    try:
        with DefaultChannelBuilder(remote).toChannel() as channel:
            grpc.channel_ready_future(channel).result(timeout=CONNECT_SECONDS)
        spark = SparkSession.builder.remote(remote).create()
        spark.version  # noqa: B018 - the first request
        _ask_nothing_at_exit(spark)
    except Exception as exc:
        raise StoreError(
            f"No Spark Connect server responds at {remote!r} within {CONNECT_SECONDS:.0f} s"
            f"{_first_line(exc)}; start one there or correct [spark] remote."
        ) from exc
    return _Started("connect", remote, spark, Finalize(None, spark.stop, exitpriority=0))


def _start_spark(master: str) -> _Started:
    _check_java()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("LOG4J_CONFIGURATION_FILE", str(resource("config") / "log4j2.properties"))
    # set for the rest of the process once a Spark Connect session was created in it
    os.environ.pop("SPARK_CONNECT_MODE_ENABLED", None)
    from pyspark.sql import SparkSession

    conf: dict[str, bool | float | int | str | None] = {"spark.ui.showConsoleProgress": "false"}
    if master.startswith("local"):
        conf |= {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
        }
    try:
        spark = (
            SparkSession.builder.master(master)
            .appName("batch-workflow")
            .config(map=conf)
            .getOrCreate()
        )
    except Exception as exc:
        raise StoreError(
            f"Apache Spark did not start with [spark] master = {master!r}{_first_line(exc)}; "
            "read its log above, then correct [spark] master or start the cluster."
        ) from exc
    return _Started("spark", master, spark, Finalize(None, spark.stop, exitpriority=0))


def _check_java() -> None:
    """Raises SettingsError when Apache Spark cannot run in client mode on the Java at hand."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    remedy = (
        "point JAVA_HOME to a full Java 17 or 21, or use [spark] engine = connect, which uses "
        "no Java here, or sail, which needs none."
    )
    if java is None or not Path(java).exists():
        raise SettingsError(
            f"[spark] engine = spark needs a Java, but none was found at {java or 'PATH'}; {remedy}"
        )
    # spark-submit adds this module to every driver, and some Java builds lack it
    probe = [java, "--add-modules", "jdk.incubator.vector", "--version"]
    result = subprocess.run(probe, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SettingsError(
            f"[spark] engine = spark cannot run on the Java at {java}, which lacks the module "
            f"jdk.incubator.vector; {remedy}"
        )


def _first_line(exc: Exception) -> str:
    lines = str(exc).strip().splitlines()
    return f" ({lines[0]})" if lines else ""
