"""The supervisor of one stack: found, started, told what to run, stopped.

supervisord is a daemon of its own session and survives the shell. It is found again by its
unix socket; what a killed one left behind is found by an environment variable that names
the stack in every process of it.
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
START_TIMEOUT = 20.0  # seconds until supervisord answers
STOP_TIMEOUT = 90.0  # seconds until every process is gone; then they are killed


@dataclass(frozen=True, kw_only=True)
class Process:
    """What the supervisor says of a program. `pid` is 0 when there is no process."""

    state: str
    pid: int
    remark: str


def processes(place: Place) -> dict[str, Process] | None:
    """The programs by name, None if no supervisor of this stack answers.

    Raises StackError if the socket's folder is somebody else's.
    """
    if not place.socket.exists():
        return None
    _require_own_folder(place)
    try:
        infos = cast(list[dict[str, Any]], _server(place).getAllProcessInfo())
    except (OSError, http.client.HTTPException, xmlrpc.client.Fault):  # gone, or just going
        return None
    return {
        info["name"]: Process(
            state=info["statename"], pid=info["pid"], remark=info["spawnerr"] or info["description"]
        )
        for info in infos
    }


def run(place: Place, programs: Mapping[str, Program]) -> None:
    """Have the supervisor run the programs as they are now, starting it if necessary.

    Programs that run already and did not change are left alone. Returns before the programs
    are ready. Raises StackError if supervisord does not start.
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
        server.stopAllProcesses()  # side by side; shutdown alone stops one after the other
        server.shutdown()
    left = _members(place)
    psutil.wait_procs(left, timeout=5)  # supervisord itself
    stop_left_overs(place)
    if place.socket.parent != place.control:
        shutil.rmtree(place.socket.parent, ignore_errors=True)


def stop_left_overs(place: Place) -> None:
    """Stop the processes of this stack that no supervisor answers for any more."""
    left = _members(place)
    for process in left:
        try:
            # PostgreSQL would wait for its clients on SIGTERM
            process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(left, timeout=STOP_TIMEOUT)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=10)


def _members(place: Place) -> list[psutil.Process]:
    """Every living process that carries this stack's marker."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == str(place.data):
                found.append(process)
        except (psutil.Error, OSError):  # somebody else's, or gone
            continue
    return found


def _server(place: Place) -> Any:
    transport = SupervisorTransport(None, None, f"unix://{place.socket}")
    return ServerProxy("http://localhost", transport=transport).supervisor


def _require_own_folder(place: Place) -> None:
    """Anybody can make a folder under /tmp: never talk to a socket in somebody else's."""
    folder = place.socket.parent
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
        raise StackError(
            f"{folder} belongs to somebody else, so the supervisor's socket cannot lie there; "
            "remove it, or choose a shorter [stack] data_dir."
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
    reason = (started.stdout.strip() or "it does not answer").splitlines()[-1]
    raise StackError(
        f"The supervisor of the local stack did not start: {reason}; its log is "
        f"{place.log('supervisord')}; mend that and run `workflow stack up` again."
    )


def _render(place: Place, programs: Mapping[str, Program]) -> str:
    """config/supervisord.conf with its last section once per program."""
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
