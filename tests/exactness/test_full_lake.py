"""The lake's disk is full: a small file system of its own, which root alone may mount."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Pipeline
from tests.days import NOTHING, states, tables
from tests.exactness.sickness import (
    DATE,
    require_sentence,
    require_whole,
    undisturbed,
)

FULL = "No space left on device"


class Disk:
    """A file system in memory. Mounting needs root, and so do these tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"
        folder.mkdir()
        self._run("mount", "-t", "tmpfs", "-o", "size=64k,mode=0777", "lake", str(folder))

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr} (this test needs root)"

    def resize(self, size: str) -> None:
        """Give it this much room."""
        self._run("mount", "-o", f"remount,size={size}", str(self.folder))

    def fill(self) -> None:
        """Write until nothing more fits."""
        with (
            self._filler.open("wb", buffering=0) as file,
            pytest.raises(OSError, match=FULL),
        ):
            while file.write(bytes(4096)):
                pass

    def clear(self) -> None:
        """Remove what filled it."""
        self._filler.unlink()

    def remove(self) -> None:
        """Unmount it."""
        self._run("umount", str(self.folder))


@pytest.fixture
def disk(pipeline: Pipeline, tmp_path: Path) -> Iterator[Disk]:
    """A pipeline whose lake has room for 64 KiB."""
    disk = Disk(tmp_path / "small")
    yield disk
    disk.remove()


def test_a_full_lake_fails_the_step_and_the_day_is_made_whole_when_there_is_room(
    pipeline: Pipeline, disk: Disk, full: bool
) -> None:
    pipeline.set("source", users_per_day=50_000 if full else 1_000)
    expected = undisturbed(pipeline)
    pipeline.set("lake", url=disk.folder)

    failed = pipeline.day(DATE, check=None)
    assert failed.returncode != 0
    require_sentence(failed.stderr, "Error: The Spark job failed on engine sail (", FULL)
    assert states(pipeline) == [("ExtractUsers", "succeeded"), ("TransformUsers", "failed")]
    assert tables(pipeline) == NOTHING

    disk.resize("64m")
    pipeline.run(
        "luigi", "--module", "workflow", "TransformUsers", "--date", DATE, "--local-scheduler"
    )
    disk.fill()
    failed = pipeline.day(DATE, check=None)
    assert failed.returncode != 0
    require_sentence(failed.stderr, "Error: The Spark job failed on engine sail (", FULL)
    assert states(pipeline)[2:] == [("TransformUsers", "succeeded"), ("ComputeStats", "failed")]
    assert tables(pipeline) == NOTHING

    disk.clear()
    pipeline.day(DATE)
    assert states(pipeline)[4:] == [("ComputeStats", "succeeded"), ("LoadUsers", "succeeded")]
    require_whole(pipeline, expected)
