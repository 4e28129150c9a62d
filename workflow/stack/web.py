"""The two services that speak HTTP: luigid and the stand-in for the RandomUser API."""

import hashlib
import sys
from configparser import RawConfigParser
from functools import partial
from pathlib import Path

from luigi.configuration import get_config
from rich.console import Console

from workflow.resources import resource
from workflow.stack.place import Place
from workflow.stack.service import Program, Service, http_problem

LOOPBACK = "127.0.0.1"
API_PATH = "/api/1.4/"


def luigid(place: Place) -> Service:
    """Luigi's scheduler and visualiser with its task history."""
    home = place.data / "luigid"
    return Service(
        name="luigid",
        prepare=partial(_prepare_luigid, place, home),
        problem=partial(http_problem, LOOPBACK, place.luigid_port, "/api/task_list"),
        host=LOOPBACK,
        port=place.luigid_port,
        ports={place.luigid_port: "[core] scheduler_port"},
        data=home,
        connection={"url": f"http://{LOOPBACK}:{place.luigid_port}/"},
    )


def standin(place: Place) -> Service:
    """The stand-in for the API; it keeps no data."""
    command = [sys.executable, "-m", "workflow.standin", "--port", str(place.standin_port)]
    return Service(
        name="standin",
        prepare=lambda _: Program(command=command, directory=place.project),
        problem=partial(http_problem, LOOPBACK, place.standin_port, API_PATH + "?results=1"),
        host=LOOPBACK,
        port=place.standin_port,
        ports={place.standin_port: "[stack] standin_port"},
        data=None,
        connection={"url": f"http://{LOOPBACK}:{place.standin_port}{API_PATH}"},
    )


def _prepare_luigid(place: Place, home: Path, _console: Console) -> Program:
    """Write luigid's own luigi.cfg: the current settings, with its files in this stack."""
    home.mkdir(parents=True, exist_ok=True)
    current = get_config()
    own = RawConfigParser()
    own.read_dict({name: dict(current.items(name, raw=True)) for name in current.sections()})
    own.read_dict(
        {
            "core": {"logging_conf_file": str(resource("config") / "luigid-logging.cfg")},
            "scheduler": {"record_task_history": "true", "state_path": str(home / "state.pickle")},
            "task_history": {"db_connection": f"sqlite:///{home / 'history.sqlite'}"},
        }
    )
    override = home / "luigi.cfg"
    with override.open("w", encoding="utf-8") as file:
        own.write(file)
    return Program(
        command=[
            str(Path(sys.executable).with_name("luigid")),
            *("--address", LOOPBACK, "--port", str(place.luigid_port)),
        ],
        directory=place.project,
        environment={"LUIGI_CONFIG_PATH": str(override)},
        digest=hashlib.sha256(override.read_bytes()).hexdigest(),
    )
