"""Cassandra 5.0 of the local stack: one node in one JVM, straight from its jars.

`program` makes any `Node` runnable, so the nodes of a cluster use the same command line.
"""

import hashlib
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

# Packages that Cassandra 5.0 reaches into, opened as by its own start script on Java 17
# (conf/jvm17-server.options of the release).
EXPORTED = (
    "java.base/java.lang.ref", "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi", "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server", "java.sql/java.sql", "jdk.attach/sun.tools.attach",
    "jdk.compiler/com.sun.tools.javac.file", "jdk.unsupported/sun.misc",
)  # fmt: skip
OPENED = (
    "java.base/java.io", "java.base/java.lang", "java.base/java.lang.module",
    "java.base/java.lang.reflect", "java.base/java.nio", "java.base/java.util",
    "java.base/jdk.internal.loader", "java.base/jdk.internal.math",
    "java.base/jdk.internal.module", "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect", "java.base/jdk.internal.util.jar", "java.base/sun.nio.ch",
    "jdk.compiler/com.sun.tools.javac", "jdk.management/com.sun.management.internal",
)  # fmt: skip
JVM_OPTIONS = (
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=300",
    "-XX:+ExitOnOutOfMemoryError",  # the supervisor restarts it; half alive is worse
    "-XX:+PerfDisableSharedMem",
    "-Xss512k",
    "-Djdk.attach.allowAttachSelf=true",
    "-Djava.net.preferIPv4Stack=true",
    "-Dio.netty.tryReflectionSetAccessible=true",
    # do not wait for other nodes at start, nor for clients at shutdown
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.shutdown_announce_in_ms=0",
    # bytes; otherwise measured at every start, which takes a second
    "-Dcassandra.memtable.row_overhead_size=180",
)


@dataclass(frozen=True, kw_only=True)
class Node:
    """Where a node listens, which node it contacts first, where its data is, its sizes.

    The nodes of a cluster differ in `address` and `folder` and share both ports. `seed` is the
    address of the node that starts first; that node is its own seed. A node waits
    `ring_delay_ms` to learn the ring from the others: 0 for a single node. With 0, the second
    of several nodes finds no seed; 3,000 is enough on one machine.
    """

    address: str
    port: int
    storage_port: int
    seed: str
    folder: Path
    heap_mb: int
    ring_delay_ms: int


def service(place: Place) -> Service:
    """The one node of the local stack, its own seed."""
    node = Node(
        address=place.address,
        port=place.cassandra_port,
        storage_port=place.cassandra_storage_port,
        seed=place.address,
        folder=place.data / "cassandra",
        heap_mb=place.cassandra_heap_mb,
        ring_delay_ms=0,
    )
    return Service(
        name="cassandra",
        prepare=partial(program, node),
        problem=partial(problem, node),
        host=node.address,
        port=node.port,
        ports={
            node.port: "[cassandra] port",
            node.storage_port: "[stack] cassandra_storage_port",
        },
        data=node.folder,
        connection={},
    )


def program(node: Node, console: Console) -> Program:
    """Fetch the jars, choose a Java, render the configuration of a node.

    Raises StackError when the jars cannot be downloaded.
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
            # Cassandra locks its initial heap in memory at start; a small one saves 3 s
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
    """Why a node does not answer a query, or ""; takes seconds at most."""
    try:
        # first, because the driver logs every failed attempt
        socket.create_connection((node.address, node.port), timeout=2).close()
        profile = ExecutionProfile(WhiteListRoundRobinPolicy([node.address]), request_timeout=5)
        with Cluster(
            [node.address],
            port=node.port,
            protocol_version=5,
            connect_timeout=5,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        ) as cluster:
            cluster.connect().execute("SELECT release_version FROM system.local")
    except (OSError, DriverException, NoHostAvailable) as exc:
        return str(exc)
    return ""
