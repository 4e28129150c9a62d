"""A source that is hostile or odd, from end to end: what it can do, and that a rerun mends it.

The sources are tests/hostile.py, which sends any bytes. The client's and the stores' limits are
real; docs/guarantees.md names these tests.
"""

import datetime
import hashlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import days, hostile
from tests.conftest import PROJECT, Pipeline, environment, load_config, write_config
from tests.days import NOTHING, STEPS, attempts, tables
from tests.hostile import Asked, Hostile, good, http, on_page, page, page_of, people, sends
from workflow.errors import SourceError
from workflow.extraction import Extraction, Page
from workflow.ledger import runs
from workflow.ops.verify import verify
from workflow.printable import printable
from workflow.source.client import Client
from workflow.stack import source as stack_source
from workflow.tasks import ExtractUsers

# hostile.py is a server, and it takes its time
pytestmark = pytest.mark.usefixtures("services")

DATE = datetime.date(2026, 11, 20)

#: s that a response may take beyond the deadline: LAST_ATTEMPT, and what this machine needs.
GRACE = 2.5

#: No page of any list below is one; each has a name, its bytes, and what the client says of it.
NO_PAGE = {name: (answer, said) for name, answer, said in hostile.answers()}


def configure(folder: Path, source: Hostile, **more: object) -> Path:
    values = {"url": source.url, "users_per_day": 20, "page_size": 10, "deadline": 1} | more
    values.setdefault("read_timeout", 0.5)
    return write_config(
        folder / "client.cfg", {"source": {key: str(value) for key, value in values.items()}}
    )


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Page]]:
    """Fetch a day from a source in this process."""
    monkeypatch.chdir(PROJECT)

    def fetch(source: Hostile, **more: object) -> list[Page]:
        load_config(configure(tmp_path, source, **more))
        extraction = Extraction.of(DATE)
        with Client(extraction) as client:
            return list(client.pages(range(1, extraction.pages + 1)))

    return fetch


# ---- answers that are no page ----------------------------------------------------------------


@pytest.mark.parametrize("name", NO_PAGE)
def test_no_answer_outlives_the_deadline(name: str, client: Callable[..., list[Page]]) -> None:
    answer, said = NO_PAGE[name]
    with Hostile(on_page(2, answer, good())) as source:
        began = time.monotonic()
        with pytest.raises(SourceError) as failed:
            client(source)
        assert time.monotonic() - began < 1 + GRACE
    text = str(failed.value)
    assert re.fullmatch(
        rf"{source.url} did not deliver page 2 of 2 within 1 s \(\[source\] deadline\); the last "
        rf"attempt {said}\. The pages that arrived are kept: .*",
        text,
    )
    assert text == printable(text, 2_000)


FOREVER = [
    "redirect, endless body", "redirect, gzip of 1 GB", "header byte by byte",
    "endless 100 Continue", "endless headers", "trailers byte by byte", "gzip of 1 GB",
    "lists in results", "nested in info", "escapes as reason", "escapes as error", "a seed of 1 MB",
]  # fmt: skip


@pytest.fixture
def source(pipeline: Pipeline) -> Iterator[Hostile]:
    """A source with the stand-in's people, well until `answer` is set."""
    with Hostile(good(people(pipeline.stack.standin_url))) as source:
        pipeline.set(
            "source", url=source.url, users_per_day=20, page_size=10, read_timeout=0.5, deadline=1
        )
        yield source


@pytest.mark.parametrize("name", FOREVER)
def test_the_day_is_whole_when_the_source_is_well_again(
    pipeline: Pipeline, source: Hostile, name: str
) -> None:
    well, (answer, _) = source.answer, NO_PAGE[name]
    source.answer = on_page(2, answer, well)
    with pytest.raises(SourceError) as failed:
        days.run(DATE, ExtractUsers)
    assert tables(pipeline) == NOTHING
    (attempt,) = attempts(pipeline)
    assert (attempt.state, attempt.error) == ("failed", str(failed.value))

    source.answer, source.asked = well, []
    pipeline.set("source", deadline=20, read_timeout=10)
    days.run(DATE, *STEPS)
    assert [asked.page for asked in source.asked] == [2]
    assert [len(rows) for rows in tables(pipeline).values()][:2] == [20, 0]
    (verdict,) = verify([DATE])
    assert verdict.problems == verdict.due == []


def test_a_process_says_one_sentence_and_no_escape(pipeline: Pipeline, source: Hostile) -> None:
    names = ("escapes as reason", "escapes as error", "a seed of 1 MB", "headers that are none")
    for name in names:
        source.answer = NO_PAGE[name][0]
        done = pipeline.run("workflow", "run", str(DATE), "--local-scheduler", check=None)
        assert done.returncode != 0
        told = [
            pipeline.run("workflow", name, str(DATE), check=None) for name in ("plan", "status")
        ]
        shown = [done, *told]
        for one in shown:
            for line in (one.stdout + one.stderr).split("\n"):
                assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e]", line), line
                assert not line.startswith("Forged")
                assert len(line) < 5_000
            assert "Traceback" not in one.stderr
    assert all(len(row.error) < 1_000 for row in attempts(pipeline))


def test_one_ctrl_c_ends_a_run_that_waits_for_a_header(pipeline: Pipeline, source: Hostile) -> None:
    source.answer = NO_PAGE["header byte by byte"][0]
    pipeline.set("source", deadline=60, read_timeout=60)
    process = pipeline.start("workflow", "run", str(DATE), "--local-scheduler")
    try:
        ends = time.monotonic() + 30
        while len(source.asked) < 2 and time.monotonic() < ends:
            time.sleep(0.05)
        assert source.asked
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) != 0
        assert time.monotonic() - began < 3
    finally:
        process.kill()
        process.wait()


# ---- whom the client speaks to ---------------------------------------------------------------


def test_nothing_but_the_source_is_spoken_to(
    pipeline: Pipeline, source: Hostile, tmp_path: Path
) -> None:
    with Hostile(sends(http(b'{"secret": "of another service"}'))) as other:
        well = source.answer
        for status in ("301 X", "302 X", "303 X", "307 X", "308 X"):
            location = f"{other.root}/api/pause"
            source.answer = sends(http(b"", status=status, headers=[f"Location: {location}"]))
            with pytest.raises(SourceError, match=f"status {status}, a redirect to {location}, wh"):
                days.run(DATE, ExtractUsers)
        headers = [f"Refresh: 0;url={other.root}/", f"Link: <{other.root}>; rel=preload"]
        source.answer = lambda asked, sock: sock.sendall(
            http(page_of(asked, people(pipeline.stack.standin_url)(asked)), headers=headers)
        )
        pipeline.set("source", deadline=20, read_timeout=10)
        days.run(DATE, *STEPS)
        assert other.asked == []
        source.answer = well


CHILD = """
import datetime, json, time
from workflow.errors import SourceError
from workflow.extraction import Extraction
from workflow.source.client import Client
extraction, said = Extraction.of(datetime.date(2026, 11, 20)), ""
try:
    with Client(extraction) as client:
        for page in client.pages(range(1, extraction.pages + 1)):
            pass
except SourceError as error:
    said = str(error)
# not ru_maxrss, which begins with what the parent had
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([said, int(peak.split()[1]) / 1000]))
"""


def fetched(config: Path, **env: str) -> tuple[str, float]:
    """Fetch a day in a process of its own: (what it said, its peak memory in MB)."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        cwd=PROJECT,
        env=environment(config, **env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    said, peak = json.loads(done.stdout)
    return said, peak


def test_no_password_of_netrc_and_no_cookie_is_sent(tmp_path: Path) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cret\n", encoding="utf-8")
    netrc.chmod(0o600)

    def answer(asked: Asked, sock: socket.socket) -> None:
        body = page_of(asked, hostile.plain(asked))
        sock.sendall(http(body, headers=["Set-Cookie: a=b; Path=/", "WWW-Authenticate: Basic"]))

    with Hostile(answer) as source:
        config = configure(tmp_path, source, deadline=20, requests_in_flight=1)
        said, _ = fetched(config, HOME=str(tmp_path), NETRC=str(netrc))
        assert said == ""
        assert len(source.asked) == 2
        for asked in source.asked:
            assert not {"authorization", "cookie"} & asked.headers.keys()


def test_proxies_are_honoured(tmp_path: Path) -> None:
    def proxied(asked: Asked, sock: socket.socket) -> None:
        if asked.line.startswith("CONNECT"):
            sock.sendall(b"HTTP/1.1 403 Not you\r\n\r\n")
        else:
            good()(asked, sock)

    with Hostile(proxied) as proxy:
        url = "http://source.test/api/1.4/"
        config = configure(tmp_path, proxy, url=url, deadline=2)
        assert fetched(config, HTTP_PROXY=proxy.root, http_proxy=proxy.root)[0] == ""
        assert [asked.line.split("?")[0] for asked in proxy.asked] == [f"GET {url}"] * 2

        proxy.asked = []
        tls = configure(tmp_path, proxy, url="https://source.test/api/1.4/", deadline=2)
        said, _ = fetched(tls, HTTPS_PROXY=proxy.root)
        assert "403 Not you" in said
        assert {asked.line.split(" HTTP")[0] for asked in proxy.asked} == {
            "CONNECT source.test:443"
        }

        proxy.asked = []
        config = configure(tmp_path, proxy, url=url, deadline=1)
        said, _ = fetched(config, http_proxy=proxy.root, NO_PROXY="source.test")
        assert "did not deliver" in said
        assert proxy.asked == []


@pytest.mark.parametrize("name", ["header byte by byte", "endless headers", "endless 100 Continue"])
def test_a_hostile_proxy_is_bounded_too(tmp_path: Path, name: str) -> None:
    # its answer to CONNECT is not the source's, and is read elsewhere in http.client
    with Hostile(NO_PAGE[name][0]) as proxy:
        config = configure(tmp_path, proxy, url="https://source.test/api/1.4/")
        began = time.monotonic()
        said, _ = fetched(config, HTTPS_PROXY=proxy.root)
        assert "did not deliver" in said
        assert time.monotonic() - began < 1 + GRACE + 2  # and the start of a process


def test_a_tls_handshake_through_a_proxy_has_the_patience_of_a_connection(tmp_path: Path) -> None:
    def slow(asked: Asked, sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        sock.recv(10_000)  # the client's first message
        time.sleep(0.6)
        sock.sendall(b"this is no TLS\r\n")

    with Hostile(slow) as proxy:
        config = configure(tmp_path, proxy, url="https://source.test/api/1.4/", deadline=2)
        said, _ = fetched(config, HTTPS_PROXY=proxy.root)
        assert "WRONG_VERSION_NUMBER" in said


def test_cookies_are_not_even_parsed(tmp_path: Path) -> None:
    # Python's parser prints a traceback for this one, and takes seconds for long ones
    cookie = f"Set-Cookie: a=b; expires=1 1 {'9' * 5_000}"

    def answer(asked: Asked, sock: socket.socket) -> None:
        sock.sendall(http(page_of(asked, hostile.plain(asked)), headers=[cookie]))

    with Hostile(answer) as source:
        assert fetched(configure(tmp_path, source, deadline=20))[0] == ""


# ---- memory ----------------------------------------------------------------------------------


def large(text: bytes) -> hostile.Answer:
    """A page with a document of nearly 12 MB."""
    return page(lambda found: found.__setitem__(0, b'{"a":"%s"}' % text), hostile.plain)


MEMORY = {
    name: NO_PAGE[name][0]
    for name in (
        "redirect, endless body", "redirect, gzip of 1 GB", "endless headers", "endless body",
        "endless chunks of 1 byte", "gzip of 1 GB", "gzip of a gzip of 1 GB", "lists in a list",
        "lists in results", "lists in info", "keys without end", "nested lists", "nested in info",
        "a string without end", "quotes", "a seed of 1 MB",
    )
}  # fmt: skip
MEMORY["a large document"] = large(b"x" * 11_000_000)
MEMORY["escapes"] = large(rb"\ud800" * 1_800_000)


def test_memory_is_bounded(tmp_path: Path) -> None:
    with Hostile(good()) as source:
        said, usual = fetched(configure(tmp_path, source, users_per_day=40))
        assert said == ""
        over = {}
        for name, answer in MEMORY.items():
            source.answer = answer
            config = configure(tmp_path, source, users_per_day=40, read_timeout=10, deadline=2)
            over[name] = round(fetched(config)[1] - usual)
    assert max(over.values()) <= 100, over


WHOLE_DAY = """
import datetime
from tests import days
days.run(datetime.date(2026, 11, 20), *days.STEPS)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) / 1000)
"""


def test_memory_is_bounded_in_a_whole_day(pipeline: Pipeline, source: Hostile) -> None:
    def wide(text: bytes) -> bytes:
        # with one emoji, Python takes four bytes for every character
        return text[:-1] + ', "odd": "😀{}"}}'.format("x" * 6_800).encode()

    def peak() -> float:
        done = pipeline.run("python", "-c", WHOLE_DAY)
        runs.invalidate("ExtractUsers", [DATE], logic_version=1, reason=None)
        return float(done.stdout)

    documents = people(pipeline.stack.standin_url)
    pipeline.set("source", users_per_day=4_000, page_size=1_000, deadline=60, read_timeout=30)
    source.answer = good(documents)
    usual = peak()
    source.answer = lambda asked, sock: sock.sendall(
        http(page_of(asked, [wide(text) for text in documents(asked)]))
    )
    assert peak() - usual <= 100
    assert [len(rows) for rows in tables(pipeline).values()][:2] == [4_000, 0]


# ---- documents that are odd, and headers that are kept ----------------------------------------


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


#: A document, its reason, and whether it is kept only as size and sha256.
ODD: dict[str, tuple[bytes, str, bool]] = {
    "nested 985 deep": (nested(985), "document_too_deep", True),
    "nested 500,000 deep": (b"[" * 500_000 + b"]" * 500_000, "document_too_large", True),
    "a name of 7 MB": (b'{"a":"%s"}' % (b"x" * 7_000_000), "document_too_large", True),
    "lists in a list": (b"[" + b"[]," * 3_000_000 + b"[]]", "document_too_large", True),
    "not UTF-8": (b'{"a":"\xff"}', "document_not_utf8", True),
    "a surrogate in UTF-8": (b'{"a":"\xed\xa0\x80"}', "document_not_utf8", True),
    "a lone surrogate": (rb'{"a":"\ud800"}', "user_id_invalid", False),
    "a record of one": (
        json.dumps({"reason": "document_too_deep", "bytes": 1, "sha256": "0" * 64}).encode(),
        "user_id_invalid",
        False,
    ),
    "a raw 0x01": (b'{"a":"\x01"}', "invalid_json", False),
}


def spoils(text: bytes, standin: str) -> hostile.Answer:
    """A page whose fourth document is a text."""
    return page(lambda found: found.__setitem__(3, text), people(standin))


@pytest.mark.parametrize("name", ODD)
def test_one_document_is_at_most_one_reject(pipeline: Pipeline, source: Hostile, name: str) -> None:
    text, reason, kept_aside = ODD[name]
    well, source.answer = source.answer, spoils(text, pipeline.stack.standin_url)
    pipeline.set("source", deadline=30, read_timeout=10, page_size=20)
    pipeline.set("rules", rejected_percent_max=20)
    days.run(DATE, *STEPS)
    rejected = pipeline.rows("SELECT position, reasons, offending FROM rejected_users")
    assert [row.position for row in rejected] == [3]
    assert reason in rejected[0].reasons
    assert len(tables(pipeline)["users"]) == 19
    if kept_aside:
        digest = hashlib.sha256(text).hexdigest()
        assert rejected[0].reasons == [reason]
        assert rejected[0].offending == {"document": f"{len(text):,} bytes, sha256 {digest}"}
    (verdict,) = verify([DATE])
    assert verdict.problems == verdict.due == []
    assert verdict.raw == verdict.users + verdict.rejected == 20
    # and the same again, then well
    pipeline.run("workflow", "rerun", str(DATE), "--from", "ExtractUsers", "--local-scheduler")
    assert pipeline.rows("SELECT position, reasons, offending FROM rejected_users") == rejected
    source.answer = well
    pipeline.run("workflow", "rerun", str(DATE), "--from", "ExtractUsers", "--local-scheduler")
    assert [len(rows) for rows in tables(pipeline).values()][:2] == [20, 0]


def test_documents_at_the_limits(pipeline: Pipeline, source: Hostile) -> None:
    def padded(size: int) -> bytes:
        return b'{"a":"%s"}' % (b"x" * (size - 8))

    limits = {
        2: (padded(8_192), "user_id_invalid"),
        3: (padded(8_193), "document_too_large"),
        4: (nested(100), "user_id_invalid"),
        5: (nested(101), "document_too_deep"),
        6: (b'{"a":"%s"}' % (b"[" * 200), "user_id_invalid"),
        7: (b'{"a":' + b"[" * 99 + b"]" * 99 + b"}", "user_id_invalid"),
        8: (b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", "document_too_deep"),
    }

    def change(found: list[bytes]) -> None:
        for position, (text, _) in limits.items():
            found[position] = text

    source.answer = page(change, people(pipeline.stack.standin_url))
    pipeline.set("source", deadline=20, read_timeout=10, page_size=20)
    pipeline.set("rules", rejected_percent_max=50)
    days.run(DATE, *STEPS)
    rejected = pipeline.rows("SELECT position, reasons FROM rejected_users ORDER BY position")
    assert {row.position: row.reasons[0] for row in rejected} == {
        position: reason for position, (_, reason) in limits.items()
    }


def test_a_page_with_documents_that_are_not_json_is_asked_for_a_second_time(
    client: Callable[..., list[Page]],
) -> None:
    day = {"users_per_day": 10, "page_size": 10, "deadline": 1}
    with Hostile(good()) as hostile_source:

        def damaged(times: int, documents: int) -> hostile.Answer:
            """The first answers have documents that are not JSON."""

            def change(found: list[bytes]) -> None:
                if len(hostile_source.asked) <= times:
                    found[:documents] = [text.replace(b":", b"=") for text in found[:documents]]

            return page(change, hostile.plain)

        for times, documents, asked, left in ((1, 5, 2, 0), (9, 5, 2, 5), (2, 6, 3, 0)):
            hostile_source.asked, hostile_source.answer = [], damaged(times, documents)
            (found,) = client(hostile_source, **day | {"deadline": 20})
            assert len(hostile_source.asked) == asked
            texts = [bytes(one) for one in found.documents if isinstance(one, memoryview)]
            assert sum(b"=" in text for text in texts) == left
        hostile_source.asked, hostile_source.answer = [], damaged(99, 6)
        with pytest.raises(SourceError, match="got a page in which 6 of 10 users are not JSON"):
            client(hostile_source, **day)
        assert len(hostile_source.asked) > 1


def test_a_surrogate_and_a_0x7f_in_one_page(pipeline: Pipeline, source: Hostile) -> None:
    def change(found: list[bytes]) -> None:
        found[3], found[5] = rb'{"a":"\ud800"}', b'{"a":"\x7f"}'

    source.answer = page(change, people(pipeline.stack.standin_url))
    pipeline.set("source", deadline=20, read_timeout=10, page_size=20)
    pipeline.set("rules", rejected_percent_max=20)
    days.run(DATE, *STEPS)
    rejected = pipeline.rows("SELECT position FROM rejected_users ORDER BY position")
    assert rejected == [(3,), (5,)]


def test_a_header_that_is_kept_cannot_spoil_the_day(pipeline: Pipeline, source: Hostile) -> None:
    documents = people(pipeline.stack.standin_url)
    source.answer = lambda asked, sock: sock.sendall(
        http(page_of(asked, documents(asked)), headers=["Server: ev\x00il\x1b[2J" + "x" * 9_000])
    )
    pipeline.set("source", deadline=20, read_timeout=10)
    days.run(DATE, *STEPS)
    (server,) = {row.details["server"] for row in attempts(pipeline) if "server" in row.details}
    assert server.startswith(r"ev\x00il\x1b[2Jxxx")
    assert len(server) < 300
    (verdict,) = verify([DATE])
    assert verdict.problems == []


def test_trace_shows_no_escape_of_a_document(pipeline: Pipeline, source: Hostile) -> None:
    key = "00000000-0000-4000-8000-000000000000"

    def change(found: list[bytes]) -> None:
        user = json.loads(found[3])
        user["login"]["uuid"], user["location"]["city"] = key, "\x1b[2J\u2028\x85\u202eForged"
        user["odd"] = "\x9b2J" + "y" * 6_000
        found[3] = json.dumps(user).encode()

    source.answer = page(change, people(pipeline.stack.standin_url))
    pipeline.set("source", deadline=20, read_timeout=10, page_size=20)
    pipeline.set("rules", rejected_percent_max=20)
    days.run(DATE, *STEPS)
    shown = pipeline.run("workflow", "trace", str(DATE), key).stdout
    assert "Forged" in shown
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", shown)
    assert max(map(len, shown.split("\n"))) < 10_000


# ---- `workflow stack source` ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("header byte by byte", "no response within 1 s"),
        ("endless 100 Continue", "unreachable|no response within 1 s"),
        ("body byte by byte", "no response within 1 s"),
        ("redirect, endless body", "status 302"),
        ("gzip of 1 GB", "the response has more than 1,000,000 bytes"),
        ("endless headers", "unreachable"),
        ("lists in a list", "unreachable|the response has more than 1,000,000 bytes"),
        ("escapes as error", "the response is not JSON with a user"),
        ("status 999", "status 999"),
    ],
)
def test_no_answer_holds_stack_source(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.setattr(stack_source, "RESPONSE_SECONDS", 1.0)
    with Hostile(NO_PAGE[name][0]) as source:
        load_config(configure(tmp_path, source))
        began = time.monotonic()
        url, sentence = stack_source.choose("auto")
        assert time.monotonic() - began < 1 + GRACE
        assert url != source.url
        assert re.search(rf"cannot be used \(({said})\)\.", sentence), sentence


def test_stack_source_takes_a_well_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    with Hostile(sends(http(b'{"results":[{}],"info":{}}'))) as source:
        load_config(configure(tmp_path, source))
        assert stack_source.choose("auto")[0] == source.url
