"""The stand-in as a program: its limit, its log, how it starts and stops."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.standin.conftest import Standin, Start


def test_two_processes_give_the_same_bytes(
    standin: Standin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "4242")
    other = start()
    query = "seed=same&results=2000&exc=dob,registered"
    assert standin.ask(query).content == other.ask(query).content


def test_the_limit_counts_users_and_comes_before_the_version(start: Start) -> None:
    standin = start("--users-per-window", "20", "--window-seconds", "3600")
    # checked before, raised after: 15 of 20 are spent, so the next 15 are still answered
    assert [standin.ask(f"results=15&page={p}").status_code for p in (1, 2, 3)] == [200, 200, 429]
    refused = standin.ask("results=1")
    assert refused.json() == {
        "error": "Whoa, ease up there cowboy. You've requested 30 users in the last minute. "
        "Help us keep this service free and spare some bandwidth for other users please :)"
    }
    assert refused.headers["Content-Type"] == "application/json; charset=utf-8"
    assert not {"Retry-After", "Cache-Control", "ETag"} & set(refused.headers)
    assert standin.ask(path="/api/9.9/").status_code == 429
    assert standin.ask(path="/elsewhere").status_code == 404


def test_not_found_costs_nothing_and_every_bad_number_costs_one_user(start: Start) -> None:
    standin = start("--users-per-window", "2", "--window-seconds", "3600")
    assert [standin.ask(path="/api/9.9/").status_code for _ in range(3)] == [404] * 3
    assert [standin.ask("results=9999").status_code for _ in range(3)] == [200, 200, 429]


def test_each_address_has_its_own_limit(start: Start) -> None:
    standin = start("--users-per-window", "1", "--window-seconds", "3600")

    def status(header: str, address: str) -> int:
        answer = standin.ask("results=1", **{header: address})
        return int(answer.status_code)

    for network, header in enumerate(("CF-Connecting-IP", "X-Real-IP", "X-Forwarded-For")):
        one, other = f"10.0.{network}.1", f"10.0.{network}.2"
        assert [status(header, a) for a in (one, one, other)] == [200, 429, 200]
    assert standin.ask("results=1").status_code == 200  # the socket's own address


def test_the_next_window_starts_from_nothing(start: Start) -> None:
    standin = start("--users-per-window", "10", "--window-seconds", "1")
    deadline = time.monotonic() + 10
    statuses = [standin.ask("results=10").status_code]
    # a window may end between any two requests, so wait for the changes
    for wanted in (429, 200):
        while statuses[-1] != wanted and time.monotonic() < deadline:
            statuses.append(standin.ask("results=10").status_code)
            time.sleep(0.02)
    assert statuses[-1] == 200
    assert 429 in statuses


def test_without_a_limit_nothing_is_refused(standin: Standin) -> None:
    answers = [standin.ask(f"results=5000&inc=nat&page={page}") for page in range(1, 7)]
    assert {answer.status_code for answer in answers} == {200}


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_and_it_logged_one_line(signum: int) -> None:
    command = [sys.executable, "-m", "workflow.standin", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        standin = Standin(process, process.stdout.readline())
        with standin.session:
            for method in ("GET", "POST", "OPTIONS", "HEAD"):
                standin.ask("results=2", method=method)
            process.send_signal(signum)  # with a kept connection still open
            output, errors = process.communicate(timeout=10)
    assert standin.line.startswith("RandomUser stand-in (invented people): http://127.0.0.1:")
    assert (process.returncode, output, errors) == (0, "", "")


def test_a_taken_port_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "workflow.standin", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env=os.environ | {"NO_COLOR": "1"},
        )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"Error: Address 127.0.0.1:{port} is taken, so the stand-in did not start; "
        "choose another with --port or --address.\n"
    )
