"""Cassandra 5.0 of the local stack: one node in one JVM, straight from its jars.

`program` makes any `Node` runnable, so that a cluster of several is the same command line.
"""

import hashlib
import shutil
import socket
from dataclasses import dataclass
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
    # neither the others when it starts nor clients when it stops are waited for
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.shutdown_announce_in_ms=0",
    # bytes; otherwise measured on every start, which takes a second
    "-Dcassandra.memtable.row_overhead_size=180",
)


@dataclass(frozen=True, kw_only=True)
class Node:
    """Where a node listens, whom it asks for the others, where its data lies, its sizes.

    The nodes of a cluster differ in `address` and `folder` and share both ports. `seed` is the
    address of the node that starts first, for that one its own. A node waits `ring_delay_ms` for
    the others to tell it of the ring: none for a single node; with none the second of several
    finds no seed, 3,000 are enough on one machine.
    """

    address: str
    port: int
    storage_port: int
    seed: str
    folder: Path
    heap_mb: int
    ring_delay_ms: int


def service(place: Place) -> Service:
    """Cassandra as `status` and the supervisor see it."""
    node = _single(place)
    return Service(
        name="cassandra",
        prepare=partial(program, node),
        problem=partial(problem, node),
        address=node.address,
        port=node.port,
        ports={
            node.port: "[cassandra] port",
            node.storage_port: "[stack] cassandra_storage_port",
        },
        data=node.folder,
        connection={},
    )


def remove(place: Place) -> None:
    """Remove the node with all its data; the jars stay in their cache."""
    shutil.rmtree(_single(place).folder, ignore_errors=True)


def _single(place: Place) -> Node:
    """The one node of the local stack, its own seed."""
    return Node(
        address=place.address,
        port=place.cassandra_port,
        storage_port=place.cassandra_storage_port,
        seed=place.address,
        folder=place.data / "cassandra",
        heap_mb=place.cassandra_heap_mb,
        ring_delay_ms=0,
    )


def program(node: Node, console: Console) -> Program:
    """Fetch the jars, choose a Java, render the configuration of a node.

    Raises StackError when the jars cannot be had.
    """
    class_path = jars.fetch(jars.read_lock(), console)
    runtime = java.find()
    console.print(runtime.remark, soft_wrap=True)
    node.folder.mkdir(parents=True, exist_ok=True)
    configuration = node.folder / "cassandra.yaml"
    template = Template((resource("config") / "cassandra.yaml").read_text(encoding="utf-8"))
    rendered = template.substitute(
        address=node.address, port=node.port, storage_port=node.storage_port, seed=node.seed
    )
    configuration.write_text(rendered, encoding="utf-8")
    return Program(
        command=[
            str(runtime.path),
            *runtime.options,
            *(f"--add-exports={package}=ALL-UNNAMED" for package in EXPORTED),
            *(f"--add-opens={package}=ALL-UNNAMED" for package in OPENED),
            f"-Xmx{node.heap_mb}m",
            # Cassandra locks what is committed at its start; little of it: 3 s less to wait
            f"-Xms{min(node.heap_mb, 256)}m",
            *JVM_OPTIONS,
            f"-Dcassandra.ring_delay_ms={node.ring_delay_ms}",
            f"-Dcassandra.config={configuration.as_uri()}",
            f"-Dcassandra.storagedir={node.folder}",
            f"-Dlogback.configurationFile={(resource('config') / 'logback.xml').as_uri()}",
            "-Dcassandra-foreground=yes",
            "-cp",
            ":".join(map(str, class_path)),
            "org.apache.cassandra.service.CassandraDaemon",
        ],
        directory=node.folder,
        environment={},
        digest=hashlib.sha256(rendered.encode()).hexdigest(),
        start_seconds=20,
    )


def problem(node: Node) -> str:
    """Why a node does not answer a query, or nothing; takes seconds at most."""
    try:
        # first, because the driver logs each attempt that fails
        socket.create_connection((node.address, node.port), timeout=2).close()
        cluster = Cluster(
            [node.address],
            port=node.port,
            protocol_version=5,
            connect_timeout=5,
            execution_profiles={
                EXEC_PROFILE_DEFAULT: ExecutionProfile(
                    load_balancing_policy=WhiteListRoundRobinPolicy([node.address]),
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
