"""Answers that were captured from the API lie beside the project, never in it."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

# the fixtures of the suite, by their names
from tests.conftest import (  # noqa: F401
    PROJECT,
    cassandra,
    pipeline,
    services,
    spark_connect,
    stack,
)
from tests.test_client import api  # noqa: F401

#: Names another folder than ../shared/randomuser-samples, as seen from the project's root.
VARIABLE = "WORKFLOW_CAPTURED_ANSWERS"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Captured:
    """One captured answer: its users, each as it was sent and as Python reads it."""

    file: str
    texts: list[str]
    users: list[dict[str, Any]]


class _Answer(msgspec.Struct):
    results: list[msgspec.Raw]


@pytest.fixture(scope="session")
def captured() -> list[Captured]:
    """The captured answers of 1,000 users each."""
    folder = Path(os.environ.get(VARIABLE) or PROJECT.parent / "shared" / "randomuser-samples")
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        pytest.fail(
            f"The captured answers are not at {folder} (no manifest.json there); put them there, "
            f"or name their folder in {VARIABLE}.",
            pytrace=False,
        )
    found = []
    for response in json.loads(manifest.read_bytes())["responses"]:
        if "results=1000&" in response["path"] and response["status"] == 200:
            body = (folder / response["file"]).read_bytes()
            assert hashlib.sha256(body).hexdigest() == response["sha256"], response["file"]
            texts = [str(raw, "utf-8") for raw in msgspec.json.decode(body, type=_Answer).results]
            users = [json.loads(text) for text in texts]
            found.append(Captured(file=response["file"], texts=texts, users=users))
    return found
