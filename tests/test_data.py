"""docs/data.md, the contract for analysts."""

import re
from typing import Any

import pytest
from click.testing import CliRunner

from spark_apps.documents import REASONS
from spark_apps.users import BLANK, COLUMNS, DIMENSIONS, FIGURES, NATIONALITIES
from tests.conftest import PROJECT
from workflow.cli.main import main
from workflow.source.answer import DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX

PAGE = (PROJECT / "docs/data.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_code_says() -> None:
    printed = CliRunner().invoke(main, ["data"])
    assert printed.exit_code == 0
    assert printed.output == PAGE, "docs/data.md is out of date; run `make data`"


def test_the_page_has_each_column_reason_and_figure() -> None:
    rules = [rule.reason for column in COLUMNS for rule in column.rules]
    names = [one.name for home in (COLUMNS, DIMENSIONS, FIGURES) for one in home]
    for name in [*rules, *REASONS, *names]:
        assert f"\n| `{name}` | " in PAGE, name


def test_the_reasons_name_the_limits_of_a_document() -> None:
    assert f" {DOCUMENT_BYTES_MAX:,} bytes" in REASONS["document_too_large"]
    assert f" {DOCUMENT_DEPTH_MAX} objects" in REASONS["document_too_deep"]


def test_what_is_trimmed_is_given_by_code_point() -> None:
    listed = PAGE.split("of these characters only:")[1].split(".")[0]
    codes = set[int]()
    for first, last in re.findall(r"U\+([0-9A-F]{4})(?:\s+to\s+U\+([0-9A-F]{4}))?", listed):
        codes.update(range(int(first, 16), int(last or first, 16) + 1))
    assert codes == set(map(ord, BLANK))


@pytest.fixture(scope="module")
def python() -> dict[str, Any]:
    """What the block of Python in the page defines."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    defined: dict[str, Any] = {}
    exec(code, defined)
    return defined


def test_the_block_has_a_pattern_for_each_column_with_one(python: dict[str, Any]) -> None:
    leaves = {column.leaf for column in COLUMNS if "rlike" in column.value}
    assert {c.leaf for c in COLUMNS if isinstance(python.get(c.name), str)} == leaves
    assert python["nationality"] == NATIONALITIES


@pytest.mark.parametrize(
    ("column", "fits", "others"),
    [
        ("user_id", ["155e77ee-ba6d-486f-95ce-0e0c0fb4B919"], ["155e77ee", "{155e77ee}", ""]),
        ("birth_date", ["1990-09-18T01:02:03Z"], ["1990-09-18", "1990-09-18T24:00:00Z"]),
        ("email", ["é.o'x+y@sub.münchen.de"],
         ["a@b", "a@b.d", "a@b..de", "a@-b.de", "a b@c.de", "a\u200b@b.de", "a@b.de\n", "'a@b.d'"]),
        ("latitude", ["-90.0", "12.34565"], ["90.000000000000000000001", "1e1", "٩"]),
        ("longitude", ["180", "-179.9"], ["180.1", "-181"]),
        ("street_number", ["0000000012"], ["-1", "1.0", "12345678901"]),
        ("timezone_offset", ["+5:30", "-12:00"], ["+99:99", "-12:30"]),
        ("registered_at", ["1990-09-18T01:02:03.456Z"], ["1990-09-18T01:02:03.4Z"]),
        ("picture_url", ["https://e.x/a"], ["javascript:alert(1)", "https://e.x/<b>", "http://a:b@c/"]),
    ],
)  # fmt: skip
def test_a_pattern_of_the_block(
    python: dict[str, Any], column: str, fits: list[str], others: list[str]
) -> None:
    not_in = python.get(f"not_in_{column}", r"(?!)")
    for text in [*fits, *others]:
        found = re.fullmatch(python[column], text) and not re.search(not_in, text)
        assert bool(found) == (text in fits), text
