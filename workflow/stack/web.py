"""The two services that speak HTTP: luigid and the stand-in for the RandomUser API."""

import hashlib
import io
import shutil
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
    return Service(
        name="luigid",
        prepare=partial(_prepare_luigid, place),
        problem=partial(http_problem, LOOPBACK, place.luigid_port, "/api/task_list"),
        address=LOOPBACK,
        port=place.luigid_port,
        ports={place.luigid_port: "[core] scheduler_port"},
        data=_luigid_home(place),
        connection={"url": f"http://{LOOPBACK}:{place.luigid_port}/"},
    )


def standin(place: Place) -> Service:
    """The stand-in for the API; it keeps no data."""
    return Service(
        name="standin",
        prepare=partial(_prepare_standin, place),
        problem=partial(http_problem, LOOPBACK, place.standin_port, API_PATH + "?results=1"),
        address=LOOPBACK,
        port=place.standin_port,
        ports={place.standin_port: "[stack] standin_port"},
        data=None,
        connection={"url": f"http://{LOOPBACK}:{place.standin_port}{API_PATH}"},
    )


def remove_luigid(place: Place) -> None:
    """Remove luigid's state and the task history."""
    shutil.rmtree(_luigid_home(place), ignore_errors=True)


def _luigid_home(place: Place) -> Path:
    return place.data / "luigid"


def _prepare_luigid(place: Place, _console: Console) -> Program:
    """Write luigid's own luigi.cfg: the settings as they stand, its files in this stack."""
    home = _luigid_home(place)
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
    text = io.StringIO()
    own.write(text)
    override = home / "luigi.cfg"
    override.write_text(text.getvalue(), encoding="utf-8")
    return Program(
        command=[
            str(Path(sys.executable).with_name("luigid")),
            *("--address", LOOPBACK, "--port", str(place.luigid_port)),
        ],
        directory=place.project,
        environment={"LUIGI_CONFIG_PATH": str(override)},
        digest=hashlib.sha256(text.getvalue().encode()).hexdigest(),
    )


def _prepare_standin(place: Place, _console: Console) -> Program:
    return Program(
        command=[
            *(sys.executable, "-m", "workflow.standin"),
            *("--port", str(place.standin_port)),
        ],
        directory=place.project,
    )
