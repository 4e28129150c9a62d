"""What the supervisor and `status` need to know about one service."""

import errno
import http.client
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rich.console import Console

from workflow.errors import StackError


@dataclass(frozen=True, kw_only=True)
class Program:
    """How the supervisor runs a service.

    `digest` stands for the files that the command names: when it changes, so does the program.
    A process that exits within `start_seconds` has failed to start; one that exits later is
    restarted.
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
    run it. `problem()` returns "" when the service does its work for a client, not merely
    listens, else what is wrong; it never raises and takes seconds at most. `ports` maps each
    port that the service listens on to the setting that moves it. `connection` is how a client
    names the service, by its key in the JSON of `status`. `data` is the service's own folder.
    """

    name: str
    prepare: Callable[[Console], Program]
    problem: Callable[[], str]
    host: str
    port: int
    ports: Mapping[int, str]
    data: Path | None
    connection: Mapping[str, str]

    @property
    def address(self) -> str:
        """host:port"""
        return f"{self.host}:{self.port}"

    def require_free_ports(self) -> None:
        """Raise StackError, naming the holder and the setting, if a port is in use."""
        for port, setting in self.ports.items():
            with socket.socket() as probe:
                # a connection in TIME_WAIT does not hold the port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.host, port))
                except OSError as exc:
                    why = f"cannot be used ({exc.strerror});"
                    if exc.errno == errno.EADDRINUSE:
                        why = f"is in use by {_holder(port)}; stop that process, or"
                    raise StackError(
                        f"{self.name} needs port {port} of {self.host}, which {why} set {setting} "
                        "in luigi.cfg to a free port."
                    ) from exc


def _holder(port: int) -> str:
    """Who listens on a port, as far as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.pid and connection.laddr and connection.laddr.port == port:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another process"


def http_problem(address: str, port: int, path: str) -> str:
    """Empty if GET gives status 200 within 5 s. `http.client` uses no proxy."""
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
