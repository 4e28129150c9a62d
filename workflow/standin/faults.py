"""What can be wrong with a response, and when: a fault plan, step by step.

A plan is text, the same in a URL and in a file (docs/rehearsals.md lists everything):

    status=503,times=2;hang,pages=3;missing=email,users=10

Steps are separated by `;` or line ends; `#` starts a comment. A step is a fault, with its
value, and conditions. A response gets the first of RESPONSE_FAULTS whose step applies and
all of USER_FAULTS whose steps apply. In values, characters that would separate are written
as `%2C`, `%3B`, `%23`, `%2F`.

Every choice is drawn from the step, the seed and page of the query and, for `chance`, how often
that page was requested: the same plan gives the same night again, in whatever order requests
come.
"""

import datetime
import gzip
import hashlib
import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import msgspec

from workflow.errors import SettingsError
from workflow.standin.contract import JSON, Query, Response, too_many

HTML = "text/html"


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A response and how it is sent.

    padding spaces before the body, in bytes
    delay   seconds before anything is sent, infinity for never
    seconds over which the body is sent, piece by piece
    silent  the connection is closed before the first byte
    cut     the connection is closed after half of the body
    """

    response: Response
    padding: int = 0
    delay: float = 0.0
    seconds: float = 0.0
    silent: bool = False
    cut: bool = False


#: Reads the value of a fault or condition; raises ValueError that says what it must be.
Reader = Callable[[str], Any]
#: What a response fault does, given its value.
ResponseChange = Callable[[Response, Query, Any], Delivery]
#: What a user fault does to a user, given its value.
UserChange = Callable[[Any, Any], Any]
#: Changes the users and `info` of a response, in place.
Edit = Callable[[list[msgspec.Raw], dict[str, Any]], Any]

# ---- values ------------------------------------------------------------------------------

#: What `echo` puts in the place of the value from the query.
WRONG_ECHOES: Mapping[str, Callable[[Any], Any]] = {
    "seed": lambda seed: f"{seed}x",
    "page": lambda page: page + 1,
    "version": lambda _: "1.3",
    "results": lambda results: results + 1,
}

_DECIMAL = r"[0-9]+(?:\.[0-9]+)?"


def _reader(
    pattern: str, convert: Reader, problem: str, fits: Callable[[Any], bool] = lambda _: True
) -> Reader:
    """A Reader of text that matches the pattern and whose value fits."""

    def read(text: str) -> Any:
        if re.fullmatch(pattern, text) and fits(value := convert(text)):
            return value
        raise ValueError(problem)

    return read


_nothing = _reader("", lambda _: None, "takes no value")
_seconds = _reader(_DECIMAL, float, "must be a number of seconds")
_percent = _reader(
    _DECIMAL, float, "must be a percentage above 0 and up to 100", lambda value: 0 < value <= 100
)
_whole = _reader(r"\d+", int, "must be a whole number from 1", lambda value: value >= 1)
_status = _reader("[45][0-9][0-9]", int, "must be a status from 400 to 599")
_field = _reader(
    r"(?a:\w+(\.\w+)*)",
    lambda text: tuple(text.split(".")),
    "must be a field like email or login.uuid",
)
_echo = _reader("|".join(WRONG_ECHOES), str, f"must be one of {', '.join(WRONG_ECHOES)}")


def _span(text: str) -> tuple[float, float]:
    """`3`, `3-5` or `3-` (no end), both ends included."""
    found = re.fullmatch(rf"({_DECIMAL})(?:(-)({_DECIMAL})?)?", text)
    if not found:
        raise ValueError("must be like 3, 3-5 or 3-")
    first = float(found[1])
    last = float(found[3]) if found[3] else math.inf if found[2] else first
    if last < first:
        raise ValueError("must not end before it begins")
    return first, last


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError("must be JSON") from None


def _field_and_json(text: str) -> tuple[tuple[str, ...], Any]:
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError("must be like email:17, a field and JSON")
    return _field(name), _json(value)


# ---- response faults ---------------------------------------------------------------------


def _other(body: bytes, status: int = 200, kind: str = JSON) -> Delivery:
    """Another body, without an ETag: a client that sent it back would get 304, not the fault."""
    return Delivery(response=Response(status=status, body=body, headers={"Content-Type": kind}))


def _refusal(_: Response, query: Query, status: int) -> Delivery:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Delivery(response=too_many(query.results))
    known = [known.phrase for known in HTTPStatus if known == status]
    title = " ".join([str(status), *known])
    # what a proxy in front of the API says; the API itself knows only 200, 404 and 429
    html = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return _other(html.encode(), status, HTML)


def _edit(response: Response, edit: Edit) -> Delivery:
    """The edited response; users that the edit leaves alone stay the same byte for byte."""
    document = msgspec.json.decode(response.body, type=dict[str, msgspec.Raw])
    users = msgspec.json.decode(document["results"], type=list[msgspec.Raw])
    info = msgspec.json.decode(document.get("info", b"{}"))
    edit(users, info)
    edited: dict[str, Any] = {"results": users}
    return _other(msgspec.json.encode(edited | ({"info": info} if "info" in document else {})))


def _keep(count: int) -> Edit:
    """Keeps 0 or 1 users; `info` says 1, as the API's does even when there are none."""

    def edit(users: list[msgspec.Raw], info: dict[str, Any]) -> None:
        users[count:] = []
        info["results"] = 1

    return edit


def _wrong_echo(key: str) -> Edit:
    return lambda _, info: info.update({key: WRONG_ECHOES[key](info[key])})


def _broken_gzip(response: Response, *_: object) -> Delivery:
    packed = gzip.compress(response.body, mtime=0)
    headers = {"Content-Type": JSON, "Content-Encoding": "gzip"}
    return Delivery(response=Response(status=200, body=packed[: len(packed) // 2], headers=headers))


RESPONSE_FAULTS: Mapping[str, tuple[Reader, ResponseChange]] = {
    "status": (_status, _refusal),
    "html": (_nothing, lambda *_: _other(b"<html><body>Back soon</body></html>", kind=HTML)),
    "error": (
        _nothing,
        lambda *_: _other(
            b'{"error":"Uh oh, something has gone wrong. Please tweet us @randomapi about the '
            b'issue. Thank you."}'
        ),
    ),
    "body": (str, lambda _r, _q, text: _other(text.encode())),
    "delay": (_seconds, lambda r, _, seconds: Delivery(response=r, delay=seconds)),
    "hang": (_nothing, lambda r, *_: Delivery(response=r, delay=math.inf)),
    "close": (_nothing, lambda r, *_: Delivery(response=r, silent=True)),
    "drip": (_seconds, lambda r, _, seconds: Delivery(response=r, seconds=seconds)),
    "cut": (_nothing, lambda r, *_: Delivery(response=r, cut=True)),
    "empty": (_nothing, lambda r, *_: _edit(r, _keep(0))),
    "one-user": (_nothing, lambda r, *_: _edit(r, _keep(1))),
    "fewer": (_nothing, lambda r, *_: _edit(r, lambda users, _: users.pop())),
    "echo": (_echo, lambda r, _, key: _edit(r, _wrong_echo(key))),
    "broken-gzip": (_nothing, _broken_gzip),
    # as if a proxy had recoded it: no UTF-8 contains 0xFF
    "not-utf8": (_nothing, lambda r, *_: _other(r.body.replace(b"@", b"\xff"))),
    "huge": (
        _whole,
        lambda r, _, megabytes: replace(_other(r.body), padding=megabytes * 1_000_000),
    ),
}


# ---- user faults -------------------------------------------------------------------------


def _at(user: Any, path: tuple[str, ...], change: Callable[[dict[str, Any], str], Any]) -> Any:
    """The user after `change(object, key)` of the field, if the user has it."""
    node = user
    for key in path[:-1]:
        node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, dict) and path[-1] in node:
        change(node, path[-1])
    return user


def _set(user: Any, path: tuple[str, ...], value: Callable[[Any], Any]) -> Any:
    """The user after the field's old value became `value(old)`, if the user has the field."""
    return _at(user, path, lambda node, key: node.update({key: value(node[key])}))


def _epoch(old: Any) -> Any:
    try:
        return math.floor(datetime.datetime.fromisoformat(old["date"]).timestamp())
    except (KeyError, TypeError, ValueError):  # an earlier step changed it
        return old


USER_FAULTS: Mapping[str, tuple[Reader, UserChange]] = {
    "missing": (_field, lambda user, path: _at(user, path, lambda node, key: node.pop(key))),
    "mistyped": (_field, lambda user, path: _set(user, path, lambda old: [old])),
    "set": (_field_and_json, lambda user, pair: _set(user, pair[0], lambda _: pair[1])),
    "surrogate": (_field, lambda user, path: _set(user, path, lambda old: f"{old}\ud800")),
    # 1.0 sends the seconds themselves, where 1.2 and later have {date, age}
    "epoch-dates": (
        _nothing,
        lambda user, _: _set(_set(user, ("dob",), _epoch), ("registered",), _epoch),
    ),
    "user": (_json, lambda _, value: value),
}


# ---- the plan ----------------------------------------------------------------------------

#: What a step may say besides its fault.
CONDITIONS: Mapping[str, Reader] = {
    "times": _whole,
    "pages": _span,
    "requests": _span,
    "seconds": _span,
    "chance": _percent,
    "users": _percent,
    "retry-after": _whole,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A fault and when it applies; without conditions always, and to all users."""

    text: str
    fault: str
    value: Any
    conditions: Mapping[str, Any] = field(default_factory=dict)

    def draw(self, *of: object) -> int:
        """A number below 2**64 that depends only on the step and on `of`."""
        key = "|".join(map(str, (self.text, *of)))
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])


def parse_plan(plan: str) -> tuple[Step, ...]:
    """The steps of a plan. Raises SettingsError that says what is wrong with a step."""
    lines = [line.partition("#")[0] for line in plan.splitlines()]
    steps = [step.strip() for line in lines for step in line.split(";")]
    return tuple(_step(step) for step in steps if step)


def _step(text: str) -> Step:
    parts = [part.partition("=") for part in text.split(",")]
    (fault, value), *conditions = [(name.strip(), unquote(v.strip())) for name, _, v in parts]
    known = {name: read for name, (read, _) in {**RESPONSE_FAULTS, **USER_FAULTS}.items()}
    if fault not in known:
        raise SettingsError(
            f"Fault {fault!r} in {text!r} is unknown; known are {', '.join(sorted(known))}."
        )
    step = Step(
        text=text,
        fault=fault,
        value=_value(text, fault, value, known[fault]),
        conditions={
            name: _value(text, name, value, CONDITIONS.get(name, _unknown_condition))
            for name, value in conditions
        },
    )
    if "users" in step.conditions and fault not in USER_FAULTS:
        raise SettingsError(f"{text!r}: users belongs to faults of users, not to {fault}.")
    if "retry-after" in step.conditions and fault != "status":
        raise SettingsError(f"{text!r}: retry-after belongs to status, not to {fault}.")
    return step


def _unknown_condition(_: str) -> None:
    raise ValueError(f"is unknown; known are {', '.join(sorted(CONDITIONS))}")


def _value(text: str, name: str, value: str, read: Reader) -> Any:
    try:
        return read(value)
    except ValueError as exc:
        raise SettingsError(f"{name}={value} in {text!r} {exc}.") from exc


class Rehearsal:
    """A plan and its progress. All counts start with the rehearsal."""

    def __init__(self, plan: str) -> None:
        self.plan = plan
        self.steps = parse_plan(plan)
        self.requests = 0
        self._pages: Counter[tuple[str, float]] = Counter()
        self._given = [0] * len(self.steps)
        self._began: float | None = None

    def report(self) -> dict[str, Any]:
        """The number of requests so far, and how often each step applied."""
        given = [{"step": s.text, "given": n} for s, n in zip(self.steps, self._given, strict=True)]
        return {"requests": self.requests, "steps": given}

    def deliver(self, query: Query, response: Response) -> Delivery:
        """Count the request that `response` is for, and apply the faults that are due."""
        now = time.monotonic()
        self._began = self._began or now
        self.requests += 1
        self._pages[query.seed, query.page] += 1
        response_fault: Step | None = None
        for number, step in enumerate(self.steps):
            of_users = step.fault in USER_FAULTS
            if response_fault and not of_users:
                continue
            if not self._due(number, query, now - self._began):
                continue
            self._given[number] += 1
            if of_users:
                response = _spoil(step, query, response)
            else:
                response_fault = step
        if response_fault is None:
            return Delivery(response=response)
        _, change = RESPONSE_FAULTS[response_fault.fault]
        delivery = change(response, query, response_fault.value)
        if retry_after := response_fault.conditions.get("retry-after"):
            delivery.response.headers["Retry-After"] = str(retry_after)
        return delivery

    def _due(self, number: int, query: Query, seconds: float) -> bool:
        step = self.steps[number]
        limits = step.conditions
        now = {"pages": query.page, "requests": self.requests, "seconds": seconds}
        count = self._pages[query.seed, query.page]
        return (
            self._given[number] < limits.get("times", math.inf)
            and all(
                limits[name][0] <= now[name] <= limits[name][1] for name in now if name in limits
            )
            and step.draw(query.seed, query.page, count) < limits.get("chance", 100) / 100 * 2**64
        )


def _spoil(step: Step, query: Query, response: Response) -> Response:
    """The response with the step's fault in its share of the users, always the same ones."""
    _, change = USER_FAULTS[step.fault]

    def edit(users: list[msgspec.Raw], _info: object) -> None:
        drawn = sorted(
            range(len(users)), key=lambda position: step.draw(query.seed, query.page, position)
        )
        percent = step.conditions.get("users", 100)
        # rounded up: two users of a hundred are one of fifty, and one of ten
        for position in drawn[: math.ceil(len(users) * percent / 100)]:
            user = change(json.loads(bytes(users[position])), step.value)
            # ASCII, because only an escape can spell a lone surrogate
            users[position] = msgspec.Raw(json.dumps(user, separators=(",", ":")).encode())

    return _edit(response, edit).response
