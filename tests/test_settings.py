"""Settings: every bad one is refused with a sentence before anything starts."""

from pathlib import Path

import pytest
import requests

from tests.conftest import PROJECT, load_config, write_config
from workflow import settings
from workflow.bootstrap import ignore_proxy_on_loopback
from workflow.errors import SettingsError


@pytest.mark.parametrize(
    ("section", "key", "value", "sentence"),
    [
        ("nonsense", "x", "1", r"unknown section \[nonsense\]"),
        ("source", "users_per_dya", "1", r"unknown key 'users_per_dya' in \[source\]"),
        ("source", "users_per_day", "0", r"users_per_day = 0 is out of range.*1 to 50,000,000"),
        ("source", "users_per_day", "-1", "out of range"),
        ("source", "users_per_day", "1000000000", "out of range"),
        ("source", "users_per_day", "many", r"\[source\] users_per_day .*cannot be read.*many"),
        ("source", "page_size", "5001", "from 1 to 5,000"),
        ("source", "url", "randomuser.me", "not the address of an API with its version"),
        ("source", "url", "http://me:pw@host/api/1.4/", "contains a user or password"),
        ("cassandra", "replication", "3", "is not a CQL map"),
        ("source", "users_per_window", "few", "set it to auto or a whole number"),
        ("source", "deadline", "0", "out of range"),
        ("spark", "engine", "flink", "choose sail, spark or connect"),
        ("spark", "engine", "connect", "set remote to .*sc://host:15002"),
        ("rules", "rejected_percent_max", "101", "from 0 to 100"),
    ],
)
def test_a_bad_setting_is_refused(
    section: str,
    key: str,
    value: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(PROJECT)
    load_config(write_config(tmp_path / "test.cfg", {section: {key: value}}))
    with pytest.raises(SettingsError, match=sentence):
        settings.check()


def test_the_committed_settings_are_good_and_name_the_real_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    load_config(write_config(tmp_path / "test.cfg", {}))
    settings.check()
    assert settings.source().url == "https://randomuser.me/api/1.4/"


@pytest.mark.parametrize("users", ["1", "50000000"])
def test_the_bounds_of_users_per_day_are_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users: str
) -> None:
    monkeypatch.chdir(PROJECT)
    load_config(write_config(tmp_path / "test.cfg", {"source": {"users_per_day": users}}))
    settings.check()


def test_no_proxy_is_added_to_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "example.org")
    monkeypatch.delenv("NO_PROXY", raising=False)
    ignore_proxy_on_loopback()
    ignore_proxy_on_loopback()
    import os

    assert os.environ["no_proxy"] == "example.org,127.0.0.1,localhost,::1"
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"]
    monkeypatch.setenv("NO_PROXY", "*")
    ignore_proxy_on_loopback()
    assert requests.utils.should_bypass_proxies("http://anywhere.example/", None)
