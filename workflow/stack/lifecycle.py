"""Start, stop and inspect the local stack as a whole.

    up()      start what does not run, return when every service responds
    down()    stop everything, keep the data
    status()  one record per service
    reset()   stop everything, remove what the stack made

Each works on the stack that the settings describe. All but `status` take a lock on it, so they
may be called at the same time, from any shell.
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

from rich.console import Console

from workflow.errors import StackError
from workflow.stack import cassandra, postgresql, supervisor, web
from workflow.stack.place import Place, from_settings
from workflow.stack.service import Service

READY_TIMEOUT = 180.0  # seconds until every service responds; 10 are usual
LOG_TAIL = 64 * 1024  # bytes at the end of a log that are searched for the reason of a failure

#: What the supervisor's states mean; any other is a failure.
STATES = {
    "STOPPED": "stopped",
    "STOPPING": "stopped",
    "STARTING": "starting",
    "RUNNING": "starting",  # until it responds
}

#: For progress: standard output is for results.
console = Console(stderr=True)


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """A service as it is now.

    `state` is running (it responds), starting (its process runs), failed or stopped; `reason`
    says why it does not run.
    """

    service: Service
    state: str
    log: Path
    pid: int | None
    reason: str


def up() -> list[ServiceStatus]:
    """Start what does not run and wait until all services respond.

    Raises SettingsError, and StackError with the remedy when a port is in use, a download
    fails, or a service does not start.
    """
    place = from_settings()
    with _locked(place):
        services = _services(place)
        running = supervisor.processes(place)
        if running is None:
            supervisor.stop_orphans(place)
        alive = {name for name, process in (running or {}).items() if process.pid}
        for service in services:
            if service.name not in alive:
                service.require_free_ports()
        try:
            place.logs.mkdir(parents=True, exist_ok=True)
            programs = {service.name: service.prepare(console) for service in services}
        except OSError as exc:
            raise StackError(
                f"The local stack cannot write its files ({exc}); free space or fix the "
                "permissions there, or name other folders in [stack] data_dir and log_dir."
            ) from exc
        supervisor.run(place, programs)
        return _wait(place, services)


def down() -> None:
    """Stop all services and their supervisor; returns when their processes have exited."""
    place = from_settings()
    with _locked(place):
        supervisor.stop(place)


def status() -> list[ServiceStatus]:
    """The services of the stack, running or not, always in the same order."""
    place = from_settings()
    return _status(place, _services(place))


def reset() -> None:
    """`down()`, then remove all data, secrets and logs that the stack made; the jars stay cached.

    A lake inside the data folder goes too: without the ledger, nothing refers to its runs.
    """
    place = from_settings()
    services = _services(place)
    with _locked(place):
        supervisor.stop(place)
        for service in services:
            if service.data:
                shutil.rmtree(service.data, ignore_errors=True)
        postgresql.remove_passfile(place)
        for name in ("supervisord", *(service.name for service in services)):
            for log in place.logs.glob(f"{name}.log*"):
                log.unlink()
        if place.lake is not None and place.lake.is_relative_to(place.data):
            shutil.rmtree(place.lake, ignore_errors=True)
        shutil.rmtree(place.control)
        for folder in (place.passfile.parent, place.data, place.logs):
            with suppress(OSError):  # not empty: it holds files that the stack did not make
                folder.rmdir()


def _services(place: Place) -> list[Service]:
    makers = (cassandra.service, postgresql.service, web.luigid, web.standin)
    return [make(place) for make in makers]


def _wait(place: Place, services: Sequence[Service]) -> list[ServiceStatus]:
    deadline = time.monotonic() + READY_TIMEOUT
    with console.status("Waiting for the services to respond"):
        while True:
            found = _status(place, services)
            waiting = [one for one in found if one.state != "running"]
            for one in waiting:
                if one.state != "starting":
                    raise StackError(
                        f"{one.service.name} exited instead of starting: {one.reason}; its log is "
                        f"{one.log}; fix the cause and run `workflow stack up` again."
                    )
            if not waiting:
                return found
            if time.monotonic() > deadline:
                one = waiting[0]
                raise StackError(
                    f"{one.service.name} runs but does not respond at {one.service.address}: "
                    f"{one.reason}; its log is {one.log}; try `workflow stack down` and "
                    "`workflow stack up`."
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
    log = place.log(service.name)
    state = STATES.get(process.state, "failed") if process else "stopped"
    reason = ""
    if state == "starting":
        reason = service.problem()
        state = "starting" if reason else "running"
    elif state == "failed" and process:
        reason = _last_error(log) or process.remark
    pid = process.pid if process else 0
    return ServiceStatus(service=service, state=state, log=log, pid=pid or None, reason=reason)


def _last_error(log: Path) -> str:
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
def _locked(place: Place) -> Iterator[None]:
    """Lets one command at a time change a stack; `reset` may remove the lock file meanwhile."""
    path = place.control / "lock"
    while True:
        place.control.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                console.print("Another `workflow stack` command is running; waiting for it.")
                fcntl.flock(file, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                yield
                return
