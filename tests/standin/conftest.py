"""Stand-in processes to put questions to."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests


class Standin:
    """A running stand-in: its process, its URL and a way to ask it."""

    def __init__(self, process: "subprocess.Popen[str]", line: str) -> None:
        self.process = process
        self.line = line
        self.url = line.rsplit(maxsplit=1)[-1]
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy on loopback

    def ask(
        self, query: str = "", *, method: str = "GET", path: str = "", **headers: str
    ) -> requests.Response:
        """The answer to a query, of `/api/1.4/` unless a path is given."""
        address = requests.compat.urljoin(self.url, path) + (f"?{query}" if query else "")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.request(method, address, headers=named, timeout=20)

    def json(self, query: str) -> dict[str, Any]:
        """The document that answers a query."""
        answer = self.ask(query)
        assert answer.status_code == 200
        document: dict[str, Any] = answer.json()
        return document

    def users(self, query: str) -> list[dict[str, Any]]:
        """The users that answer a query."""
        users: list[dict[str, Any]] = self.json(query)["results"]
        return users


Start = Callable[..., Standin]


def command(*options: str) -> list[str]:
    """The command line of a stand-in on a free port."""
    return [sys.executable, "-m", "workflow.standin", "--port", "0", *options]


@contextlib.contextmanager
def running(*options: str) -> Iterator[Standin]:
    """A stand-in with the given options, stopped afterwards."""
    with subprocess.Popen(command(*options), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            standin = Standin(process, process.stdout.readline())
            with standin.session:
                yield standin
        finally:
            process.terminate()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts further stand-ins: `start("--users-per-window", "20")`."""
    with contextlib.ExitStack() as stack:
        yield lambda *options: stack.enter_context(running(*options))


@pytest.fixture(scope="session")
def standin() -> Iterator[Standin]:
    """One stand-in without a limit for all tests."""
    with running() as standin:
        yield standin


@pytest.fixture(scope="session")
def people(standin: Standin) -> list[dict[str, Any]]:
    """5,000 users of one page."""
    return standin.users("results=5000&seed=people")
