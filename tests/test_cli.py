"""The command line: every command documented, a sentence for every bad argument."""

import datetime
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from tests.conftest import Pipeline
from workflow.cli.main import main


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("path", [*commands(main)], ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*path, "--help"])
    assert done.exit_code == 0
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help
    assert command.help.splitlines()[0].endswith(".")


TOMORROW = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "2026-02-30"], "'2026-02-30' is not a date of the calendar"),
        (["run", str(TOMORROW)], "is in the future"),
        (["run", "2026-11-20", "2026-11-19"], "is reversed; write the earlier date first"),
        (["run", "2026-11-18", "2026-11-19", "2026-11-20"], "at most two dates, START and STOP"),
        (["verify", "2026-11-20", "2026-11-19"], "is reversed; write the earlier date first"),
        (["run", "--date", "2026-11-20"], "Write the dates first and without --date"),
        (["verify", "x"], "'x' is not a date"),
        (["status", "x"], "'x' is not a date"),
    ],
)
def test_bad_arguments(pipeline: Pipeline, arguments: list[str], sentence: str) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code != 0
    assert sentence in done.output
    assert pipeline.rows("SELECT * FROM extraction_metadata") == []


def test_a_failed_run_ends_with_status_1_and_says_which_dates(pipeline: Pipeline) -> None:
    done = pipeline.run(
        "workflow", "run", "2026-11-20", "--local-scheduler",
        "--source-url", "http://127.0.0.1:9/api/1.4/", "--source-deadline", "1", check=1,
    )  # fmt: skip
    assert "1 of 1 date is not complete: 2026-11-20." in done.stderr


def test_status_of_a_day_that_never_ran(pipeline: Pipeline) -> None:
    assert pipeline.run("workflow", "status", "2026-11-20").stdout.count("due") == 4
