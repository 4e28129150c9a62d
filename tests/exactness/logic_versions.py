"""Which sources decide the rows of each step, and the record of what they were.

A step whose sources changed gives other rows than before, or the same. Somebody has to say
which, and `tests/exactness/test_logic_versions.py` fails until it is said:

    python -m tests.exactness.logic_versions --bumped STEP             after raising logic_version
    python -m tests.exactness.logic_versions --same-output STEP "why"  the rows stay as they are

STEP may be `all`: every step that it fits. Both options may be given at once, e.g. after a merge.
"""

import ast
import dataclasses
import hashlib
import io
import json
import re
import tokenize
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from workflow.tasks import STEPS

PROJECT = Path(__file__).resolve().parents[2]
RECORD = Path(__file__).with_suffix(".json")

#: What decides the rows of a step: a file, or with `::` a class or function of one, or a
#: statement of SQL.
SOURCES: Mapping[str, Sequence[str]] = {
    "ExtractUsers": (
        "workflow/randomuser.py",
        "workflow/raw_store.py",
        "workflow/sql/raw_store.cql",
        "workflow/tasks.py::ExtractUsers",
    ),
    "TransformUsers": (
        "spark_apps/cassandra_source.py",
        "spark_apps/session.py",
        "spark_apps/transform_users.py",
        "workflow/spark_jobs.py",
        "workflow/tasks.py::TransformUsers",
    ),
    "ComputeStats": (
        "spark_apps/compute_statistics.py",
        "spark_apps/session.py",
        "workflow/spark_jobs.py",
        "workflow/tasks.py::ComputeStats",
        "workflow/tasks.py::_published",
    ),
    "LoadUsers": (
        "workflow/lake.py",
        "workflow/tasks.py::LoadUsers",
        "workflow/tasks.py::_published",
        "workflow/tasks.py::rows_of_day",
        "workflow/warehouse.py",
        "workflow/sql/warehouse.sql::delete_users",
        "workflow/sql/warehouse.sql::delete_rejected_users",
        "workflow/sql/warehouse.sql::delete_user_statistics",
        "workflow/sql/warehouse.sql::fingerprint",
    ),
}

#: The rest of `workflow/` and `spark_apps/`, read by a person and found to decide no row.
#: A new file belongs here or above. `workflow/stack/` is not part of the pipeline.
NO_ROWS = frozenset(
    {
        "spark_apps/__init__.py",
        "workflow/__init__.py",
        "workflow/cli.py",
        "workflow/deadline.py",
        "workflow/difference.py",
        "workflow/display.py",
        "workflow/engine.py",
        "workflow/errors.py",
        "workflow/init_db.py",
        "workflow/ledger.py",
        "workflow/pacing.py",
        "workflow/plan.py",
        "workflow/postgres.py",
        "workflow/resources.py",
        "workflow/schema.py",
        "workflow/settings.py",
        "workflow/targets.py",
        "workflow/trace.py",
        "workflow/verify.py",
        "workflow/worker.py",
        "workflow/sql/__init__.py",
        "workflow/sql/ledger.sql",
        "workflow/sql/warehouse.sql::ensure_month",
        "workflow/sql/warehouse.sql::statistics_of_date",
        "workflow/sql/warehouse.sql::create_new_tables",
        "workflow/sql/warehouse.sql::different_users",
        "workflow/sql/warehouse.sql::different_rejected_users",
        "workflow/sql/warehouse.sql::different_user_statistics",
        "workflow/sql/warehouse.sql::where_is",
        "workflow/sql/warehouse.sql::lock_window",
        "workflow/sql/warehouse.sql::forget_old_requests",
        "workflow/sql/warehouse.sql::wait_for_window",
        "workflow/sql/warehouse.sql::record_request",
        "workflow/tasks.py::Dated",
        "workflow/tasks.py::PartitionDate",
        "workflow/tasks.py::RunDaily",
        "workflow/tasks.py::Step",
        "workflow/tasks.py::inputs_of_steps",
        "workflow/tasks.py::logic_versions",
        "workflow/tasks.py::sentence_instead_of_traceback",
    }
)


# ---- sources -----------------------------------------------------------------------------


def parts(path: Path) -> list[str]:
    """The names that `FILE::NAME` may have: classes and functions, or statements of SQL."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return list(_definitions(text))
    return re.findall(r"^-- name: (\w+)$", text, flags=re.MULTILINE)


def source(name: str, root: Path = PROJECT) -> str:
    """The text of a source without comments and blank lines, the same on every Python."""
    file, _, part = name.partition("::")
    text = (root / file).read_text(encoding="utf-8")
    if file.endswith(".py"):
        return _without_comments(_definitions(text)[part] if part else text)
    if part:
        found = re.search(
            rf"^-- name: {part}\n(.*?)(?=^-- name: |\Z)", text, re.MULTILINE | re.DOTALL
        )
        if found is None:
            raise LookupError(f"{file} has no statement {part}")
        text = found[1]
    lines = [line.rstrip() for line in text.splitlines() if not re.match(r"\s*--(?! name:)", line)]
    return "\n".join(line for line in lines if line)


def _definitions(text: str) -> dict[str, str]:
    """The text of each class and function of a module."""
    lines = text.splitlines(keepends=True)
    return {
        node.name: "".join(lines[_first_line(node) - 1 : node.end_lineno])
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }


def _first_line(node: ast.ClassDef | ast.FunctionDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _without_comments(text: str) -> str:
    """Tokens only say what is a comment: how they cut f-strings differs between Pythons."""
    lines = text.splitlines()
    blank = set(range(1, len(lines) + 1))
    fstrings: list[int] = []  # the lines where those begin that are open
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        name = tokenize.tok_name[token.type]
        first, last = token.start[0], token.end[0]
        if name == "COMMENT":
            line = lines[first - 1]
            lines[first - 1] = line[: token.start[1]]
            continue
        if name in {"NL", "NEWLINE", "INDENT", "DEDENT", "ENDMARKER"}:
            continue
        if name == "FSTRING_START":
            fstrings.append(first)
        elif name == "FSTRING_END":
            first = fstrings.pop()
        blank -= set(range(first, last + 1))
    return "\n".join(
        line.rstrip() for number, line in enumerate(lines, start=1) if number not in blank
    )


def digest(step: str, root: Path = PROJECT) -> str:
    """The sha256 of a step's sources, in hex."""
    texts = [f"{name}\n{source(name, root)}" for name in SOURCES[step]]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def unclassified(root: Path = PROJECT) -> list[str]:
    """Files and parts of files that nobody said of whether they decide rows."""
    named = NO_ROWS.union(*SOURCES.values())
    split = {name.partition("::")[0] for name in named if "::" in name}
    found: list[str] = []
    for pattern in ("spark_apps/**/*", "workflow/*", "workflow/sql/*"):
        for path in sorted(root.glob(pattern)):
            file = path.relative_to(root).as_posix()
            if not path.is_file() or "__pycache__" in file or file.endswith("py.typed"):
                continue
            whole = [f"{file}::{part}" for part in parts(path)] if file in split else [file]
            found += [name for name in whole if name not in named]
    return found


# ---- the record --------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a step's sources were when its logic version was raised, and what gave the same."""

    logic_version: int
    sha256: str
    same_output: list[dict[str, str]]

    def knows(self, sha256: str) -> bool:
        """Whether sources are those of the logic version, or give the same rows."""
        return sha256 in {self.sha256, *(note["sha256"] for note in self.same_output)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Now:
    """A step as the code has it."""

    logic_version: int
    sha256: str


def now() -> dict[str, Now]:
    """All steps as the code has them."""
    return {
        step.__name__: Now(logic_version=step.logic_version, sha256=digest(step.__name__))
        for step in STEPS
    }


def read(path: Path = RECORD) -> dict[str, Recorded]:
    """The record by step."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {step: Recorded(**values) for step, values in content.items()}


def write(record: Mapping[str, Recorded], path: Path = RECORD) -> None:
    """Write the record, a step after the other in their order."""
    content: dict[str, Any] = {step: dataclasses.asdict(record[step]) for step in sorted(record)}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def problem(step: str, is_now: Now, was: Recorded | None) -> str | None:
    """What has to be said of a step, and how; None when all is said."""
    command = "python -m tests.exactness.logic_versions"
    if was is None or is_now.logic_version > was.logic_version:
        return (
            f"{step} has logic_version {is_now.logic_version}, which is not recorded; "
            f"`{command} --bumped {step}`."
        )
    if is_now.logic_version < was.logic_version:
        return (
            f"{step} has logic_version {is_now.logic_version}, but {was.logic_version} is "
            "recorded: a number must not come back with other rows. Raise it."
        )
    if was.knows(is_now.sha256):
        return None
    return (
        f"The sources of {step} changed ({', '.join(SOURCES[step])}), its logic_version did not. "
        "If a date may get other rows than before, raise logic_version in workflow/tasks.py and "
        f"`{command} --bumped {step}`; if every date keeps its rows, "
        f'`{command} --same-output {step} "why"`.'
    )


def bumped(record: Mapping[str, Recorded], step: str, is_now: Now) -> dict[str, Recorded]:
    """The record with a raised logic version. Raises ValueError when it was not raised."""
    was = record.get(step)
    if was is not None and is_now.logic_version <= was.logic_version:
        raise ValueError(f"logic_version of {step} is {is_now.logic_version} as before; raise it.")
    new = Recorded(logic_version=is_now.logic_version, sha256=is_now.sha256, same_output=[])
    return {**record, step: new}


def same_output(
    record: Mapping[str, Recorded], step: str, is_now: Now, why: str
) -> dict[str, Recorded]:
    """The record with a note that a step's new sources give the same rows.

    Raises ValueError when there is nothing to note, or no reason.
    """
    was = record.get(step)
    if was is None or is_now.logic_version != was.logic_version:
        raise ValueError(f"The logic_version of {step} was raised: --bumped {step}.")
    if was.knows(is_now.sha256):
        raise ValueError(f"The sources of {step} are those that are recorded.")
    if not why.strip():
        raise ValueError("Say why the rows stay the same.")
    note = {"sha256": is_now.sha256, "why": why}
    return {**record, step: dataclasses.replace(was, same_output=[*was.same_output, note])}


_STEP = click.Choice([*SOURCES, "all"])


@click.command()
@click.option("--bumped", "raised", type=_STEP, multiple=True, help="logic_version was raised")
@click.option(
    "--same-output", "same", type=(_STEP, str), multiple=True, help="the rows stay, and why"
)
def main(raised: Sequence[str], same: Sequence[tuple[str, str]]) -> None:
    """Record a step's sources, and show what is still to be said."""
    steps, record = now(), read()
    try:
        for name in raised:
            for step in _fitting(name, steps, record, raised=True):
                record = bumped(record, step, steps[step])
                click.echo(f"{step}: logic_version {steps[step].logic_version} is recorded.")
        for name, why in same:
            for step in _fitting(name, steps, record, raised=False):
                record = same_output(record, step, steps[step], why)
                click.echo(f"{step}: the same output is recorded.")
    except ValueError as exc:
        raise click.ClickException(str(exc)) from exc
    write(record)
    for step in steps:
        if sentence := problem(step, steps[step], record.get(step)):
            click.echo(sentence)


def _fitting(
    name: str, steps: Mapping[str, Now], record: Mapping[str, Recorded], *, raised: bool
) -> list[str]:
    if name != "all":
        return [name]
    return [
        step
        for step in steps
        if problem(step, steps[step], record.get(step))
        and (step not in record or steps[step].logic_version > record[step].logic_version) is raised
    ]


if __name__ == "__main__":
    main()
