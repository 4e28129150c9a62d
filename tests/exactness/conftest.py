"""A rehearsal for each test."""

import re
from collections.abc import Iterator

import pytest

from tests.conftest import Pipeline
from tests.rehearsal import Rehearsal


@pytest.fixture
def source(pipeline: Pipeline, request: pytest.FixtureRequest) -> Iterator[Rehearsal]:
    """The pipeline's API, which behaves until `source.has` says otherwise."""
    with Rehearsal(pipeline, re.sub(r"[^\w.-]", "-", request.node.name)) as source:
        yield source
