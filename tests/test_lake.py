"""The lake: what counts as a run there, what is read of it, what is removed."""

import datetime
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import days
from tests.conftest import PROJECT, Pipeline, load_config, write_config
from tests.days import STEPS
from workflow.errors import StoreError
from workflow.stores import lake
from workflow.stores.lake import CLEAN, REJECTED, ParquetRun

DATE = datetime.date(2026, 11, 20)
JOB = "TransformUsers"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lake that is a local folder."""
    monkeypatch.chdir(PROJECT)
    load_config(write_config(tmp_path / "test.cfg", {"lake": {"url": str(tmp_path / "lake")}}))
    return tmp_path / "lake"


def write(url: str, part: str, rows: int, file: str = "part-0.parquet") -> Path:
    path = Path(url) / part / file
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"position": range(rows), "name": ["x"] * rows}), path)
    return path


def run(url: str) -> ParquetRun:
    return ParquetRun(url, job=JOB, date=DATE)


def test_a_run_lies_below_its_date_and_is_found_there(folder: Path) -> None:
    first, second = uuid.uuid4(), uuid.uuid4()
    for run_id in (first, second):
        write(lake.run_url(JOB, DATE, run_id), CLEAN, 1)
    write(lake.run_url(JOB, DATE + datetime.timedelta(days=1), uuid.uuid4()), CLEAN, 1)
    assert lake.run_url(JOB, DATE, first) == (
        f"{folder}/transform_users/partition_date=2026-11-20/run_id={first}"
    )
    assert lake.run_ids(JOB, DATE) == {first, second}
    assert lake.run_ids("ComputeStats", DATE) == set()
    lake.remove(lake.run_url(JOB, DATE, first))
    assert lake.run_ids(JOB, DATE) == {second}


def test_a_url_is_left_as_it_is(folder: Path) -> None:
    load_config(write_config(folder.with_name("test.cfg"), {"lake": {"url": "s3://b/lake/"}}))
    assert lake.root() == "s3://b/lake"


def test_rows_are_read_file_by_file_in_the_columns_asked_for(folder: Path) -> None:
    url = lake.run_url(JOB, DATE, uuid.uuid4())
    paths = [write(url, CLEAN, rows, f"part-{rows}.parquet") for rows in (3, 2)]
    paths.append(write(url, REJECTED, 1))
    (Path(url) / "_SUCCESS").touch()
    assert [run(url).rows(part) for part in (CLEAN, REJECTED, "outcome=other", "")] == [5, 1, 0, 6]
    batches = [*run(url).batches(["name", "position"], CLEAN)]
    assert [batch.schema.names for batch in batches] == [["name", "position"]] * 2
    assert [batch["position"].to_pylist() for batch in batches] == [[0, 1], [0, 1, 2]]
    assert run(url).bytes == sum(path.stat().st_size for path in paths)


def test_large_files_come_in_bounded_batches(folder: Path) -> None:
    url = lake.run_url(JOB, DATE, uuid.uuid4())
    write(url, CLEAN, lake.BATCH_ROWS + 1)
    assert [batch.num_rows for batch in run(url).batches(["name"], CLEAN)] == [lake.BATCH_ROWS, 1]


def test_what_cannot_be_read_names_the_command_that_makes_it_again(folder: Path) -> None:
    gone = lake.run_url(JOB, DATE, uuid.uuid4())
    damaged = lake.run_url(JOB, DATE, uuid.uuid4())
    write(damaged, CLEAN, 5).write_bytes(b"PAR1 and no more")
    for url in (gone, damaged):
        for read in (lambda r: r.rows(CLEAN), lambda r: [*r.batches(["name"], CLEAN)]):
            with pytest.raises(StoreError) as error:
                read(run(url))
            assert str(error.value).startswith(f"The Parquet run {url} cannot be read (")
            assert "`workflow rerun 2026-11-20 --from TransformUsers`" in str(error.value)


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


def test_a_folder_that_is_gone_is_swept_in_peace(folder: Path) -> None:
    url = lake.run_url("TransformUsers", DATE, uuid.uuid4())
    lake.remove(url)
    Path(url).mkdir(parents=True)
    lake.remove(url)
    assert not Path(url).exists()
