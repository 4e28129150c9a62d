"""Answers and documents of any kind, through the real client into the real stores.

`make fuzz MINUTES=10` runs it for long and prints the inputs by kind; test_fuzz.py is the short
form.
"""

import argparse
import datetime
import gzip
import json
import logging
import socket
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from rich.console import Console

from tests import days
from tests.conftest import Pipeline
from tests.days import STEPS, tables
from tests.exactness import comparison
from tests.hostile import Asked, Hostile, good, http, page_of, people, plain
from workflow.errors import SourceError, WorkflowError
from workflow.extraction import Extraction
from workflow.ledger import runs
from workflow.ops.verify import verify
from workflow.printable import printable
from workflow.source.client import Client

DATE = datetime.date(2026, 11, 20)
USERS = 20

T = TypeVar("T")

#: An input: its kind, and the bytes that it makes of what was asked.
Input = tuple[str, Callable[[Asked], bytes]]

_odd = st.sampled_from(
    [b"", b"\0", b"\r", b"\n", b"\x1b[2J", b"\x9b", b"\xff", b":", b" ", b"200", b"-1", b"9" * 30]
)
_junk = st.lists(_odd | st.binary(max_size=20), max_size=8).map(b"".join)
_name = st.sampled_from(
    [b"Server", b"Location", b"Retry-After", b"Set-Cookie", b"Connection", b"Content-Type",
     b"Content-Length", b"Transfer-Encoding", b"Content-Encoding"]
) | _junk  # fmt: skip

_text = st.text(st.characters() | st.sampled_from("\0\x1b\x7f\x9b\u202e\ud800\udfff"), max_size=20)
_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=20,
)
_leaf = st.sampled_from(
    ["login", "login.uuid", "name", "name.first", "dob.date", "dob", "location.street.number",
     "location.coordinates.latitude", "location.postcode", "email", "registered.date", "nat", "id"]
)  # fmt: skip


def _as_bytes(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")


@st.composite
def _spoilt(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A change of a good document: leaves replaced or missing."""
    changes = draw(st.dictionaries(_leaf, _value | st.just(...), min_size=1, max_size=4))

    def change(document: bytes) -> bytes:
        user = json.loads(document)
        for path, value in changes.items():
            *above, key = path.split(".")
            node = user
            for name in above:
                node = node.get(name) if isinstance(node, dict) else None
            if isinstance(node, dict):
                if value is ...:
                    node.pop(key, None)
                else:
                    node[key] = value
        return _as_bytes(user)

    return change


_deep = st.builds(
    lambda depth, kind: (
        (kind[:1] * depth if kind == b"[]" else b'{"a":' * depth + b"1") + kind[1:] * depth
    ),
    st.integers(1, 2_000),
    st.sampled_from([b"[]", b"{}"]),
)
_large = st.builds(lambda size: b'{"a":"%s"}' % (b"x" * size), st.integers(60_000, 200_000))
_constant = _value.map(_as_bytes) | _deep | _large | st.binary(max_size=60)

#: What becomes of a good document.
documents: st.SearchStrategy[Callable[[bytes], bytes]] = _spoilt() | _constant.map(
    lambda data: lambda _: data
)


def _framed(body: bytes, sizes: list[int], end: bytes) -> bytes:
    parts = []
    for size in sizes:
        part, body = body[:size], body[size:]
        parts.append(b"%x\r\n%s\r\n" % (len(part), part) if part else b"")
    parts.append(b"%x\r\n%s\r\n" % (len(body), body) if body else b"")
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(parts) + end


def _encoded(body: bytes, names: list[str], cut: int) -> bytes:
    for name in names:
        body = zlib.compress(body) if name == "deflate" else gzip.compress(body)
    return http(body[: len(body) - cut], headers=[f"Content-Encoding: {', '.join(names)}"])


def _mutated(body: bytes, at: int, cut: int, junk: bytes) -> bytes:
    at %= len(body)
    return http(body[:at] + junk + body[at + cut :])


def _page(asked: Asked) -> bytes:
    return page_of(asked, plain(asked))


answers: st.SearchStrategy[Input] = st.one_of(
    st.builds(lambda line: ("status line", lambda _: line + b"\r\n\r\n{}"), _junk),
    st.builds(
        lambda status, reason: (
            "status",
            lambda asked: b"HTTP/1.1 %d %s\r\n\r\n%s" % (status, reason, _page(asked)),
        ),
        st.integers(0, 999),
        _junk,
    ),
    st.builds(
        lambda headers: (
            "headers",
            lambda asked: (
                b"HTTP/1.1 200 OK\r\n"
                + b"".join(b"%s: %s\r\n" % header for header in headers)
                + b"\r\n"
                + _page(asked)
            ),
        ),
        st.lists(st.tuples(_name, _junk), max_size=6),
    ),
    st.builds(
        lambda sizes, end: ("framing", lambda asked: _framed(_page(asked), sizes, end)),
        st.lists(st.integers(0, 50), max_size=6),
        _junk | st.just(b"0\r\n\r\n"),
    ),
    st.builds(
        lambda names, cut: ("encoding", lambda asked: _encoded(_page(asked), names, cut)),
        st.lists(st.sampled_from(["gzip", "deflate"]), min_size=1, max_size=6),
        st.integers(0, 5),
    ),
    st.builds(
        lambda at, cut, junk: ("body", lambda asked: _mutated(_page(asked), at, cut, junk)),
        st.integers(0, 5_000),
        st.integers(0, 40),
        _junk,
    ),
    st.builds(lambda value: ("other JSON", lambda _: http(_as_bytes(value))), _value),
    st.builds(
        lambda changes: (
            "documents",
            lambda asked: http(
                page_of(asked, [c(d) for c, d in zip(changes, plain(asked), strict=False)])
            ),
        ),
        st.lists(documents, min_size=USERS, max_size=USERS),
    ),
)


class Fuzz:
    """Inputs against one source, and how many of each kind there were."""

    def __init__(self, source: Hostile) -> None:
        self.source = source
        self.counts: Counter[str] = Counter()

    def attempts(self, pipeline: Pipeline, examples: int, number: int | None = None) -> None:
        """One attempt of the client for each input: a page, or a sentence."""
        pipeline.set("source", deadline=0.01)  # the first attempt is the last
        extraction = Extraction.of(DATE)

        def one(given_: Input) -> None:
            kind, data = given_
            self.source.answer = lambda asked, sock: sock.sendall(data(asked))
            began = time.monotonic()
            found, said = 0, ""
            try:
                with Client(extraction) as client:
                    for page in client.pages([1]):
                        found += len(page.documents)
            except SourceError as error:
                said = str(error)
            assert said == printable(said, 5_000)
            assert found == (0 if said else USERS)
            assert time.monotonic() - began < 5
            self.counts[f"{kind}: {'refused' if said else 'a page'}"] += 1

        _run(one, answers, examples, number)

    def whole_days(self, pipeline: Pipeline, examples: int, number: int | None = None) -> None:
        """A day of any documents; then the same date of a well source is whole."""
        pipeline.set("source", deadline=3)
        standin = people(pipeline.stack.standin_url)

        def one(changes: list[Callable[[bytes], bytes]]) -> None:
            def spoilt(asked: Asked, sock: socket.socket) -> None:
                found = [c(d) for c, d in zip(changes, standin(asked), strict=True)]
                sock.sendall(http(page_of(asked, found)))

            self.source.answer = spoilt
            runs.invalidate("ExtractUsers", [DATE], logic_version=1, reason=None)
            try:
                days.run(DATE, *STEPS)
            except WorkflowError as error:
                outcome = type(error).__name__
            else:
                outcome = "published"
                (verdict,) = verify([DATE])
                assert verdict.raw == verdict.users + verdict.rejected == USERS
            self.counts[f"day: {outcome}"] += 1
            self.source.answer = good(standin)
            runs.invalidate("ExtractUsers", [DATE], logic_version=1, reason=None)
            days.run(DATE, *STEPS)
            assert [len(rows) for rows in tables(pipeline).values()][:2] == [USERS, 0]
            (verdict,) = verify([DATE])
            assert verdict.problems == verdict.due == []

        _run(one, st.lists(documents, min_size=USERS, max_size=USERS), examples, number)


def _run(
    one: Callable[[T], None], inputs: st.SearchStrategy[T], examples: int, number: int | None
) -> None:
    test = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=number is None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(given(inputs)(one))
    with _no_traceback():
        (test if number is None else seed(number)(test))()


@contextmanager
def _no_traceback() -> Iterator[None]:
    """Nothing is logged with a traceback."""
    logged: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: logged.append(f"{record.getMessage()} {record.exc_info}")  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
    assert logged == []


def prepare(pipeline: Pipeline, source: Hostile) -> None:
    """Make a pipeline take its users from a source, of any quality."""
    pipeline.set("source", url=source.url, users_per_day=USERS, page_size=USERS, read_timeout=2)
    pipeline.set("rules", rejected_percent_max=100)


def main() -> int:
    """Run it; an input that does harm ends it, and is shown."""
    parser = argparse.ArgumentParser(description="Send anything, and look whether it does harm.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"Seed {options.seed}, {options.minutes:g} min")
    with (
        comparison.stack_of_its_own() as (stack, folder),
        comparison.fresh(stack, folder, "fuzz", users=USERS) as pipeline,
        Hostile(good()) as source,
    ):
        prepare(pipeline, source)
        fuzz, number = Fuzz(source), options.seed
        ends = time.monotonic() + options.minutes * 60
        while time.monotonic() < ends:
            fuzz.attempts(pipeline, 300, number)
            fuzz.whole_days(pipeline, 3, number)
            number += 1
    for kind, count in sorted(fuzz.counts.items()):
        console.print(f"{count:>8,}  {kind}", markup=False)
    console.print(f"{fuzz.counts.total():>8,}  inputs, none did harm")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
