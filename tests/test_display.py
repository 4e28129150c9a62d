"""How the command line shows what it is given."""

import datetime
import re

import pytest

from tests import days
from tests.conftest import Pipeline
from tests.days import STEPS
from workflow.cli import display

DATE = datetime.date(2026, 11, 20)


def test_a_line_is_printed_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    text = f"Cassandra 2001:db8:a:b::1:9042 [bold] {'x' * 200}"
    display.line(text)
    assert capsys.readouterr().out == f"{text}\n"


def test_status_shows_every_attempt(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    pipeline.day(
        DATE, "--source-url", "http://127.0.0.1:9/api/1.4/", "--source-deadline", "1", check=None
    )
    days.run(DATE, *STEPS)
    shown = pipeline.run("workflow", "status", str(DATE)).stdout
    assert len(re.findall(r"^ +\d+ [0-9a-f]{8} \w+ +(failed|succeeded) ", shown, re.MULTILINE)) == 5
    assert "did not deliver page 1" in shown
    assert "20 in, 20 out, 0 rejected" in shown
    assert re.search("read [0-9a-f]{8}, [0-9a-f]{8}, by ", shown)
