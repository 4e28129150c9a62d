"""A stack of its own on free ports, below a folder that only its owner may enter."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.conftest import BIN, PROJECT, free_ports
from workflow.stack import jars


@dataclass(kw_only=True)
class LocalStack:
    """Settings of one stack and the commands on it."""

    folder: Path
    settings: dict[str, dict[str, object]]
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`workflow stack …` in a process of its own."""
        override = self.folder / "override.cfg"
        override.write_text(
            "".join(
                f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
                for name, keys in self.settings.items()
            ),
            encoding="utf-8",
        )
        return subprocess.Popen(
            [BIN / "workflow", "stack", *arguments],
            cwd=PROJECT,
            env={**os.environ, **self.environment, "LUIGI_CONFIG_PATH": str(override)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`workflow stack …` to its end."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def status(self) -> dict[str, dict[str, Any]]:
        """What `workflow stack status --json` says."""
        found: dict[str, dict[str, Any]] = json.loads(self.run("status", "--json").stdout)
        return found


def new_stack(folder: Path, free: Iterable[int], **environment: str) -> LocalStack:
    """The settings of a stack in a folder, on five free ports."""
    ports = iter(free)
    return LocalStack(
        folder=folder,
        settings={
            "cassandra": {"port": next(ports)},
            "postgres": {"port": next(ports), "passfile": folder / "data" / "secrets" / "pgpass"},
            "core": {"scheduler_port": next(ports)},
            "stack": {
                "data_dir": folder / "data",
                "log_dir": folder / "logs",
                "standin_port": next(ports),
                "cassandra_storage_port": next(ports),
            },
        },
        environment=environment,
    )


@pytest.fixture
def unstarted(services: None) -> Iterator[LocalStack]:
    """A stack that does not run."""
    with tempfile.TemporaryDirectory() as folder:
        made = new_stack(Path(folder), free_ports(5))
        yield made
        assert made.run("reset", "--yes").returncode == 0


@pytest.fixture(scope="module")
def running(services: None) -> Iterator[LocalStack]:
    """A stack that two `up` at a time started under every hardship at once.

    The folder is closed to others and its name too long for a unix socket, the HTTP proxy is
    dead, and the system's Java is hidden.
    """
    jars.fetch(jars.read_lock(), Console(stderr=True))  # a download would need the proxy
    dead, *ports = free_ports(6)
    with tempfile.TemporaryDirectory() as closed:
        folder = Path(closed) / ("long-" * 20) / "a folder"
        folder.mkdir(parents=True)
        proxy = f"http://127.0.0.1:{dead}"
        made = new_stack(
            folder,
            ports,
            WORKFLOW_IGNORE_SYSTEM_JAVA="1",
            **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), proxy),
            **dict.fromkeys(("no_proxy", "NO_PROXY"), ""),
        )
        try:
            for process in [made.start("up"), made.start("up")]:
                with process:
                    out, err = process.communicate(timeout=240)
                assert process.returncode == 0, out + err
            yield made
        finally:
            reset = made.run("reset", "--yes")
            assert reset.returncode == 0, reset.stderr
