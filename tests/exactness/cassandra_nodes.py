"""A cluster of Cassandra nodes on loopback addresses, to be killed one by one."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cassandra import ConsistencyLevel, DriverException
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import WhiteListRoundRobinPolicy
from rich.console import Console

from tests.conftest import SHORT_LIVED, free_ports
from tests.exactness.processes import until
from workflow.stack import cassandra

HEAP_MB = 512
RING_DELAY_MS = 3_000


class Nodes:
    """Three nodes of one cluster; each is the local stack's own program."""

    def __init__(self, folder: Path) -> None:
        port, storage_port = free_ports(2)
        self.nodes = [
            cassandra.Node(
                address=f"127.0.0.{number}",
                port=port,
                storage_port=storage_port,
                seed="127.0.0.1",
                folder=folder / f"node-{number}",
                heap_mb=HEAP_MB,
                ring_delay_ms=RING_DELAY_MS,
            )
            for number in (1, 2, 3)
        ]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def port(self) -> int:
        """The native protocol's, the same for all."""
        return self.nodes[0].port

    @property
    def hosts(self) -> str:
        """What [cassandra] hosts takes."""
        return ",".join(node.address for node in self.nodes)

    def start(self, *nodes: cassandra.Node) -> None:
        """Start nodes at the same time, and wait until all of them answer."""
        for node in nodes:
            program = cassandra.program(node, Console(quiet=True))
            with self._log(node).open("ab") as log:
                self._processes[node.address] = subprocess.Popen(
                    program.command,
                    cwd=program.directory,
                    env={**os.environ, **program.environment, "JAVA_TOOL_OPTIONS": SHORT_LIVED},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
        for node in nodes:
            until(partial(self._is_up, node), f"Cassandra at {node.address} answers")

    def _log(self, node: cassandra.Node) -> Path:
        return node.folder / "node.log"

    def _is_up(self, node: cassandra.Node) -> bool:
        status = self._processes[node.address].poll()
        assert status is None, f"{node.address} ended:\n{self._log(node).read_text()[-2000:]}"
        return not cassandra.problem(node)

    def kill(self, node: cassandra.Node) -> None:
        """SIGKILL."""
        process = self._processes.pop(node.address)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """Kill what still runs: the data is thrown away."""
        for node in self.nodes:
            if node.address in self._processes:
                self.kill(node)

    def agree(self, statement: str) -> None:
        """Wait until every node gets an answer of all replicas to a query."""
        for node in self.nodes:
            until(partial(self._answers, node, statement), f"{node.address} sees all")

    def _answers(self, node: cassandra.Node, statement: str) -> bool:
        profile = ExecutionProfile(
            load_balancing_policy=WhiteListRoundRobinPolicy([node.address]),
            consistency_level=ConsistencyLevel.ALL,
            request_timeout=30,
        )
        cluster = Cluster(
            [node.address],
            port=node.port,
            protocol_version=5,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        )
        try:
            cluster.connect().execute(statement)
        except (DriverException, NoHostAvailable):
            return False
        else:
            return True
        finally:
            cluster.shutdown()


@contextlib.contextmanager
def three_nodes(folder: Path) -> Iterator[Nodes]:
    """Three nodes below a folder, the first of them the seed; killed at the end."""
    nodes = Nodes(folder)
    try:
        seed, *others = nodes.nodes
        nodes.start(seed)
        nodes.start(*others)
        yield nodes
    finally:
        nodes.stop()
