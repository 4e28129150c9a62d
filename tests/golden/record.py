"""The golden digests: what each step makes of fixed input, by logic version, in record.json.

A digest that differs while `logic_version` stays the same is a step that would give other rows
than those that are published. Recording never hides that: it takes a digest of a new logic
version, or of another input, and refuses all others.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

RECORD = Path(__file__).with_name("record.json")

COMMAND = "pytest --record-golden tests/golden"


class Golden(NamedTuple):
    """What a logic version of a step made of its input: `given` and `sha256` are digests."""

    logic_version: int
    given: str
    rows: int
    sha256: str


def digest(rows: Iterable[Any]) -> str:
    """The sha256 of rows in any order, in hex; each is JSON, or has `str` make it JSON."""
    lines = sorted(json.dumps(row, default=str, sort_keys=True) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read() -> dict[str, Golden]:
    """The record by step."""
    content = json.loads(RECORD.read_text(encoding="utf-8"))
    return {step: Golden(**values) for step, values in content.items()}


def write(record: dict[str, Golden]) -> None:
    """Write the record, a step after the other by name."""
    content = {step: record[step]._asdict() for step in sorted(record)}
    RECORD.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def refusal(step: str, now: Golden, was: Golden | None) -> str | None:
    """Why what a step gives now is neither what is recorded nor may be; None when it may."""
    if was is None or now.logic_version > was.logic_version:
        return None
    if now.logic_version < was.logic_version:
        return (
            f"{step} has logic_version {now.logic_version}, but {was.logic_version} is recorded: "
            "a number must not come back with other rows. Raise it in workflow/tasks.py."
        )
    if now.given == was.given and now != was:
        return (
            f"{step} gives other rows of the same input than are recorded for its logic_version "
            f"{was.logic_version} ({now.rows:,} rows now, {was.rows:,} then): undo that, or raise "
            f"logic_version of {step} in workflow/tasks.py and record it by `{COMMAND}`."
        )
    return None


def problem(step: str, now: Golden, was: Golden | None) -> str | None:
    """What is wrong with what a step gives now, and what to do; None when it is recorded."""
    if now == was:
        return None
    return refusal(step, now, was) or (
        f"{step} has a new logic_version or another input, which is not recorded; `{COMMAND}`."
    )
