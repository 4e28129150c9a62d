"""Start, stop and look at the local stack as a whole.

    up()      start what does not run, return when every service answers
    down()    stop everything, keep the data
    status()  one record per service
    reset()   stop everything, remove what the stack made

Each works on the stack that the settings describe and takes a lock on it, so any number of
them may be called at a time, from any shell.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console

from workflow.errors import StackError
from workflow.stack import cassandra, postgresql, supervisor, web
from workflow.stack.place import Place, from_settings
from workflow.stack.ports import refuse_busy_ports
from workflow.stack.service import Service

READY_TIMEOUT = 180.0  # seconds until every service answers; 10 are usual
LOG_TAIL = 64 * 1024  # bytes of a log in which the reason of a failure is looked for

STATES = {
    "STOPPED": "stopped",
    "STOPPING": "stopped",
    "STARTING": "starting",
    "RUNNING": "starting",  # until it answers
}


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """A service as it is now.

    `state` is running (it answers), starting (it lives), failed or stopped; `reason` says
    why it does not run. `connection` is how a client names it (`dsn`, `url`).
    """

    name: str
    state: str
    host: str
    port: int
    data: Path | None
    log: Path
    pid: int | None
    reason: str
    connection: dict[str, str]

    @property
    def address(self) -> str:
        """host:port"""
        return f"{self.host}:{self.port}"


def up(console: Console | None = None) -> list[ServiceStatus]:
    """Start whatever does not run and wait until all services answer.

    Raises SettingsError, and StackError with the remedy when a port is taken, a download
    fails, or a service does not come up.
    """
    console = console or Console(stderr=True)
    place = from_settings()
    with _locked(place, console):
        services = _services(place)
        running = supervisor.processes(place)
        if running is None:
            supervisor.stop_left_overs(place)
        alive = {name for name, process in (running or {}).items() if process.pid}
        for service in services:
            if service.name not in alive:
                refuse_busy_ports(service)
        try:
            place.logs.mkdir(parents=True, exist_ok=True)
            programs = {service.name: service.prepare(console) for service in services}
        except OSError as exc:
            raise StackError(
                f"The local stack cannot write its files ({exc}); make room there, or name other "
                "folders in [stack] data_dir and log_dir."
            ) from exc
        supervisor.run(place, programs)
        return _wait(place, services, console)


def down(console: Console | None = None) -> None:
    """Stop all services and their supervisor; returns when the processes are gone."""
    place = from_settings()
    with _locked(place, console or Console(stderr=True)):
        supervisor.stop(place)


def status() -> list[ServiceStatus]:
    """The services of the stack, running or not, always in the same order."""
    place = from_settings()
    return _status(place, _services(place))


def reset(console: Console | None = None) -> None:
    """`down()`, then remove all data, secrets and logs that the stack made.

    A lake inside the data folder goes too: without its ledger nothing names its runs.
    """
    place = from_settings()
    with _locked(place, console or Console(stderr=True)):
        supervisor.stop(place)
        postgresql.remove(place)
        cassandra.remove(place)
        web.remove_luigid(place)
        for name in ("supervisord", *(service.name for service in _services(place))):
            for log in place.logs.glob(f"{name}.log*"):
                log.unlink()
        if place.lake is not None and place.lake.is_relative_to(place.data):
            shutil.rmtree(place.lake, ignore_errors=True)
        shutil.rmtree(place.control)
        for folder in (place.secret.parent, place.data, place.logs):
            with suppress(OSError):  # not empty: somebody else's files are in it
                folder.rmdir()


def _services(place: Place) -> list[Service]:
    return [
        cassandra.service(place),
        postgresql.service(place),
        web.luigid(place),
        web.standin(place),
    ]


def _wait(place: Place, services: Sequence[Service], console: Console) -> list[ServiceStatus]:
    deadline = time.monotonic() + READY_TIMEOUT
    with console.status("Waiting for the services to answer"):
        while True:
            found = _status(place, services)
            for one in found:
                if one.state in ("failed", "stopped"):
                    raise StackError(
                        f"{one.name} ended instead of starting: {one.reason}; its log is "
                        f"{one.log}; mend that and run `workflow stack up` again."
                    )
            waiting = [one for one in found if one.state != "running"]
            if not waiting:
                return found
            if time.monotonic() > deadline:
                raise StackError(
                    f"{waiting[0].name} runs but does not answer at {waiting[0].address}: "
                    f"{waiting[0].reason}; its log is {waiting[0].log}; try `workflow stack down` "
                    "and `workflow stack up`."
                )
            time.sleep(0.1)


def _status(place: Place, services: Sequence[Service]) -> list[ServiceStatus]:
    processes = supervisor.processes(place) or {}
    with ThreadPoolExecutor(len(services)) as pool:
        return list(pool.map(lambda service: _one_status(place, service, processes), services))


def _one_status(
    place: Place, service: Service, processes: dict[str, supervisor.Process]
) -> ServiceStatus:
    process = processes.get(service.name)
    state = STATES.get(process.state, "failed") if process else "stopped"
    reason = ""
    if state == "starting":
        reason = service.problem()
        state = "starting" if reason else "running"
    elif state == "failed" and process:
        reason = _last_words(place.log(service.name)) or process.remark
    return ServiceStatus(
        name=service.name,
        state=state,
        host=service.address,
        port=service.port,
        data=service.data,
        log=place.log(service.name),
        pid=(process.pid or None) if process else None,
        reason=reason,
        connection=dict(service.connection),
    )


def _last_words(log: Path) -> str:
    """The last error in a log with the line that explains it, else the log's last line."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    for at in reversed(range(len(lines))):
        if re.search(r"FATAL|PANIC|ERROR|Error|Exception", lines[at]):
            # not the "\tat …" of a Java stack trace
            return ". ".join(line for line in lines[at : at + 2] if not line[:1].isspace())
    return lines[-1] if lines else ""


@contextmanager
def _locked(place: Place, console: Console) -> Iterator[None]:
    """One command at a time works on a stack; `reset` may remove the lock's file meanwhile."""
    path = place.control / "lock"
    while True:
        place.control.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            _flock(file, console)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                yield
                return


def _flock(file: TextIO, console: Console) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        console.print("Another `workflow stack` command is at work here; waiting for its end.")
        fcntl.flock(file, fcntl.LOCK_EX)
