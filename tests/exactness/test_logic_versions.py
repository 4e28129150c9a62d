"""A change that may give other rows is not forgotten to be told: see logic_versions.py."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from tests.exactness import logic_versions
from tests.exactness.logic_versions import PROJECT, Now, bumped, problem, same_output

STEP = "TransformUsers"
SOURCE = "spark_apps/transform_users.py"


def test_every_change_was_told() -> None:
    steps, record = logic_versions.now(), logic_versions.read()
    problems = [problem(step, steps[step], record.get(step)) for step in steps]
    assert [sentence for sentence in problems if sentence] == []
    assert list(record) == sorted(steps)


def test_every_file_is_known_to_decide_rows_or_not_to() -> None:
    assert logic_versions.unclassified() == []
    named = logic_versions.NO_ROWS.union(*logic_versions.SOURCES.values())
    for name in named:
        file, _, part = name.partition("::")
        assert (PROJECT / file).is_file()
        assert not part or part in logic_versions.parts(PROJECT / file)
    for step, sources in logic_versions.SOURCES.items():
        assert not logic_versions.NO_ROWS & set(sources)
        assert f"workflow/tasks.py::{step}" in sources


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources, to be changed."""
    for folder in ("spark_apps", "workflow"):
        shutil.copytree(
            PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_a_new_file_class_or_statement_is_asked_for(copy: Path) -> None:
    (copy / "spark_apps/join_weather.py").write_text("")
    (copy / "workflow/weather.py").write_text("")
    edit(copy / "workflow/tasks.py", "class RunDaily", "class Weather: ...\n\n\nclass RunDaily")
    edit(copy / "workflow/sql/warehouse.sql", "", "-- name: update_users\nUPDATE users;\n")
    assert logic_versions.unclassified(copy) == [
        "spark_apps/join_weather.py",
        "workflow/tasks.py::Weather",
        "workflow/weather.py",
        "workflow/sql/warehouse.sql::update_users",
    ]


def test_a_change_of_a_rule_is_a_change_and_a_comment_is_none(copy: Path) -> None:
    before = {step: logic_versions.digest(step, copy) for step in logic_versions.SOURCES}
    assert before == {step: now.sha256 for step, now in logic_versions.now().items()}
    edit(copy / SOURCE, "import argparse\n", "# why\n\nimport argparse  # because\n\n")
    edit(copy / "workflow/tasks.py", "class TransformUsers", "# steps\n\nclass TransformUsers")
    edit(copy / "workflow/sql/warehouse.sql", "DELETE FROM users", "-- all\n\nDELETE FROM users")
    assert before == {step: logic_versions.digest(step, copy) for step in before}

    changed = {
        "ExtractUsers": ("workflow/sql/raw_store.cql", "VALUES (?, ?", "VALUES (?,  ?"),
        "TransformUsers": (SOURCE, "import argparse", "import argparse, os"),
        "ComputeStats": ("workflow/tasks.py", 'counted["all"]', 'counted["gender"]'),
        "LoadUsers": ("workflow/sql/warehouse.sql", "DELETE FROM users", "DELETE FROM  users"),
    }
    for step, (file, old, new) in changed.items():
        edit(copy / file, old, new)
        after = {name: logic_versions.digest(name, copy) for name in before}
        assert [name for name in before if after[name] != before[name]] == [step]
        before = after


def test_comments_and_blank_lines_inside_strings_are_text(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text(
        'a = 1  # one\n\n\nb = f"""{a}\n\n# no comment\n{a}"""\nif a:\n    # two\n\n'
        "    b = (\n\n        a)\n"
    )
    assert logic_versions.source("file.py", tmp_path) == (
        'a = 1\nb = f"""{a}\n\n# no comment\n{a}"""\nif a:\n    b = (\n        a)'
    )


def test_a_change_has_to_be_told_in_one_of_two_ways() -> None:
    record = bumped({}, STEP, Now(logic_version=1, sha256="old"))
    unchanged = Now(logic_version=1, sha256="old")
    changed = Now(logic_version=1, sha256="new")
    raised = Now(logic_version=2, sha256="new")
    assert problem(STEP, unchanged, record[STEP]) is None

    sentence = problem(STEP, changed, record[STEP])
    assert sentence is not None
    assert SOURCE in sentence
    command = "python -m tests.exactness.logic_versions"
    assert f"`{command} --bumped TransformUsers`" in sentence
    assert f'`{command} --same-output TransformUsers "why"`' in sentence

    sentence = problem(STEP, raised, record[STEP])
    assert sentence == (
        "TransformUsers has logic_version 2, which is not recorded; "
        f"`{command} --bumped TransformUsers`."
    )
    assert problem(STEP, raised, bumped(record, STEP, raised)[STEP]) is None
    # the number of another logic must not come back
    assert "Raise it" in str(problem(STEP, changed, bumped(record, STEP, raised)[STEP]))

    noted = same_output(record, STEP, changed, "only renamed")
    assert problem(STEP, changed, noted[STEP]) is None
    assert problem(STEP, unchanged, noted[STEP]) is None
    again = dataclasses.replace(changed, sha256="newer")
    assert problem(STEP, again, noted[STEP]) is not None


def test_what_was_not_done_cannot_be_recorded() -> None:
    record = bumped({}, STEP, Now(logic_version=1, sha256="old"))
    changed = Now(logic_version=1, sha256="new")
    with pytest.raises(ValueError, match="as before; raise it"):
        bumped(record, STEP, changed)
    with pytest.raises(ValueError, match="Say why"):
        same_output(record, STEP, changed, " ")
    with pytest.raises(ValueError, match="are those that are recorded"):
        same_output(record, STEP, Now(logic_version=1, sha256="old"), "why")
    with pytest.raises(ValueError, match="was raised: --bumped"):
        same_output(record, STEP, Now(logic_version=2, sha256="new"), "why")
