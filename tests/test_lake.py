"""The lake: what counts as a run there, what is read of it, what is removed."""

import datetime
import uuid
from pathlib import Path

from tests import days
from tests.conftest import Pipeline
from tests.days import STEPS
from workflow.stores import lake

DATE = datetime.date(2026, 11, 20)


def test_what_is_no_run_is_left_alone(pipeline: Pipeline) -> None:
    folder = Path(lake.run_url("TransformUsers", DATE, uuid.uuid4())).parent
    folder.mkdir(parents=True)
    others = {folder / f"run_id={uuid.uuid4()}{end}" for end in ("_$folder$", ".bak")}
    for other in others:
        other.touch()
    pipeline.set("source", users_per_day=20)
    days.run(DATE, *STEPS)
    assert others < set(folder.iterdir())
    assert "leftover" not in pipeline.run("workflow", "verify").stdout


def test_a_folder_that_is_gone_is_swept_in_peace(pipeline: Pipeline) -> None:
    url = lake.run_url("TransformUsers", DATE, uuid.uuid4())
    lake.remove(url)
    Path(url).mkdir(parents=True)
    lake.remove(url)
    assert not Path(url).exists()
