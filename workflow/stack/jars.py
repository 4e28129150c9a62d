"""Cassandra's jars: locked by coordinate, sha256 and size, downloaded by jgo, verified.

The lock is config/cassandra-jars.lock. All clones share the cache, which lies in the user's
cache folder or where the environment variable WORKFLOW_JAR_CACHE says. A file in it is whole
or absent: jgo writes in place, so each download goes to a temporary folder of its own, is
verified there and only then moved into the cache. After an interrupted download, the next one
fetches only the files that are still missing.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import requests
from jgo.maven import Artifact, MavenContext
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from workflow.errors import StackError
from workflow.resources import resource

GROUP, ARTIFACT, SERIES = "org.apache.cassandra", "cassandra-all", "5.0."
#: Native libraries for platforms that the stack does not run on.
UNUSED_CLASSIFIERS = frozenset({"windows-x86_64", "linux-riscv64"})
CACHE_VARIABLE = "WORKFLOW_JAR_CACHE"
LOCK = resource("config") / "cassandra-jars.lock"
DOWNLOADS_AT_A_TIME = 6
DOWNLOAD_TIMEOUT = 30  # seconds without a byte
USUAL_RATE = 2_000_000  # bytes a second, for the expected time


@dataclass(frozen=True, order=True)
class Jar:
    """One line of the lock: coordinate, sha256 in hex, size in bytes."""

    coordinate: str
    sha256: str
    size: int


def cache_folder() -> Path:
    """The folder of the jars, laid out like a Maven repository."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).resolve()
    return platformdirs.user_cache_path("batch-workflow") / "jars"


def read_lock(lock: Path = LOCK) -> list[Jar]:
    """The jars in the order of the lock, which is the order of the class path.

    Raises StackError for a line that is not `coordinate sha256 size`.
    """
    jars = []
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        try:
            coordinate, sha256, size = line.split()
            jars.append(Jar(coordinate, sha256, int(size)))
        except ValueError:
            raise StackError(
                f"{lock} has a line that is not 'coordinate sha256 size': {line!r}; "
                "run `workflow stack lock-jars` to write the file again."
            ) from None
    return jars


def fetch(jars: Sequence[Jar], console: Console) -> list[Path]:
    """The verified files of the jars, in their order; downloads those missing or damaged.

    Raises StackError when the registry cannot be reached or sends something else.
    """
    paths = [_cached_path(jar, cache_folder()) for jar in jars]
    with ThreadPoolExecutor(DOWNLOADS_AT_A_TIME) as pool:
        whole = pool.map(_is_whole, paths, jars)
    missing = [(jar, path) for jar, path, ok in zip(jars, paths, whole, strict=True) if not ok]
    if missing:
        _download_all(missing, console)
    return paths


def write_lock(console: Console, lock: Path = LOCK) -> str:
    """Resolve the newest Cassandra 5.0 and write its lock; returns the version.

    A release always gives the same file. Raises StackError when the registry cannot be reached.
    """
    with tempfile.TemporaryDirectory() as folder, console.status("Resolving Cassandra's jars"):
        context = MavenContext(repo_cache=Path(folder), timeout=DOWNLOAD_TIMEOUT)
        with _registry(), ThreadPoolExecutor(DOWNLOADS_AT_A_TIME) as pool:
            version, artifacts = _resolve_newest(context)
            files = list(pool.map(Artifact.resolve, artifacts))
        jars = sorted(
            Jar(str(artifact), _sha256(path), path.stat().st_size)
            for artifact, path in zip(artifacts, files, strict=True)
        )
    lines = [f"# Jars of Cassandra {version}, written by `workflow stack lock-jars`"]
    lines += [f"{jar.coordinate} {jar.sha256} {jar.size}" for jar in jars]
    lock.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return version


def _resolve_newest(context: MavenContext) -> tuple[str, list[Artifact]]:
    project = context.project(GROUP, ARTIFACT)
    project.update()
    # "5.0.9", not "5.0-rc1"
    patches = [str(found.version).removeprefix(SERIES) for found in project.versions()]
    version = SERIES + str(max(int(patch) for patch in patches if patch.isdigit()))
    root = context.create_dependency(f"{GROUP}:{ARTIFACT}:{version}")
    inputs, others = context.resolver.resolve([root])
    return version, [
        dependency.artifact
        for dependency in inputs + others
        if dependency.scope in (None, "compile", "runtime")
        and dependency.artifact.classifier not in UNUSED_CLASSIFIERS
    ]


def _artifact(jar: Jar, cache: Path) -> Artifact:
    context = MavenContext(repo_cache=cache, timeout=DOWNLOAD_TIMEOUT)
    return context.create_dependency(jar.coordinate).artifact


def _cached_path(jar: Jar, cache: Path) -> Path:
    artifact = _artifact(jar, cache)
    return cache / artifact.component.path_prefix / artifact.filename


def _is_whole(path: Path, jar: Jar) -> bool:
    try:
        return path.stat().st_size == jar.size and _sha256(path) == jar.sha256
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download_all(missing: Sequence[tuple[Jar, Path]], console: Console) -> None:
    size = sum(jar.size for jar, _ in missing)
    console.print(
        f"Downloading {len(missing)} of Cassandra's jars, {size / 1e6:.1f} MB, about "
        f"{size // USUAL_RATE + 5} s on a typical connection, into {cache_folder()}",
        soft_wrap=True,
    )
    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    pool = ThreadPoolExecutor(DOWNLOADS_AT_A_TIME)
    with Progress(*columns, console=console) as progress, _registry():
        bar = progress.add_task("jars", total=size)
        downloads = {pool.submit(_download, jar, path): jar for jar, path in missing}
        try:
            for done in as_completed(downloads):
                done.result()
                progress.advance(bar, downloads[done].size)
        finally:  # after an error or Ctrl-C, leave the rest for the next time
            pool.shutdown(cancel_futures=True)


@retry(
    # jgo raises RuntimeError for any status but 200
    retry=retry_if_exception_type((requests.RequestException, RuntimeError, StackError)),
    wait=wait_random_exponential(multiplier=0.5, max=10),
    stop=stop_after_attempt(4),
    reraise=True,
)
def _download(jar: Jar, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # on the same file system as the cache, so that the move is atomic
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="download-") as folder:
        fresh = _artifact(jar, Path(folder)).resolve()
        if not _is_whole(fresh, jar):
            raise StackError(
                f"The Maven registry sent a file for {jar.coordinate} that does not match {LOCK}; "
                "try again later, and if that does not help, check the registry and any proxy."
            )
        fresh.replace(path)


@contextmanager
def _registry() -> Iterator[None]:
    """Raises StackError when the Maven registry cannot be used within."""
    try:
        yield
    except (requests.RequestException, RuntimeError) as exc:
        raise StackError(
            "The Maven registry cannot be reached or refuses Cassandra's jars; check the network "
            "and the variable https_proxy and run the command again, which downloads only the "
            "files that are still missing."
        ) from exc
