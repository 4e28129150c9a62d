"""The users-per-window limit of a source, counted in PostgreSQL for all processes.

The API refuses an address that requested 20,000 users in its current window of 300 s. We do
not know where that window began, so we keep every sliding window of that length below the limit.
"""

import ipaddress
import threading
import time
from urllib.parse import urlsplit

from workflow import sql
from workflow.errors import SettingsError
from workflow.settings import source
from workflow.stores.postgres import connect, fetch, transaction

_SQL = sql.load("pacing.sql")

#: What the public API allows, by its server's settings; its message says "a minute".
RANDOMUSER_HOSTS = ("randomuser.me", "api.randomuser.me", "www.randomuser.me")
RANDOMUSER_USERS_PER_WINDOW = 20_000


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine by name or address."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def users_per_window(url: str) -> int:
    """The limit of a source in users; 0 if it has none."""
    cfg = source()
    if cfg.users_per_window != "auto":
        return int(cfg.users_per_window)
    return RANDOMUSER_USERS_PER_WINDOW if urlsplit(url).hostname in RANDOMUSER_HOSTS else 0


def require_pages_that_fit(url: str, page_size: int) -> None:
    """Raises SettingsError when a page exceeds the limit: it could never be requested."""
    limit = users_per_window(url)
    if limit and page_size > limit:
        raise SettingsError(
            f"[source] page_size = {page_size:,} is more than the {limit:,} users per window "
            "that the source allows; lower page_size."
        )


class Stopped(Exception):
    """The wait was cancelled."""


def reserve(url: str, users: int, stopped: threading.Event) -> float:
    """Wait until `users` more fit into the source's window, and count them as requested.

    Returns the seconds waited, 0.0 without a limit. Raises Stopped as soon as the event
    is set; SettingsError, StoreError.
    """
    limit = users_per_window(url)
    if not limit:
        return 0.0
    started = time.monotonic()
    parameters = {
        "source": _source(url),
        "users": users,
        "limit": limit,
        "seconds": source().window_seconds,
    }
    while not stopped.is_set():
        with connect("workflow pacing") as connection, transaction(connection) as cursor:
            cursor.execute(_SQL.lock_window, parameters)
            cursor.execute(_SQL.forget_old_requests, parameters)
            wait = fetch(cursor, _SQL.wait_for_window, parameters)[0].seconds
            if wait <= 0:
                cursor.execute(_SQL.record_request, parameters)
                return time.monotonic() - started
        stopped.wait(min(wait, 10.0))
    raise Stopped


def _source(url: str) -> str:
    """One name for all addresses whose users are counted together."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return "randomuser.me" if host in RANDOMUSER_HOSTS else f"{host}:{parts.port or parts.scheme}"
