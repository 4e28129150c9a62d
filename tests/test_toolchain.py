"""What a fresh machine and a fresh clone meet before any package is installed: make, uv, git."""

import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

from tests.conftest import BIN, PROJECT

#: Nobody listens there.
REFUSED = "http://127.0.0.1:9/"

#: What a Python needs neither to run nor to make virtual environments.
HEAVY = ("__pycache__", "config-*", "idlelib", "*-packages", "test", "tests", "tkinter")


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A folder with what make needs to make a virtual environment, and a space in its name."""
    folder = tmp_path / "daily users"
    folder.mkdir()
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(PROJECT / name, folder)
    return folder


def make_venv(fresh: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """`make venv` on a machine whose only Python is not among those that fit."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["make", "venv", "PYTHONS=python3.99"],
        cwd=fresh,
        env={"PATH": path, "HOME": str(fresh.parent), **env},
        capture_output=True,
        text=True,
        check=False,
    )


def with_uv(fresh: Path) -> None:
    """Put the uv of requirements.txt where make installs it, without a package index."""
    folder = fresh / ".python/uv/bin"
    folder.mkdir(parents=True)
    (folder / "uv").symlink_to(BIN / "uv")


def downloads(folder: Path, url: str) -> str:
    """A list for uv that knows one Python: this one, at a URL."""
    version = sys.version_info
    listed = {
        "name": "cpython",
        "arch": {"family": platform.machine(), "variant": None},
        "os": "linux",
        "libc": "gnu",
        "major": version.major,
        "minor": version.minor,
        "patch": version.micro,
        "prerelease": "",
        "url": url,
        "sha256": None,
        "variant": None,
        "build": None,
    }
    key = f"cpython-{platform.python_version()}-linux-{platform.machine()}-gnu"
    path = folder / "downloads.json"
    path.write_text(json.dumps({key: listed}), encoding="utf-8")
    return str(path)


def packed(folder: Path) -> str:
    """The URL of an archive of this Python, laid out as those that uv fetches."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    skipped = shutil.ignore_patterns(*HEAVY)
    root = folder / "python"
    shutil.copytree(sysconfig.get_path("stdlib"), root / "lib" / name, ignore=skipped)
    (root / "bin").mkdir()
    shutil.copy(Path(sys.executable).resolve(), root / "bin" / name)
    (root / "bin/python3").symlink_to(name)
    for library in Path(sys.base_prefix).glob("lib/libpython*.so*"):
        shutil.copy(library, root / "lib")
    with tarfile.open(folder / "python.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(root, "python")
    return (folder / "python.tar.gz").as_uri()


def test_a_machine_without_a_python_that_fits_gets_one(fresh: Path, tmp_path: Path) -> None:
    with_uv(fresh)
    listed = downloads(tmp_path, REFUSED + "python.tar.gz")
    refused = make_venv(fresh, UV_PYTHON_DOWNLOADS_JSON_URL=listed, UV_HTTP_RETRIES="0")
    assert refused.returncode == 2
    assert refused.stdout == (
        "No Python 3.11, 3.12 or 3.13 with venv was found as: python3.99. "
        "Fetching one with uv into .python: about 55 MB to download.\n"
        "No Python could be fetched (Connection refused (os error 111); more in .python/log). "
        "Try again with a network, or install Python 3.13 and name it: "
        "make PYTHONS=/path/to/python\n"
    )
    assert refused.stderr.startswith("make: ***")
    assert not (fresh / ".venv").exists()

    # what is left of that is no hindrance
    done = make_venv(fresh, UV_PYTHON_DOWNLOADS_JSON_URL=downloads(tmp_path, packed(tmp_path)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[1:] == [
        f"Creating .venv with Python {platform.python_version()}"
    ]
    assert not (fresh / ".python/uv").exists()  # .venv gets the same one
    assert not (tmp_path / ".local").exists()
    base = subprocess.run(
        [fresh / ".venv/bin/python", "-c", "import pip, sys; print(sys.base_prefix)"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    assert Path(base).is_relative_to(fresh / ".python")
    assert make_venv(fresh).stdout == ""


def test_uv_that_cannot_be_installed(fresh: Path) -> None:
    done = make_venv(fresh, PIP_INDEX_URL=REFUSED, PIP_RETRIES="0", PIP_CONFIG_FILE=os.devnull)
    assert done.returncode == 2
    sentence = done.stdout.splitlines()[1]
    assert sentence.startswith(
        "No Python could be fetched (No matching distribution found for uv=="
    )
    assert done.stderr.startswith("make: ***")
    assert not (fresh / ".venv").exists()


def test_a_checkout_with_crlf_changes_no_byte(tmp_path: Path) -> None:
    """Checksums of applied files, and the first lines of scripts, hold on Windows too."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    def git(*arguments: str | Path) -> None:
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=PROJECT, env=env, check=True)

    committed, clone = tmp_path / "committed", tmp_path / "clone"
    git("init", "--quiet", "--bare", committed)
    git("--git-dir", committed, "--work-tree", PROJECT, "add", "--all")
    git(
        "--git-dir", committed, "--work-tree", PROJECT, "commit", "--quiet", "--message", "as it is"
    )
    git("clone", "--quiet", "-c", "core.autocrlf=true", committed, clone)

    checksummed = {path.relative_to(PROJECT) for path in PROJECT.glob("db-init/*/*")}
    assert checksummed
    for name in checksummed | {Path("Makefile"), Path(".ci/run")}:
        assert (clone / name).read_bytes() == (PROJECT / name).read_bytes(), name
