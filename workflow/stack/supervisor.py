"""The supervisor of one stack: find it, start it, tell it what to run, stop it.

supervisord is a daemon in a session of its own and survives the shell. Other shells find it
by its unix socket. If it was killed, its orphans are found by an environment variable that
names the stack in each of its processes.
"""

import http.client
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, cast
from xmlrpc.client import ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from workflow.errors import StackError
from workflow.resources import resource
from workflow.stack.place import Place
from workflow.stack.service import Program

#: In the environment of all processes of a stack: the stack's data folder.
MARKER = "WORKFLOW_STACK"
START_TIMEOUT = 20.0  # seconds until supervisord responds
STOP_TIMEOUT = 90.0  # seconds until every process has exited; then they are killed


@dataclass(frozen=True, kw_only=True)
class Process:
    """What the supervisor says about a program. `pid` is 0 when it has no process."""

    state: str
    pid: int
    remark: str


def processes(place: Place) -> dict[str, Process] | None:
    """The programs by name, or None if no supervisor of this stack responds.

    Raises StackError if the socket's folder belongs to another user.
    """
    if not place.socket.exists():
        return None
    _require_own_folder(place)
    try:
        infos = cast(list[dict[str, Any]], _server(place).getAllProcessInfo())
    except (OSError, http.client.HTTPException, xmlrpc.client.Fault):  # it has exited or is exiting
        return None
    return {
        info["name"]: Process(
            state=info["statename"], pid=info["pid"], remark=info["spawnerr"] or info["description"]
        )
        for info in infos
    }


def run(place: Place, programs: Mapping[str, Program]) -> None:
    """Have the supervisor run the programs as they are now, starting it if necessary.

    Leaves alone what already runs and did not change. Returns before the programs are ready.
    Raises StackError if supervisord does not start.
    """
    configuration = place.control / "supervisord.conf"
    configuration.write_text(_render(place, programs), encoding="utf-8")
    if processes(place) is None:
        _start(place, configuration)
        return
    server = _server(place)
    added, changed, removed = server.reloadConfig()[0]
    for name in changed + removed:
        server.stopProcessGroup(name)
        server.removeProcessGroup(name)
    for name in added + changed:
        server.addProcessGroup(name)  # starts it
    for name, process in (processes(place) or {}).items():
        if name not in added + changed and process.pid == 0:
            server.startProcess(name, False)


def stop(place: Place) -> None:
    """Stop all programs and the supervisor; returns when no process of the stack is left."""
    if processes(place) is not None:
        server = _server(place)
        server.stopAllProcesses()  # at the same time; shutdown alone stops one by one
        server.shutdown()
    psutil.wait_procs(_members(place), timeout=5)  # supervisord itself
    stop_orphans(place)
    if place.socket.parent != place.control:
        shutil.rmtree(place.socket.parent, ignore_errors=True)


def stop_orphans(place: Place) -> None:
    """Stop the processes that a killed supervisor of this stack left behind."""
    orphans = _members(place)
    for process in orphans:
        try:
            # PostgreSQL would wait for its clients on SIGTERM
            process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(orphans, timeout=STOP_TIMEOUT)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=10)


def _members(place: Place) -> list[psutil.Process]:
    """Every process that carries this stack's marker, as far as this user may read it."""
    return [
        process
        for process in psutil.process_iter(["environ"])
        if (process.info["environ"] or {}).get(MARKER) == str(place.data)
    ]


def _server(place: Place) -> Any:
    transport = SupervisorTransport(None, None, f"unix://{place.socket}")
    return ServerProxy("http://localhost", transport=transport).supervisor


def _require_own_folder(place: Place) -> None:
    """Anyone can create a folder under /tmp: never use a socket in another user's folder."""
    folder = place.socket.parent
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
        raise StackError(
            f"{folder} belongs to another user, so it cannot hold the supervisor's socket; remove "
            "it, or choose a shorter [stack] data_dir."
        )


def _start(place: Place, configuration: Path) -> None:
    place.socket.parent.mkdir(mode=0o700, exist_ok=True)
    _require_own_folder(place)
    started = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
        env={**os.environ, MARKER: str(place.data)},
        cwd=place.project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    deadline = time.monotonic() + START_TIMEOUT
    while started.returncode == 0 and time.monotonic() < deadline:
        if processes(place) is not None:
            return
        time.sleep(0.05)
    reason = (started.stdout.strip() or "it does not respond").splitlines()[-1]
    raise StackError(
        f"The supervisor of the local stack did not start: {reason}; its log is "
        f"{place.log('supervisord')}; fix the cause and run `workflow stack up` again."
    )


def _render(place: Place, programs: Mapping[str, Program]) -> str:
    """config/supervisord.conf with its last section repeated for each program."""
    text = (resource("config") / "supervisord.conf").read_text(encoding="utf-8")
    head, separator, section = text.partition("[program:")
    values = {"control": place.control, "logs": place.logs, "socket": place.socket}
    rendered = Template(head).substitute({key: _escape(str(path)) for key, path in values.items()})
    for name, program in programs.items():
        environment = {**program.environment, "WORKFLOW_STACK_CONFIG": program.digest}
        rendered += separator + Template(section).substitute(
            name=name,
            command=_escape(shlex.join(program.command)),
            directory=_escape(str(program.directory)),
            environment=_escape(
                ",".join(f"{key}={shlex.quote(value)}" for key, value in environment.items())
            ),
            user=f"user = {program.user}" if program.user else "",
            stop_signal=program.stop_signal,
            start_seconds=program.start_seconds,
            log=_escape(str(place.log(name))),
        )
    return rendered


def _escape(text: str) -> str:
    return text.replace("%", "%%")  # supervisor expands %(names)s
