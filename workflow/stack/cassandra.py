"""Cassandra 5.0 of the local stack: one node in one JVM, straight from its jars."""

import hashlib
import shutil
import socket
from functools import partial
from pathlib import Path
from string import Template

from cassandra import DriverException
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import WhiteListRoundRobinPolicy
from rich.console import Console

from workflow.resources import resource
from workflow.stack import jars, java
from workflow.stack.place import Place
from workflow.stack.service import Program, Service

# Packages that Cassandra 5.0 reaches into, as its own start script lets it on Java 17
# (conf/jvm17-server.options of the release).
EXPORTED = (
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.attach/sun.tools.attach",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.unsupported/sun.misc",
)
OPENED = (
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.compiler/com.sun.tools.javac",
    "jdk.management/com.sun.management.internal",
)
JVM_OPTIONS = (
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=300",
    "-XX:+ExitOnOutOfMemoryError",  # the supervisor starts it again; half alive is worse
    "-XX:+PerfDisableSharedMem",
    "-Xss512k",
    "-Djdk.attach.allowAttachSelf=true",
    "-Djava.net.preferIPv4Stack=true",
    "-Dio.netty.tryReflectionSetAccessible=true",
    # one node has nobody to wait for, neither when it starts nor when it stops
    "-Dcassandra.ring_delay_ms=0",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.shutdown_announce_in_ms=0",
    # bytes; otherwise measured on every start, which takes a second
    "-Dcassandra.memtable.row_overhead_size=180",
)


def service(place: Place) -> Service:
    """Cassandra as `status` and the supervisor see it."""
    return Service(
        name="cassandra",
        prepare=partial(_prepare, place),
        problem=partial(_problem, place),
        address=place.address,
        port=place.cassandra_port,
        ports={
            place.cassandra_port: "[cassandra] port",
            place.cassandra_storage_port: "[stack] cassandra_storage_port",
        },
        data=_home(place),
        connection={},
    )


def remove(place: Place) -> None:
    """Remove the node with all its data; the jars stay in their cache."""
    shutil.rmtree(_home(place), ignore_errors=True)


def _home(place: Place) -> Path:
    return place.data / "cassandra"


def _prepare(place: Place, console: Console) -> Program:
    """Fetch the jars, choose a Java, render the configuration.

    Raises StackError when the jars cannot be had.
    """
    class_path = jars.fetch(jars.read_lock(), console)
    runtime = java.find()
    console.print(runtime.remark, soft_wrap=True)
    _home(place).mkdir(parents=True, exist_ok=True)
    configuration = _home(place) / "cassandra.yaml"
    template = Template((resource("config") / "cassandra.yaml").read_text(encoding="utf-8"))
    rendered = template.substitute(
        address=place.address,
        port=place.cassandra_port,
        storage_port=place.cassandra_storage_port,
    )
    configuration.write_text(rendered, encoding="utf-8")
    return Program(
        command=[
            str(runtime.path),
            *runtime.options,
            *(f"--add-exports={package}=ALL-UNNAMED" for package in EXPORTED),
            *(f"--add-opens={package}=ALL-UNNAMED" for package in OPENED),
            f"-Xmx{place.cassandra_heap_mb}m",
            # Cassandra locks what is committed at its start; little of it: 3 s less to wait
            f"-Xms{min(place.cassandra_heap_mb, 256)}m",
            *JVM_OPTIONS,
            f"-Dcassandra.config={configuration.as_uri()}",
            f"-Dcassandra.storagedir={_home(place)}",
            f"-Dlogback.configurationFile={(resource('config') / 'logback.xml').as_uri()}",
            "-Dcassandra-foreground=yes",
            "-cp",
            ":".join(map(str, class_path)),
            "org.apache.cassandra.service.CassandraDaemon",
        ],
        directory=_home(place),
        environment={},
        digest=hashlib.sha256(rendered.encode()).hexdigest(),
        start_seconds=20,
    )


def _problem(place: Place) -> str:
    address = (place.address, place.cassandra_port)
    try:
        # first, because the driver logs each attempt that fails
        socket.create_connection(address, timeout=2).close()
        cluster = Cluster(
            [place.address],
            port=place.cassandra_port,
            protocol_version=5,
            connect_timeout=5,
            execution_profiles={
                EXEC_PROFILE_DEFAULT: ExecutionProfile(
                    load_balancing_policy=WhiteListRoundRobinPolicy([place.address]),
                    request_timeout=5,
                )
            },
        )
        try:
            cluster.connect().execute("SELECT release_version FROM system.local")
        finally:
            cluster.shutdown()
    except (OSError, DriverException, NoHostAvailable) as exc:
        return str(exc)
    return ""
