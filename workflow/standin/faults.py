"""What can be wrong with an answer, and when: a fault plan, step by step.

A plan is text, the same in a URL and in a file (docs/rehearsals.md lists all of it):

    status=503,times=2;hang,pages=3;missing=email,users=10

Steps are separated by `;` or line ends, `#` begins a comment. A step is a fault, with its
value, and conditions. An answer gets the first fault of ANSWER_FAULTS whose step applies, and
all of USER_FAULTS whose steps apply. Whatever else would separate is written as `%2C`, `%3B`,
`%23`, `%2F`.

Everything random is drawn from the step, the seed and page asked for and how often that page
was asked for: the same plan gives the same night again, in whatever order requests come.
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
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from workflow.errors import SettingsError
from workflow.standin.contract import JSON, Answer, Question, too_many

HTML = "text/html"


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """An answer and how it goes out.

    delay   seconds before anything is sent, infinity for never
    seconds over which the body is sent, piece by piece
    silent  the connection is closed without a byte of an answer
    cut     the connection is closed after half of the body
    """

    answer: Answer
    delay: float = 0.0
    seconds: float = 0.0
    silent: bool = False
    cut: bool = False


# ---- values ------------------------------------------------------------------------------


def _nothing(text: str) -> None:
    if text:
        raise ValueError("takes no value")


_DECIMAL = r"[0-9]+(?:\.[0-9]+)?"


def _seconds(text: str) -> float:
    if not re.fullmatch(_DECIMAL, text):
        raise ValueError("must be a number of seconds")
    return float(text)


def _percent(text: str) -> float:
    if not re.fullmatch(_DECIMAL, text) or not 0 < float(text) <= 100:
        raise ValueError("must be a percentage above 0 and up to 100")
    return float(text)


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("must be a whole number from 1")
    return int(text)


def _status(text: str) -> int:
    if not re.fullmatch("[45][0-9][0-9]", text):
        raise ValueError("must be a status from 400 to 599")
    return int(text)


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


def _field(text: str) -> tuple[str, ...]:
    if not re.fullmatch(r"\w+(\.\w+)*", text, re.ASCII):
        raise ValueError("must be a field like email or login.uuid")
    return tuple(text.split("."))


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


def _echo(text: str) -> str:
    if text not in WRONG_ECHOES:
        raise ValueError(f"must be one of {', '.join(WRONG_ECHOES)}")
    return text


#: What `echo` puts in the place of what was asked for.
WRONG_ECHOES: Mapping[str, Callable[[Any], Any]] = {
    "seed": lambda seed: f"{seed}x",
    "page": lambda page: page + 1,
    "version": lambda _: "1.3",
    "results": lambda results: results + 1,
}


# ---- faults of an answer -----------------------------------------------------------------


def _answer(body: bytes, status: int = 200, kind: str = JSON) -> Answer:
    # without the ETag: a client that knows it would get 304 instead of the fault
    return Answer(status=status, body=body, headers={"Content-Type": kind})


def _refuse(d: Delivery, asked: Question, status: int) -> Delivery:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return replace(d, answer=too_many(asked.results))
    known = [known.phrase for known in HTTPStatus if known == status]
    title = " ".join([str(status), *known])
    # what a proxy in front of the API says; the API itself knows 200, 404 and 429 only
    html = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return replace(d, answer=_answer(html.encode(), status, HTML))


def _say(body: bytes, kind: str = JSON) -> Callable[[Delivery, Question, Any], Delivery]:
    return lambda d, _asked, _value: replace(d, answer=_answer(body, kind=kind))


def _edit(answer: Answer, change: Callable[[list[msgspec.Raw], dict[str, Any]], Any]) -> Answer:
    """The answer after `change` of its users and its info, in place; other users stay as
    they are, byte for byte."""
    document = msgspec.json.decode(answer.body, type=dict[str, msgspec.Raw])
    users = msgspec.json.decode(document["results"], type=list[msgspec.Raw])
    info = msgspec.json.decode(document.get("info", b"{}"))
    change(users, info)
    changed: dict[str, Any] = {"results": users}
    return _answer(msgspec.json.encode(changed | ({"info": info} if "info" in document else {})))


def _one_user(users: list[msgspec.Raw], info: dict[str, Any]) -> None:
    users[1:] = []
    info["results"] = 1


def _no_users(users: list[msgspec.Raw], info: dict[str, Any]) -> None:
    users.clear()
    info["results"] = 1  # as the API really does it


def _editing(
    change: Callable[[list[msgspec.Raw], dict[str, Any]], Any],
) -> Callable[[Delivery, Question, Any], Delivery]:
    return lambda d, _asked, _value: replace(d, answer=_edit(d.answer, change))


def _wrong_echo(d: Delivery, _asked: Question, what: str) -> Delivery:
    def change(_users: object, info: dict[str, Any]) -> None:
        info[what] = WRONG_ECHOES[what](info[what])

    return replace(d, answer=_edit(d.answer, change))


def _broken_gzip(d: Delivery, _asked: Question, _value: None) -> Delivery:
    packed = gzip.compress(d.answer.body, mtime=0)
    answer = _answer(packed[: len(packed) // 2])
    return replace(d, answer=replace(answer, headers=answer.headers | {"Content-Encoding": "gzip"}))


class AnswerFault(NamedTuple):
    """How the value of a fault reads, and what it does to an answer."""

    value: Callable[[str], Any]
    change: Callable[[Delivery, Question, Any], Delivery]


ANSWER_FAULTS: Mapping[str, AnswerFault] = {
    "status": AnswerFault(_status, _refuse),
    "html": AnswerFault(_nothing, _say(b"<html><body>Back soon</body></html>", HTML)),
    "error": AnswerFault(
        _nothing,
        _say(
            b'{"error":"Uh oh, something has gone wrong. Please tweet us @randomapi about the '
            b'issue. Thank you."}'
        ),
    ),
    "body": AnswerFault(str, lambda d, _, text: replace(d, answer=_answer(text.encode()))),
    "delay": AnswerFault(_seconds, lambda d, _, seconds: replace(d, delay=seconds)),
    "hang": AnswerFault(_nothing, lambda d, *_: replace(d, delay=math.inf)),
    "close": AnswerFault(_nothing, lambda d, *_: replace(d, silent=True)),
    "drip": AnswerFault(_seconds, lambda d, _, seconds: replace(d, seconds=seconds)),
    "cut": AnswerFault(_nothing, lambda d, *_: replace(d, cut=True)),
    "empty": AnswerFault(_nothing, _editing(_no_users)),
    "one-user": AnswerFault(_nothing, _editing(_one_user)),
    "fewer": AnswerFault(_nothing, _editing(lambda users, _: users.pop())),
    "echo": AnswerFault(_echo, _wrong_echo),
    "broken-gzip": AnswerFault(_nothing, _broken_gzip),
    "not-utf8": AnswerFault(
        _nothing,
        # as if the proxy had recoded it: 0xFF is in no UTF-8
        lambda d, *_: replace(d, answer=_answer(d.answer.body.replace(b"@", b"\xff"))),
    ),
    "huge": AnswerFault(
        _whole,
        lambda d, _, megabytes: replace(
            d, answer=_answer(b" " * (megabytes * 1_000_000) + d.answer.body)
        ),
    ),
}


# ---- faults of users ---------------------------------------------------------------------


def _at(user: Any, path: tuple[str, ...], change: Callable[[dict[str, Any], str], Any]) -> Any:
    """The user after `change(object, key)` of the field, if there is one to change."""
    node = user
    for key in path[:-1]:
        node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, dict) and path[-1] in node:
        change(node, path[-1])
    return user


def _set(path: tuple[str, ...], value: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda user: _at(user, path, lambda node, key: node.update({key: value(node[key])}))


def _epoch(held: Any) -> Any:
    try:
        return math.floor(datetime.datetime.fromisoformat(held["date"]).timestamp())
    except (KeyError, TypeError, ValueError):  # another step was here before
        return held


def _epoch_dates(user: Any) -> Any:
    # 1.0 sends the seconds themselves, where 1.2 and later have {date, age}
    for name in ("dob", "registered"):
        user = _set((name,), _epoch)(user)
    return user


class UserFault(NamedTuple):
    """How the value of a fault reads, and what it does to a user."""

    value: Callable[[str], Any]
    change: Callable[[Any, Any], Any]


USER_FAULTS: Mapping[str, UserFault] = {
    "missing": UserFault(
        _field, lambda user, path: _at(user, path, lambda node, key: node.pop(key))
    ),
    "mistyped": UserFault(_field, lambda user, path: _set(path, lambda held: [held])(user)),
    "set": UserFault(_field_and_json, lambda user, pair: _set(pair[0], lambda _: pair[1])(user)),
    "surrogate": UserFault(
        _field, lambda user, path: _set(path, lambda held: f"{held}\ud800")(user)
    ),
    "epoch-dates": UserFault(_nothing, lambda user, _: _epoch_dates(user)),
    "user": UserFault(_json, lambda _, value: value),
}


# ---- the plan ----------------------------------------------------------------------------

#: What a step may say besides its fault.
CONDITIONS: Mapping[str, Callable[[str], Any]] = {
    "times": _whole,
    "pages": _span,
    "requests": _span,
    "seconds": _span,
    "chance": _percent,
    "users": _percent,
    "retry-after": _whole,
}

_ALWAYS = (0.0, math.inf)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A fault and when it comes; without conditions always, and to all users."""

    text: str
    fault: str
    value: Any
    conditions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def of_users(self) -> bool:
        """Whether the fault is one of single users."""
        return self.fault in USER_FAULTS

    def draw(self, *of: object) -> int:
        """A number below 2**64 that depends on the step and on `of` alone."""
        key = "|".join(map(str, (self.text, *of)))
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])


def parse(plan: str) -> tuple[Step, ...]:
    """The steps of a plan. Raises SettingsError, which says what a step lacks."""
    lines = [line.partition("#")[0] for line in plan.splitlines()]
    steps = [step.strip() for line in lines for step in line.split(";")]
    return tuple(_step(step) for step in steps if step)


def _step(text: str) -> Step:
    fault, *conditions = ((name.strip(), unquote(value.strip())) for name, _, value in (
        part.partition("=") for part in text.split(",")
    ))  # fmt: skip
    known: dict[str, AnswerFault | UserFault] = {**ANSWER_FAULTS, **USER_FAULTS}
    if fault[0] not in known:
        raise SettingsError(
            f"Fault {fault[0]!r} in {text!r} is unknown; known are {', '.join(sorted(known))}."
        )
    step = Step(
        text=text,
        fault=fault[0],
        value=_value(text, *fault, known[fault[0]].value),
        conditions={
            name: _value(text, name, value, CONDITIONS.get(name, _unknown_condition))
            for name, value in conditions
        },
    )
    if "users" in step.conditions and not step.of_users:
        raise SettingsError(f"{text!r}: users belongs to faults of users, not to {step.fault}.")
    if "retry-after" in step.conditions and step.fault != "status":
        raise SettingsError(f"{text!r}: retry-after belongs to status, not to {step.fault}.")
    return step


def _unknown_condition(_: str) -> None:
    raise ValueError(f"is unknown; known are {', '.join(sorted(CONDITIONS))}")


def _value(text: str, name: str, value: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(value)
    except ValueError as exc:
        raise SettingsError(f"{name}={value} in {text!r} {exc}.") from exc


class Rehearsal:
    """A plan, and how far it is. All counts begin with the rehearsal."""

    def __init__(self, plan: str) -> None:
        self.plan = plan
        self.steps = parse(plan)
        self.requests = 0
        self._pages: Counter[tuple[str, float]] = Counter()
        self._given = [0] * len(self.steps)
        self._began: float | None = None

    def report(self) -> dict[str, Any]:
        """The requests so far, and how often each step came."""
        given = [{"step": s.text, "given": n} for s, n in zip(self.steps, self._given, strict=True)]
        return {"requests": self.requests, "steps": given}

    def deliver(self, asked: Question, answer: Answer) -> Delivery:
        """Count the request that `answer` is for, and give it the faults that are due."""
        now = time.monotonic()
        self._began = self._began or now
        self.requests += 1
        self._pages[asked.seed, asked.page] += 1
        delivery = Delivery(answer=answer)
        answer_fault: Step | None = None
        for number, step in enumerate(self.steps):
            if answer_fault and not step.of_users:
                continue
            if not self._due(number, asked, now - self._began):
                continue
            self._given[number] += 1
            if step.of_users:
                delivery = replace(delivery, answer=_spoil(step, asked, delivery.answer))
            else:
                answer_fault = step
        if answer_fault is None:
            return delivery
        delivery = ANSWER_FAULTS[answer_fault.fault].change(delivery, asked, answer_fault.value)
        if "retry-after" in answer_fault.conditions:
            after = {"Retry-After": str(answer_fault.conditions["retry-after"])}
            told = replace(delivery.answer, headers=delivery.answer.headers | after)
            delivery = replace(delivery, answer=told)
        return delivery

    def _due(self, number: int, asked: Question, seconds: float) -> bool:
        step = self.steps[number]
        limits = step.conditions
        ask = self._pages[asked.seed, asked.page]
        return (
            self._given[number] < limits.get("times", math.inf)
            and _within(asked.page, limits.get("pages", _ALWAYS))
            and _within(self.requests, limits.get("requests", _ALWAYS))
            and _within(seconds, limits.get("seconds", _ALWAYS))
            and step.draw(asked.seed, asked.page, ask) < limits.get("chance", 100) / 100 * 2**64
        )


def _within(value: float, span: tuple[float, float]) -> bool:
    return span[0] <= value <= span[1]


def _spoil(step: Step, asked: Question, answer: Answer) -> Answer:
    """The answer with the step's fault in its share of the users, always the same ones."""

    def change(users: list[msgspec.Raw], _info: object) -> None:
        drawn = sorted(
            range(len(users)), key=lambda position: step.draw(asked.seed, asked.page, position)
        )
        percent = step.conditions.get("users", 100)
        # rounded up: two users of a hundred are one of fifty, and one of ten
        for position in drawn[: math.ceil(len(users) * percent / 100)]:
            user = USER_FAULTS[step.fault].change(json.loads(bytes(users[position])), step.value)
            # ASCII, because only an escape can spell a lone surrogate
            users[position] = msgspec.Raw(json.dumps(user, separators=(",", ":")).encode())

    return _edit(answer, change)
