"""Three Cassandra nodes, three replicas of each row, LOCAL_QUORUM; then there are two."""

from collections.abc import Iterator

import pytest

from tests.conftest import Pipeline
from tests.days import tables
from tests.exactness.cassandra_nodes import Nodes, three_nodes
from tests.exactness.sickness import (
    day,
    held_after,
    require_whole,
    started,
    undisturbed,
)
from tests.rehearsal import Rehearsal

OTHER = "2026-11-21"


@pytest.fixture
def nodes(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A pipeline whose raw store is a cluster of three."""
    with three_nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        yield nodes


def test_a_node_that_is_killed_loses_nothing_and_days_go_on_without_it(
    pipeline: Pipeline, source: Rehearsal, nodes: Nodes, full: bool
) -> None:
    pipeline.set("source", users_per_day=50_000 if full else 1_000, page_size=1_000 if full else 50)
    expected, other = undisturbed(pipeline), undisturbed(pipeline, OTHER)
    pipeline.set(
        "cassandra",
        hosts=nodes.hosts,
        port=nodes.port,
        replication="{'class': 'SimpleStrategy', 'replication_factor': 3}",
    )
    pipeline.run("workflow", "init-db")
    nodes.agree("SELECT * FROM batch_keyspace.schema_migrations")

    source.has(held_after(6))
    with started(pipeline, *day()) as command:
        command.until(lambda: source.requests > 6, "the extraction is held")
        assert tables(pipeline)["users"] == []
        nodes.kill(nodes.nodes[1])
        source.has("")
        assert command.ends() == 0, command.output
    require_whole(pipeline, expected)

    pipeline.day(OTHER)
    both = {table: expected[table] + other[table] for table in expected}
    require_whole(pipeline, both)
    if full:  # a node that missed both days and one that has them: together they have all
        nodes.start(nodes.nodes[1])
        nodes.kill(nodes.nodes[2])
        require_whole(pipeline, both)
