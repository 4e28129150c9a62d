"""All settings, one `luigi.Config` section per service.

Values come from `luigi.cfg` in the working folder, then from the file that
`LUIGI_CONFIG_PATH` names (only what differs), then from the command line, where section and
key form the option: `[source] url` is `--source-url`.

Secrets are never settings: a setting names the *file* that holds one.

Calling a section reads it: `source().users_per_day`. Relative paths start at the working
folder, which is the project's root.
"""

import ast
import datetime
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import luigi
from luigi.configuration import get_config

from workflow.errors import SettingsError

#: Sections that belong to Luigi itself; their keys are Luigi's to check.
LUIGI_SECTIONS = frozenset(
    {"DEFAULT", "core", "worker", "scheduler", "retcode", "task_history", "logging", "email"}
    | {"execution_summary", "batch_notifier", "resources", "parameter_visibility"}
)

USERS_PER_DAY_MAX = 50_000_000  # page number 10,000 x 5,000 users, the API's own limits
PAGE_SIZE_MAX = 5_000  # the API's limit; beyond it, it sends ONE user and status 200


class source(luigi.Config):
    """The RandomUser API that the users come from."""

    url = luigi.Parameter(
        default="https://randomuser.me/api/1.4/",
        description="the API with its version, http://host:port/api/1.4/",
    )
    users_per_day = luigi.IntParameter(default=1000, description="users per date, 1 to 50,000,000")
    page_size = luigi.IntParameter(default=1000, description="users per request, 1 to 5,000")
    requests_in_flight = luigi.IntParameter(default=4, description="requests at a time, 1 to 32")
    users_per_window = luigi.Parameter(
        default="auto",
        description="users per window over all processes; auto: 20,000 for randomuser.me, "
        "no limit for loopback addresses; 0: no limit",
    )
    window_seconds = luigi.IntParameter(default=300, description="length of that window, s")
    connect_timeout = luigi.FloatParameter(default=10.0, description="per request, s")
    read_timeout = luigi.FloatParameter(default=60.0, description="per request, s")
    deadline = luigi.FloatParameter(
        default=900.0, description="for a whole extraction, not counting waits for the window, s"
    )


class cassandra(luigi.Config):
    """The raw store."""

    hosts = luigi.Parameter(default="127.0.0.1", description="contact points, comma-separated")
    port = luigi.IntParameter(default=19042, description="native protocol port")
    keyspace = luigi.Parameter(default="batch_keyspace", description="keyspace of the raw data")
    datacenter = luigi.Parameter(default="datacenter1", description="the local data centre")
    replication = luigi.Parameter(
        default="{'class': 'SimpleStrategy', 'replication_factor': 1}",
        description="replication of the keyspace, a CQL map",
    )
    user = luigi.Parameter(default="", description="empty: no authentication")
    password_file = luigi.Parameter(default="", description="file that holds the password")
    timeout = luigi.FloatParameter(default=30.0, description="per statement, s")
    patience = luigi.FloatParameter(
        default=60.0, description="how long a statement is retried while nodes are away, s"
    )


class postgres(luigi.Config):
    """The warehouse and the ledger."""

    host = luigi.Parameter(default="127.0.0.1")
    port = luigi.IntParameter(default=15432)
    dbname = luigi.Parameter(default="warehouse")
    user = luigi.Parameter(default="pipeline")
    passfile = luigi.Parameter(
        default="data/secrets/pgpass", description="libpq password file that holds the password"
    )
    sslmode = luigi.Parameter(default="prefer", description="libpq's sslmode")
    statement_timeout = luigi.FloatParameter(default=600.0, description="per statement, s")


class spark(luigi.Config):
    """Where the DataFrame code runs."""

    engine = luigi.Parameter(default="sail", description="sail, spark or connect")
    master = luigi.Parameter(default="local[*]", description="for the engine spark")
    remote = luigi.Parameter(default="", description="for the engine connect: sc://host:port")
    readers = luigi.IntParameter(
        default=0, description="Spark tasks that read Cassandra at a time; 0: one per processor"
    )


class lake(luigi.Config):
    """Where the Parquet runs are kept."""

    url = luigi.Parameter(default="data/lake", description="folder or URL")


class rules(luigi.Config):
    """When a day may be published."""

    rejected_percent_max = luigi.FloatParameter(
        default=5.0, description="a higher percentage of rejected rows fails TransformUsers"
    )


class lease(luigi.Config):
    """Who works on a step of a date, and for how long."""

    wait = luigi.FloatParameter(
        default=120.0, description="how long to wait for a process that works on the same step, s"
    )
    deadline = luigi.FloatParameter(
        default=21_600.0, description="how long the work on a step may take, s"
    )


class stack(luigi.Config):
    """The local stack. The ports of its services are in the services' own sections."""

    data_dir = luigi.Parameter(default="data", description="data, pid and secret files")
    log_dir = luigi.Parameter(default="logs", description="logs of all services")
    standin_port = luigi.IntParameter(default=18080, description="stand-in for the API")
    cassandra_storage_port = luigi.IntParameter(default=17000)
    cassandra_heap_mb = luigi.IntParameter(default=1024)


SECTIONS = (source, cassandra, postgres, spark, lake, rules, lease, stack)


def utc_today() -> datetime.date:
    """Today's date in UTC, the default partition date."""
    return datetime.datetime.now(datetime.UTC).date()


def api_version(url: str) -> str:
    """The API version that a source URL names: `1.4` for `http://host/api/1.4/`.

    Raises SettingsError for anything but http(s)://host[:port]/…/VERSION/.
    """
    parts = urlsplit(url)
    version = re.search(r"/(\d+\.\d+)/?$", parts.path)
    if parts.scheme not in ("http", "https") or not parts.hostname or not version:
        raise SettingsError(
            f"[source] url = {url!r} is not the address of an API with its version; "
            "write it like https://randomuser.me/api/1.4/ (--source-url or luigi.cfg)."
        )
    if parts.username is not None:
        raise SettingsError(
            "[source] url contains a user or password, which would end up in the ledger; "
            "remove it, the API needs none."
        )
    return version.group(1)


def read_secret(path: str, setting: str) -> str:
    """The content of a secret file without the line end.

    Raises SettingsError, which names the setting, when the file cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise SettingsError(
            f"{setting} names {path!r}, which cannot be read ({exc.strerror}); "
            "correct the path or make the file readable."
        ) from exc


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise SettingsError(sentence)


def _in_range(section: str, key: str, value: float, low: float, high: float) -> None:
    _require(
        low <= value <= high,
        f"[{section}] {key} = {value} is out of range; set it to a value from {low:,} to {high:,}.",
    )


def _require_readable(section: type[luigi.Config]) -> None:
    for key, parameter in section.get_params():
        try:
            parameter.task_value(section.__name__, key)
        except Exception as exc:  # Luigi raises whatever the parameter's parser raised
            reason = str(exc.__cause__ or exc).rstrip(".")
            raise SettingsError(
                f"[{section.__name__}] {key} (in luigi.cfg or --{section.__name__}-"
                f"{key.replace('_', '-')}) cannot be read ({reason}); correct it."
            ) from exc


def _is_replication(text: str) -> bool:
    try:
        return "class" in ast.literal_eval(text)
    except (SyntaxError, TypeError, ValueError):
        return False


def _require_files() -> None:
    """Without a config file Luigi would continue, and exit with status 0 whatever happens."""
    override = os.environ.get("LUIGI_CONFIG_PATH")
    _require(
        not override or Path(override).is_file(),
        f"LUIGI_CONFIG_PATH = {override} is not a file; correct or unset it.",
    )
    _require(
        get_config().has_option("retcode", "task_failed"),
        f"There is no luigi.cfg in {Path.cwd()}, or it has no [retcode] task_failed; "
        "run the command from the project's root.",
    )


def check() -> None:
    """Check all settings at once, before anything is connected or written.

    Luigi only warns about unknown keys and ignores unknown sections; here both are errors,
    because a misspelt limit that silently has no effect costs a night.

    Raises SettingsError.
    """
    _require_files()
    config = get_config()
    ours = {cls.__name__: {name for name, _ in cls.get_params()} for cls in SECTIONS}
    for name in config.sections():
        if name not in ours:
            _require(
                name in LUIGI_SECTIONS,
                f"luigi.cfg or the LUIGI_CONFIG_PATH file has an unknown section [{name}]; correct "
                f"or remove it (the pipeline's sections are {', '.join(sorted(ours))}).",
            )
            continue
        for key in config[name]:
            _require(
                key in ours[name],
                f"luigi.cfg or the LUIGI_CONFIG_PATH file has an unknown key {key!r} in [{name}]; "
                f"correct or remove it (the known keys are {', '.join(sorted(ours[name]))}).",
            )
    for cls in SECTIONS:
        _require_readable(cls)

    src = source()
    api_version(src.url)
    _in_range("source", "users_per_day", src.users_per_day, 1, USERS_PER_DAY_MAX)
    _in_range("source", "page_size", src.page_size, 1, PAGE_SIZE_MAX)
    _in_range("source", "requests_in_flight", src.requests_in_flight, 1, 32)
    _in_range("source", "window_seconds", src.window_seconds, 1, 86_400)
    _in_range("source", "connect_timeout", src.connect_timeout, 0.1, 600)
    _in_range("source", "read_timeout", src.read_timeout, 0.1, 3600)
    _in_range("source", "deadline", src.deadline, 1, 86_400)
    _require(
        src.users_per_window == "auto" or src.users_per_window.isdigit(),
        f"[source] users_per_window = {src.users_per_window!r} is invalid; set it to auto or a "
        "whole number.",
    )
    _require(
        _is_replication(cassandra().replication),
        f"[cassandra] replication = {cassandra().replication!r} is not a CQL map; write it like "
        "{'class': 'NetworkTopologyStrategy', 'dc1': 3}.",
    )
    _require(
        spark().engine in ("sail", "spark", "connect"),
        f"[spark] engine = {spark().engine!r} is unknown; choose sail, spark or connect.",
    )
    _require(
        spark().engine != "connect" or spark().remote.startswith("sc://"),
        f"[spark] engine = connect cannot use [spark] remote = {spark().remote!r}; set remote to "
        "the address of a server, like sc://host:15002.",
    )
    _in_range("rules", "rejected_percent_max", rules().rejected_percent_max, 0, 100)
    _in_range("lease", "wait", lease().wait, 0, 86_400)
    _in_range("lease", "deadline", lease().deadline, 1, 604_800)
