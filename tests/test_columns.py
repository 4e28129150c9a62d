"""One home for a column: spark_apps/users.py, the tables, and what a load remembers."""

import datetime
import re
import subprocess
import sys
from collections.abc import Sequence

import pytest

from spark_apps.users import COLUMNS, FIGURES, SHAPE, Column, Figure
from tests import days
from tests.conftest import PROJECT, Pipeline
from tests.days import STEPS
from workflow.ops.data import page
from workflow.ops.verify import Verdict, verify
from workflow.stores.warehouse import FIRST_COLUMNS, TABLES

DATE = datetime.date(2026, 11, 20)


def test_the_home_is_data_that_costs_no_library() -> None:
    probe = "import sys, spark_apps.users; print(*sorted({'pyspark', 'pyarrow'} & {*sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_every_column_has_a_name_a_leaf_and_rules_of_its_own() -> None:
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    assert set(SHAPE.leaves) == {column.leaf for column in COLUMNS}
    reasons = [rule.reason for column in COLUMNS for rule in column.rules]
    assert len(set(reasons)) == len(reasons)
    assert all(column.rules for column in COLUMNS)


#: The columns of a table as information_schema has them; the type with its length or precision.
IN_POSTGRESQL = """
SELECT
    column_name AS name, is_nullable = 'YES' AS nullable, format_type(atttypid, atttypmod) AS type
FROM information_schema.columns
JOIN pg_attribute ON attrelid = table_name::regclass AND attname = column_name
WHERE table_name = %s ORDER BY ordinal_position
"""


@pytest.mark.parametrize("table", TABLES)
def test_the_tables_have_the_columns_of_the_home(pipeline: Pipeline, table: str) -> None:
    found = pipeline.rows(IN_POSTGRESQL, table)
    first = list(FIRST_COLUMNS[table])
    later = [name for name in TABLES[table] if name not in first]
    assert [column.name for column in found] == [*first, *later]
    # a rule rejects what is null in a column that never is
    homes: dict[str, Sequence[Column | Figure]] = {"users": COLUMNS, "user_statistics": FIGURES}
    expected = {one.name: (one.type, bool(one.null)) for one in homes.get(table, ())}
    types = {column.name: (column.type, column.nullable) for column in found}
    assert {name: types[name] for name in expected} == expected
    section = page().split(f"\n## `{table}`\n")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|.* \|$", section, re.MULTILINE)
    assert {name: (type_, null != "never") for name, type_, null in documented} == types


def verdict() -> Verdict:
    (found,) = verify([DATE])
    return found


def test_a_column_that_is_added_later_changes_no_older_date(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    days.run(DATE, *STEPS)
    pipeline.rows("ALTER TABLE users ADD COLUMN shoe_size integer")
    pipeline.rows("UPDATE users SET shoe_size = 42")
    assert verdict().problems == []
    pipeline.rows("UPDATE users SET city = 'Elsewhere' WHERE position = 3")
    (problem,) = verdict().problems
    assert problem.startswith("users of 2026-11-20 was changed in PostgreSQL after it was loaded")


def test_a_date_loaded_before_columns_were_recorded_is_still_verified(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    days.run(DATE, *STEPS)
    pipeline.rows(
        "UPDATE extraction_metadata SET details = details #- '{fingerprint,columns}' "
        "WHERE job = 'LoadUsers'"
    )
    assert verdict().problems == []
    pipeline.rows("UPDATE rejected_users SET offending = '{}'")
    pipeline.rows("UPDATE user_statistics SET share = 0.5 WHERE dimension = 'all'")
    assert [problem.split(" of ")[0] for problem in verdict().problems] == ["user_statistics"]


def test_a_column_that_is_dropped_is_named_with_the_remedy(pipeline: Pipeline) -> None:
    pipeline.set("source", users_per_day=20)
    days.run(DATE, *STEPS)
    pipeline.rows(
        "UPDATE extraction_metadata SET details = jsonb_set(details, "
        "'{fingerprint,columns,users,0}', '\"shoe_size\"') WHERE job = 'LoadUsers'"
    )
    (problem,) = verdict().problems
    assert 'column "shoe_size" does not exist' in problem
    assert "`workflow rerun 2026-11-20 --from LoadUsers`" in problem
    pipeline.run("workflow", "rerun", str(DATE), "--from", "LoadUsers", "--local-scheduler")
    assert verdict().problems == []
