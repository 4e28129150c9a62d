"""Downloads of Cassandra's jars, from the real registry: its smallest files."""

from pathlib import Path

import pytest
from rich.console import Console

from tests.conftest import free_ports
from workflow.errors import StackError
from workflow.stack import jars

SMALLEST = sorted(jars.read_lock(), key=lambda jar: jar.size)[:3]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv(jars.CACHE_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture
def registry(services: None) -> None:
    """The real one, which is another machine."""


def console() -> Console:
    """One that records what it prints."""
    return Console(record=True, width=200)


def test_missing_and_damaged_files_are_fetched_and_whole_ones_left_alone(registry: None) -> None:
    first = jars.fetch(SMALLEST, console())
    contents = [path.read_bytes() for path in first]
    untouched = first[0].stat()
    first[1].unlink()
    first[2].write_bytes(bytes(len(contents[2])))  # of the right size

    output = console()
    assert jars.fetch(SMALLEST, output) == first
    assert [path.read_bytes() for path in first] == contents
    assert first[0].stat().st_mtime_ns == untouched.st_mtime_ns
    assert "Downloading 2 of Cassandra's jars" in output.export_text()


def test_nothing_is_left_of_a_download(registry: None, cache: Path) -> None:
    jars.fetch(SMALLEST, console())
    assert sorted(path for path in cache.rglob("*") if path.is_file()) == sorted(
        jars.fetch(SMALLEST, console())
    )


def test_a_file_that_differs_from_the_lock_is_refused(registry: None, cache: Path) -> None:
    wanted = jars.Jar(SMALLEST[0].coordinate, "0" * 64, SMALLEST[0].size)
    with pytest.raises(StackError, match="that does not match"):
        jars.fetch([wanted], console())
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_an_unreachable_registry_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    (dead,) = free_ports(1)
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{dead}")
    with pytest.raises(StackError, match=r"^The Maven registry cannot be reached") as raised:
        jars.fetch(SMALLEST, console())
    assert "\n" not in str(raised.value)


def test_a_broken_line_of_the_lock_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("# jars\norg.example:one:jar:1.0 abc\n")
    with pytest.raises(StackError, match=r"org\.example:one:jar:1\.0 abc"):
        jars.read_lock(lock)
