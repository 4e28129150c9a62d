"""What `workflow plan --diff` would change, and that it changes nothing."""

import datetime
import json
from pathlib import Path

from tests import days
from tests.conftest import Pipeline
from tests.days import STEPS, everything

DATE = datetime.date(2026, 11, 20)


def test_diff_shows_what_this_code_would_change_and_publishes_nothing(pipeline: Pipeline) -> None:
    pipeline.set(
        "source", users_per_day=50,
        url=pipeline.stack.standin_url.replace("/api/", "/faults/diff/missing=gender,users=2/api/"),
    )  # fmt: skip
    days.run(DATE, *STEPS)
    same = pipeline.run("workflow", "plan", str(DATE), "--diff").stdout
    assert "gives 2026-11-20 exactly" in same or "exactly the rows that it has" in same

    pipeline.rows("UPDATE users SET city = 'Atlantis' WHERE position = 3")
    pipeline.rows("DELETE FROM users WHERE position = 4")
    pipeline.rows("DELETE FROM rejected_users")
    pipeline.rows("UPDATE user_statistics SET users = 7 WHERE dimension = 'all'")
    before = everything(pipeline)
    changed = pipeline.run("workflow", "plan", str(DATE), "--diff", check=1)
    assert "users: 1 new, 0 gone, 1 changed" in changed.stdout
    assert 'city: "Atlantis" → ' in changed.stdout
    assert "rejected_users: 1 new, 0 gone, 0 changed" in changed.stdout
    assert "user_statistics: 0 new, 0 gone, 1 changed" in changed.stdout
    assert "users: 7 → 49" in changed.stdout
    assert everything(pipeline) == before
    assert not [*(Path(pipeline.config["lake"]["url"]) / "scratch").rglob("*.parquet")]
    found = json.loads(
        pipeline.run("workflow", "plan", str(DATE), "--diff", "--json", check=1).stdout
    )["differences"]
    assert [len(rows) for rows in found.values()] == [2, 1, 1]
    pipeline.rows("UPDATE users SET city = 'Atlantis'")
    many = pipeline.run("workflow", "plan", str(DATE), "--diff", check=1).stdout
    assert "users: 1 new, 0 gone, 48 changed" in many
    assert "and 39 more; --json shows all" in many
