"""docs/guarantees.md names tests that exist, and every promise names one."""

import re

from tests.conftest import PROJECT

HERE = PROJECT / "tests" / "exactness"
TEXT = (PROJECT / "docs" / "guarantees.md").read_text(encoding="utf-8")


def test_every_promise_names_a_test_that_exists() -> None:
    lines = [line for line in TEXT.splitlines() if line.startswith("| ")]
    promises = [line for line in lines if not line.startswith(("| promise |", "| --- |"))]
    assert len(promises) > 10
    for promise in promises:
        named = re.findall(r"`((?:tests/(?:\w+/)*)?test_\w+\.py)::(test_\w+)`", promise)
        assert named, promise
        for file, test in named:
            folder = PROJECT if "/" in file else HERE
            text = (folder / file).read_text(encoding="utf-8")
            assert f"\ndef {test}(" in text, f"{file} has no {test}"
