"""The three engines as a person would have them."""

import contextlib
import datetime
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.conftest import SHORT_LIVED, Pipeline, free_ports
from workflow.settings import utc_today
from workflow.stack import java

#: Apache Spark runs on the Java that Cassandra would take, never on whatever `java` is.
JAVA = java.find().path

START_SECONDS = 90

#: What Arrow and Spark's dates reach into: without, the server starts, and queries fail.
#: spark-submit opens these and more (org.apache.spark.launcher.JavaModuleOptions).
OPENED = ("java.nio", "sun.nio.ch", "sun.util.calendar")

#: Options of a JVM that runs one or two jobs.
QUICK_JVM = (SHORT_LIVED, "-XX:+UseSerialGC")

#: Makes a Python unable to import the project, even where it is installed.
WITHOUT_PROJECT = "import sys\nsys.modules['spark_apps'] = sys.modules['workflow'] = None\n"


def client_mode_works() -> bool:
    """Whether JAVA has the module that spark-submit adds to every driver."""
    modules = subprocess.run([JAVA, "--list-modules"], capture_output=True, text=True, check=True)
    return "jdk.incubator.vector" in modules.stdout


@contextlib.contextmanager
def connect_server(folder: Path) -> Iterator[str]:
    """Spark's own Connect server from the pip-installed Spark, without the project: `sc://…`.

    Its Python has pyarrow and cassandra-driver; `folder` is its working folder.
    """
    spec = find_spec("pyspark")
    assert spec is not None
    assert spec.origin is not None
    (folder / "sitecustomize.py").write_text(WITHOUT_PROJECT)
    (port,) = free_ports(1)
    conf = {
        "spark.master": "local[*]",
        "spark.ui.enabled": "false",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
    }
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [
                JAVA,
                "-Xmx1g",
                *QUICK_JVM,
                *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED),
                *(f"-D{key}={value}" for key, value in conf.items()),
                *("-cp", str(Path(spec.origin).parent / "jars" / "*")),
                "org.apache.spark.sql.connect.service.SparkConnectServer",
            ],
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "PYSPARK_PYTHON": sys.executable,
                "PYTHONPATH": str(folder),
                "SPARK_LOCAL_IP": "127.0.0.1",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        give_up = time.monotonic() + START_SECONDS
        while not _listens(port):
            text = (folder / "server.log").read_text(errors="replace")[-2000:]
            assert server.poll() is None, f"The Spark Connect server ended:\n{text}"
            assert time.monotonic() < give_up, f"No Spark Connect server after 90 s:\n{text}"
            time.sleep(0.1)
        yield f"sc://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def run_days(
    pipeline: Pipeline,
    first: datetime.date,
    last: datetime.date,
    *options: str,
    check: int | None = 0,
) -> "subprocess.CompletedProcess[str]":
    """Run a range, both inclusive, with Luigi's own command line, on JAVA if on any."""
    return pipeline.run(
        *("luigi", "--module", "workflow", "RangeDaily", "--of", "RunDaily", "--local-scheduler"),
        *("--start", str(first), "--stop", str(last + datetime.timedelta(days=1))),
        *("--days-back", str((utc_today() - first).days + 1), "--task-limit", "60"),
        *options,
        check=check,
        env={"JAVA_HOME": str(JAVA.parent.parent), "JAVA_TOOL_OPTIONS": " ".join(QUICK_JVM)},
        timeout=400,  # a JVM on a busy machine
    )


def make_due(pipeline: Pipeline, first: datetime.date, last: datetime.date) -> None:
    """Have TransformUsers of a range, both inclusive, and what follows it done again."""
    pipeline.rows(
        "INSERT INTO extraction_metadata (run_id, job, partition_date, state, logic_version, "
        "finished_at, host, process, requested_by) "
        "SELECT gen_random_uuid(), 'TransformUsers', d, 'invalidated', 1, now(), 'h', 1, 'me' "
        "FROM generate_series(%s::date, %s, '1 day') AS d",
        first,
        last,
    )


def engines_of(pipeline: Pipeline) -> set[tuple[str, str]]:
    """Engine and its version of the newest succeeded transform and statistics of each date."""
    rows: list[Any] = pipeline.rows(
        "SELECT DISTINCT ON (partition_date, job) details FROM extraction_metadata WHERE state = "
        "'succeeded' AND job IN ('TransformUsers', 'ComputeStats') "
        "ORDER BY partition_date, job, seq DESC"
    )
    return {(row.details["engine"], row.details["version"]) for row in rows}
