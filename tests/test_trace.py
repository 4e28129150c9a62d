"""Where `workflow trace` leads, and what it never shows."""

import datetime
import uuid

import pytest

from spark_apps.documents import MASK
from tests import days
from tests.conftest import Pipeline
from tests.days import STEPS
from workflow.ops.trace import masked

DATE = datetime.date(2026, 11, 20)


def test_trace_leads_from_a_person_to_the_document(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=50, page_size=20)
    days.run(DATE, *STEPS)
    (user,) = pipeline.rows("SELECT * FROM users WHERE position = 47")
    shown = pipeline.run("workflow", "trace", str(DATE), str(user.user_id)).stdout
    assert "users, position 47 of 2026-11-20" in shown
    assert user.first_name in shown
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("← ")] == [
        *(step.__name__ for step in reversed(STEPS)), "Cassandra,", "GET",
    ]  # fmt: skip
    assert "results=10&seed=batch-20261120-users&page=3&format=json" in shown
    assert f'"email": "{user.email}"' in shown
    assert f'"password": "{MASK}"' in shown
    assert len(shown.splitlines()) < 40
    figures = pipeline.run("workflow", "trace", str(DATE)).stdout
    assert "user_statistics of 2026-11-20: 50 users" in figures
    assert "and 2 more" in figures


def test_trace_of_what_is_not_there(pipeline: Pipeline) -> None:
    assert "was never loaded" in pipeline.run("workflow", "trace", str(DATE), check=1).stderr
    pipeline.set("source", users_per_day=20)
    days.run(DATE, *STEPS)
    done = pipeline.run("workflow", "trace", str(DATE), str(uuid.uuid4()), check=1)
    assert "has no user" in done.stderr


@pytest.mark.parametrize(
    "document",
    [
        '{"login": {"password": "secret", "salt": "secret", "uuid": "u"}}',
        '{"id": {"name": "SSN", "value": "secret"}}',
        '{"login": "secret", "id": "secret"}',
        '{"login": ["secret"], "LOGIN": {"Sha256": "secret"}}',
        '{"id": ["secret"]}',
        '{"login": {"password": {"deep": "secret"}}}',
        '{"login": {"Password ": "secret", "pwd": "secret"}}',
        '{"id": {"Value": "secret", "name": {"x": "SSN"}}}',
        '{"ID ": {"value": "secret"}, "nested": {"id": {"value": "secret"}}}',
        '["secret"]',
        '{"password": "secret"',
    ],
)
def test_no_secret_of_a_document_is_shown(document: str) -> None:
    assert "secret" not in masked(document).replace("they may hold a secret", "")


def test_a_document_that_no_terminal_takes_is_shown_all_the_same() -> None:
    assert masked('{"email": "\\ud800@x"}') == '"email": "\\ud800@x"'
    deep = '{"a": ' + "[" * 900 + "]" * 900 + "}"
    assert masked(deep)
