"""What the RandomUser API 1.4 makes of a request: query -> Question -> Answer.

Nothing here knows of sockets. The rules are the API's own: it answers with one user and
status 200 where others would answer with an error.
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
# JavaScript's Number() of a text; whatever else it takes is out of every range here
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_RADIX = re.compile(r"0(x[0-9a-f]{1,12}|o[0-7]{1,12}|b[01]{1,40})", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a query asks for; values outside the norm are replaced as the API does it."""

    seed: str
    page: int | float
    results: int
    nats: tuple[str, ...]
    genders: tuple[str, ...]
    fields: tuple[str, ...]
    info: bool
    pretty: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Status and body, uncompressed, and the headers that depend on them."""

    status: int
    body: bytes
    headers: dict[str, str]


class UsersPerWindow:
    """The limit: users per client and fixed window, counted from the start of the server.

    The count is checked before a request and raised after it, so the request that crosses
    the limit is still answered. A limit of 0 users means none.
    """

    def __init__(self, users: int, seconds: float) -> None:
        self.users = users
        self.seconds = seconds
        self._started = time.monotonic()
        self._window = 0
        self._spent: Counter[str] = Counter()

    def spent(self, client: str) -> int:
        """Users that the client had in the current window."""
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


def question(query: str) -> Question:
    """The question that a query string asks; an unseeded one gets a random seed."""
    given = parse_qs(query, keep_blank_values=True, errors="replace")
    # a repeated parameter is an array there, and reads as its members with commas between
    parameters = {name: ",".join(values) for name, values in given.items()}
    seed = parameters.get("seed", "")
    results = _number(parameters.get("results", "1"))
    page = _number(parameters.get("page", "1"))
    style = parameters.get("format", parameters.get("fmt", "json"))
    return Question(
        seed=seed or secrets.token_hex(8),
        page=page if 1 <= page <= PAGE_MAX else 1,
        results=results if isinstance(results, int) and 1 <= results <= RESULTS_MAX else 1,
        nats=_nats(parameters.get("nat", parameters.get("nationality", ""))),
        genders=GENDERS if seed else _genders(parameters.get("gender", "")),
        fields=_fields(parameters.get("inc", ""), parameters.get("exc", "")),
        info="noinfo" not in parameters,
        pretty=style.lower() in ("pretty", "prettyjson"),
    )


def _number(text: str) -> int | float:
    """A number as JavaScript reads it; NaN where it is none."""
    text = text.strip()
    if _RADIX.fullmatch(text):
        return int(text, 0)
    value = float(text) if _DECIMAL.fullmatch(text) else math.nan
    return int(value) if value.is_integer() else value


def _nats(listed: str) -> tuple[str, ...]:
    codes = tuple(listed.upper().split(","))
    # one unknown code, or a space, drops the whole filter
    return codes if all(code in NATS for code in codes) else NATS


def _genders(wanted: str) -> tuple[str, ...]:
    return (wanted,) if wanted in GENDERS else GENDERS


def _fields(included: str, excluded: str) -> tuple[str, ...]:
    inc, exc = ({name.strip().lower() for name in s.split(",")} for s in (included, excluded))
    return tuple(f for f in FIELDS if (not included or f in inc) and f not in exc)


def document(asked: Question, now: datetime.datetime) -> bytes:
    """The JSON document that answers a question; `now`, in UTC, is for the ages alone."""
    # The page is glued to the seed, hence seed=abc&page=12 is seed=abc1&page=2.
    key = asked.seed if asked.page == 1 else f"{asked.seed}{asked.page}"
    people = users(
        key,
        asked.results,
        now=now,
        folks=folks(asked.nats, asked.genders),
        fields=asked.fields,
    )
    parts = [b'{"results":', people, b"}"]
    if asked.info:
        info = {
            "seed": asked.seed,
            "results": asked.results,
            "page": asked.page,
            "version": VERSION,
        }
        line = json.dumps(info, ensure_ascii=False, separators=(",", ":"))
        parts[2:] = [b',"info":', line.encode(), b"}"]
    text = b"".join(parts)
    if asked.pretty:
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False).encode()
    return text


def answer(
    method: str,
    path: str,
    query: str,
    *,
    client: str,
    limit: UsersPerWindow,
) -> Answer:
    """The answer to a request of `client`, an address."""
    if method == "OPTIONS":
        return Answer(status=204, body=b"", headers={"Access-Control-Allow-Methods": "GET,HEAD"})
    found = _PATH.fullmatch(path)
    if method not in ("GET", "HEAD") or not found:
        return _not_found()
    # the limit comes before the version
    if limit.refuses(client):
        return too_many(limit.spent(client))
    if found["version"] not in (None, "", VERSION):
        return _not_found()
    asked = question(query)
    body = document(asked, datetime.datetime.now(datetime.UTC))
    limit.add(client, asked.results)
    return Answer(
        status=200,
        body=body,
        headers={
            "Content-Type": JSON,
            "Cache-Control": "no-cache",
            "ETag": f'W/"{len(body):x}-{zlib.crc32(body):08x}"',
        },
    )


def _not_found() -> Answer:
    return Answer(status=404, body=b"Not Found", headers={"Content-Type": PLAIN})


def too_many(users_spent: int) -> Answer:
    """What the API says to a client that had its users; no Retry-After."""
    error = (
        f"Whoa, ease up there cowboy. You've requested {users_spent} users in the last minute. "
        "Help us keep this service free and spare some bandwidth for other users please :)"
    )
    body = json.dumps({"error": error}, separators=(",", ":"))
    return Answer(status=429, body=body.encode(), headers={"Content-Type": JSON})
