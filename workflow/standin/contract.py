"""What the RandomUser API 1.4 makes of a request: query string -> Query -> Response.

Nothing here knows about sockets. The rules are the API's own: where others would respond
with an error, it responds with one user and status 200.
"""

import datetime
import json
import math
import re
import secrets
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from urllib.parse import parse_qs

from workflow.standin.people import FIELDS, users
from workflow.standin.pools import GENDERS, NATS, folks

VERSION = "1.4"
RESULTS_MAX = 5_000
PAGE_MAX = 10_000

JSON = "application/json; charset=utf-8"
PLAIN = "text/plain; charset=utf-8"

_PATH = re.compile(r"/api(?:/(?P<version>[^/]*))?/?", re.IGNORECASE)
# JavaScript's Number() of a text; whatever else it accepts is out of every range here
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_RADIX = re.compile(r"0(x[0-9a-f]{1,12}|o[0-7]{1,12}|b[01]{1,40})", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What a query string asks for; out-of-range values are replaced as the API does it."""

    seed: str
    page: int | float
    results: int
    nats: tuple[str, ...]
    genders: tuple[str, ...]
    fields: tuple[str, ...]
    info: bool
    pretty: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """Status and uncompressed body, with the headers that depend on them."""

    status: int
    body: bytes
    headers: dict[str, str]


class UsersPerWindow:
    """The limit: users per client and fixed window, counted from the start of the server.

    The count is checked before a request and raised after it, so the request that crosses
    the limit still gets its users. 0 users means no limit.
    """

    def __init__(self, users: int, seconds: float) -> None:
        self.users = users
        self.seconds = seconds
        self._started = time.monotonic()
        self._window = 0
        self._spent: Counter[str] = Counter()

    def spent(self, client: str) -> int:
        """Users that the client was given in the current window."""
        window = int((time.monotonic() - self._started) / self.seconds)
        if window != self._window:
            self._window = window
            self._spent.clear()
        return self._spent[client]

    def refuses(self, client: str) -> bool:
        """Whether the client has to wait for the next window."""
        return 0 < self.users <= self.spent(client)

    def add(self, client: str, users: int) -> None:
        """Count users that the client was given."""
        if self.users:
            self._spent[client] += users


def parse_query(query_string: str) -> Query:
    """Read a query string; one without a seed gets a random seed."""
    given = parse_qs(query_string, keep_blank_values=True, errors="replace")
    # the API sees a repeated parameter as an array, which reads as its members with commas between
    parameters = {name: ",".join(values) for name, values in given.items()}
    seed = parameters.get("seed", "")
    results = _number(parameters.get("results", "1"))
    page = _number(parameters.get("page", "1"))
    nats = tuple(parameters.get("nat", parameters.get("nationality", "")).upper().split(","))
    gender = parameters.get("gender", "")
    style = parameters.get("format", parameters.get("fmt", "json"))
    return Query(
        seed=seed or secrets.token_hex(8),
        page=page if 1 <= page <= PAGE_MAX else 1,
        results=results if isinstance(results, int) and 1 <= results <= RESULTS_MAX else 1,
        # one unknown code, or a space, drops the whole filter
        nats=nats if set(nats) <= set(NATS) else NATS,
        genders=(gender,) if gender in GENDERS and not seed else GENDERS,
        fields=_fields(parameters.get("inc", ""), parameters.get("exc", "")),
        info="noinfo" not in parameters,
        pretty=style.lower() in ("pretty", "prettyjson"),
    )


def _number(text: str) -> int | float:
    """A number as JavaScript reads it; NaN for anything else."""
    text = text.strip()
    if _RADIX.fullmatch(text):
        return int(text, 0)
    value = float(text) if _DECIMAL.fullmatch(text) else math.nan
    return int(value) if value.is_integer() else value


def _fields(included: str, excluded: str) -> tuple[str, ...]:
    inc, exc = ({name.strip().lower() for name in s.split(",")} for s in (included, excluded))
    return tuple(f for f in FIELDS if (not included or f in inc) and f not in exc)


def document(query: Query, now: datetime.datetime) -> bytes:
    """The JSON document that a query asks for; `now`, in UTC, only affects the ages."""
    # The page is glued to the seed, hence seed=abc&page=12 is seed=abc1&page=2.
    key = query.seed if query.page == 1 else f"{query.seed}{query.page}"
    chosen = folks(query.nats, query.genders)
    people = users(key, query.results, now=now, folks=chosen, fields=query.fields)
    parts = [b'{"results":', people, b"}"]
    if query.info:
        info = {
            "seed": query.seed,
            "results": query.results,
            "page": query.page,
            "version": VERSION,
        }
        line = json.dumps(info, ensure_ascii=False, separators=(",", ":"))
        parts[2:] = [b',"info":', line.encode(), b"}"]
    text = b"".join(parts)
    if query.pretty:
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False).encode()
    return text


def respond(
    method: str, path: str, query_string: str, *, client: str, limit: UsersPerWindow
) -> Response:
    """The response to a request of `client`, an address."""
    if method == "OPTIONS":
        return Response(status=204, body=b"", headers={"Access-Control-Allow-Methods": "GET,HEAD"})
    found = _PATH.fullmatch(path)
    if method not in ("GET", "HEAD") or not found:
        return _not_found()
    # the limit comes before the version
    if limit.refuses(client):
        return too_many(limit.spent(client))
    if found["version"] not in (None, "", VERSION):
        return _not_found()
    query = parse_query(query_string)
    body = document(query, datetime.datetime.now(datetime.UTC))
    limit.add(client, query.results)
    return Response(
        status=200,
        body=body,
        headers={
            "Content-Type": JSON,
            "Cache-Control": "no-cache",
            "ETag": f'W/"{len(body):x}-{zlib.crc32(body):08x}"',
        },
    )


def _not_found() -> Response:
    return Response(status=404, body=b"Not Found", headers={"Content-Type": PLAIN})


def too_many(users_spent: int) -> Response:
    """What the API says to a client that has used up its limit; it sends no Retry-After."""
    error = (
        f"Whoa, ease up there cowboy. You've requested {users_spent} users in the last minute. "
        "Help us keep this service free and spare some bandwidth for other users please :)"
    )
    body = json.dumps({"error": error}, separators=(",", ":"))
    return Response(status=429, body=body.encode(), headers={"Content-Type": JSON})
