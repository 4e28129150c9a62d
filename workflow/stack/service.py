"""What the supervisor and `status` need to know of one service."""

import http.client
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Program:
    """How the supervisor runs a service.

    `digest` stands for files that the command names: when it changes, so does the program.
    A process that ends within `start_seconds` has failed to start, later it is restarted.
    """

    command: Sequence[str]
    directory: Path
    user: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    start_seconds: int = 5
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service of the stack.

    `prepare()` makes what the service needs (files, folders, downloads) and returns how to
    run it. `problem()` is empty when the service does its work for a client, not merely
    listens, else it says what is wrong; it never raises and takes seconds at most.
    `ports` maps each port it listens on to the setting that moves it. `connection` is how a
    client names the service, by the key of the JSON status.
    """

    name: str
    prepare: Callable[[Console], Program]
    problem: Callable[[], str]
    address: str
    port: int
    ports: Mapping[int, str]
    data: Path | None
    connection: Mapping[str, str]


def http_problem(address: str, port: int, path: str) -> str:
    """Empty if GET gives status 200 within 5 s. `http.client` knows no proxies."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as exc:
        return f"GET {path}: {exc or type(exc).__name__}"
    else:
        return "" if status == 200 else f"GET {path}: status {status}"
    finally:
        connection.close()
