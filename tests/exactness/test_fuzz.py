"""Answers and documents of any kind do no harm: the short form of `make fuzz`."""

from tests.conftest import Pipeline
from tests.exactness.fuzz import Fuzz, prepare
from tests.hostile import Hostile, good


def test_no_answer_and_no_document_does_harm(pipeline: Pipeline, full: bool) -> None:
    with Hostile(good()) as source:
        prepare(pipeline, source)
        fuzz = Fuzz(source)
        fuzz.attempts(pipeline, 2_000 if full else 200)
        fuzz.whole_days(pipeline, 20 if full else 2)
    assert fuzz.counts.total() >= 200
    assert {kind.partition(":")[0] for kind in fuzz.counts} >= {"headers", "body", "documents"}
