"""The wheel holds everything that a run without the checkout needs."""

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.conftest import PROJECT


def test_nothing_is_left_out_of_the_wheel(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", "from setuptools import build_meta as b; b.build_wheel('.')"],
        cwd=copied(tmp_path),
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "project").glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    moved = {"config": "workflow/config", "db-init": "workflow/db_init"}
    expected = set()
    for folder in ("workflow", "spark_apps", "config", "db-init"):
        for path in (PROJECT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                inside = path.relative_to(PROJECT / folder).as_posix()
                expected.add(f"{moved.get(folder, folder)}/{inside}")
    assert names == expected


def copied(tmp_path: Path) -> Path:
    """The project's committed files: building leaves traces in the folder that is built."""
    project = tmp_path / "project"
    project.mkdir()
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT, capture_output=True, check=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, files):
        if (PROJECT / name).is_file():
            target = project / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((PROJECT / name).read_bytes())
    return project
