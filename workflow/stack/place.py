"""Where one local stack lives: its folders and the addresses of its services.

Everything follows from the settings: two files for `LUIGI_CONFIG_PATH` with different ports
and folders are two stacks that run side by side.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from luigi.configuration import get_config

from workflow import settings
from workflow.errors import StackError

#: `sun_path` of a unix socket address holds 108 bytes on Linux and 104 on macOS.
SOCKET_PATH_MAX = 100


@dataclass(frozen=True, kw_only=True)
class Place:
    """Absolute folders, addresses and sizes of one stack."""

    project: Path
    data: Path
    logs: Path
    passfile: Path
    lake: Path | None
    address: str
    postgres_address: str
    postgres_port: int
    postgres_database: str
    postgres_user: str
    cassandra_port: int
    cassandra_storage_port: int
    cassandra_heap_mb: int
    luigid_port: int
    standin_port: int

    @property
    def key(self) -> str:
        """A short name for this stack: 16 hex digits that stand for its data folder."""
        return hashlib.sha256(str(self.data).encode()).hexdigest()[:16]

    @property
    def control(self) -> Path:
        """The folder for the supervisor's files and the lock."""
        return self.data / "stack"

    def log(self, service: str) -> Path:
        """The log file of a service."""
        return self.logs / f"{service}.log"

    @property
    def socket(self) -> Path:
        """The supervisor's unix socket; its folder need not exist.

        It lies below data_dir. If that path is too long for a socket, it lies in a folder of
        its own under /tmp, regardless of TMPDIR, so that every shell finds it.
        """
        near = self.control / "supervisor.sock"
        if len(os.fsencode(near)) <= SOCKET_PATH_MAX:
            return near
        return Path("/tmp") / f"batch-workflow-{os.getuid()}-{self.key}" / near.name  # noqa: S108


def from_settings() -> Place:
    """The stack that luigi.cfg and its override describe.

    Raises SettingsError for wrong settings, StackError for an address that is not loopback.
    """
    settings.check()
    stack, postgres, cassandra = settings.stack(), settings.postgres(), settings.cassandra()
    addresses = {
        "[cassandra] hosts": cassandra.hosts.split(",")[0].strip(),
        "[postgres] host": postgres.host,
    }
    for setting, address in addresses.items():
        if address != "localhost" and not address.startswith("127."):
            raise StackError(
                f"{setting} = {address} is not this machine, and the local stack listens on "
                "loopback only; set it to 127.0.0.1, or start that server yourself."
            )
    return Place(
        project=Path.cwd(),
        data=Path(stack.data_dir).resolve(),
        logs=Path(stack.log_dir).resolve(),
        passfile=Path(postgres.passfile).resolve(),
        lake=None if "://" in settings.lake().url else Path(settings.lake().url).resolve(),
        address=addresses["[cassandra] hosts"].replace("localhost", "127.0.0.1"),
        postgres_address=postgres.host.replace("localhost", "127.0.0.1"),
        postgres_port=postgres.port,
        postgres_database=postgres.dbname,
        postgres_user=postgres.user,
        cassandra_port=cassandra.port,
        cassandra_storage_port=stack.cassandra_storage_port,
        cassandra_heap_mb=stack.cassandra_heap_mb,
        luigid_port=get_config().getint("core", "scheduler_port", 8082),
        standin_port=stack.standin_port,
    )
