"""The API client against a real local server that answers as it is told."""

import dataclasses
import datetime
import http.server
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT, Config, load_config, write_config
from workflow.errors import SettingsError, SourceError
from workflow.extraction import Extraction, Page
from workflow.source.client import Client

DATE = datetime.date(2026, 11, 20)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """A request as the server saw it; `line` is its first."""

    line: str
    seed: str
    page: int
    results: int
    headers: dict[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """Status, headers and body."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


def page_of(asked: Asked, **info: object) -> dict[str, Any]:
    """What the API says to a request, with parts of its `info` replaced."""
    users = [{"login": {"uuid": f"{asked.page}-{n}"}} for n in range(asked.results)]
    echoed = {"seed": asked.seed, "results": asked.results, "page": asked.page, "version": "1.4"}
    return {"results": users, "info": echoed | info}


def good(asked: Asked) -> Answer:
    return Answer(body=json.dumps(page_of(asked)).encode())


class Api:
    """A server whose answers are the script's, then good ones."""

    def __init__(self) -> None:
        self.script: list[Callable[[Asked], Answer]] = []
        self.asked: list[Asked] = []
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
                asked = Asked(
                    line=self.requestline,
                    seed=query["seed"],
                    page=int(query["page"]),
                    results=int(query["results"]),
                    headers={name.lower(): value for name, value in self.headers.items()},
                )
                api.asked.append(asked)
                self.send(api.script.pop(0)(asked) if api.script else good(asked))

            def send(self, answer: Answer) -> None:
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(answer.body)))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(answer.body)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/api/1.4/"


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    thread = threading.Thread(target=api.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield api
    api.server.shutdown()
    api.server.server_close()
    thread.join()


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: Api) -> Callable[..., None]:
    monkeypatch.chdir(PROJECT)

    def configure(**source: object) -> None:
        values = {"url": api.url, "users_per_day": 5, "page_size": 2, "deadline": 20} | source
        config: Config = {"source": {key: str(value) for key, value in values.items()}}
        load_config(write_config(tmp_path / "test.cfg", config))

    configure()
    return configure


def fetch(date: datetime.date = DATE) -> list[Page]:
    extraction = Extraction.of(date)
    with Client(extraction) as client:
        pages = client.pages(range(1, extraction.pages + 1))
        return sorted(pages, key=lambda page: page.number)


def texts(page: Page) -> list[bytes]:
    return [bytes(document) for document in page.documents if isinstance(document, memoryview)]


def test_a_day_comes_in_pages_that_fit_together(api: Api, configure: Callable[..., None]) -> None:
    pages = fetch()
    assert [(page.number, page.offset, len(page.documents)) for page in pages] == [
        (1, 0, 2),
        (2, 2, 2),
        (3, 4, 1),
    ]
    assert {asked.seed for asked in api.asked} == {"batch-20261120-users"}
    assert texts(pages[2]) == [b'{"login": {"uuid": "3-0"}}']


def test_the_seed_is_of_fixed_width_and_ends_in_a_letter(configure: Callable[..., None]) -> None:
    for date in (datetime.date(2026, 1, 2), datetime.date(1, 1, 1)):
        seed = Extraction.of(date).seed
        assert len(seed) == 20  # 18 would mean something else to the API
        assert seed[-1].isalpha()  # the page number is glued to it


@pytest.mark.parametrize(
    "raw",
    [
        '{"b":1.50,"a" : "\\u00e9é\u200c", "a":2}',
        # no half of a pair, at the end and before more; a pair; a backslash before a plain u
        r'{"a": "\ud800", "b":"é\uDC00x\ud83d\ude00\\ud800"}',
    ],
)
def test_documents_are_kept_byte_for_byte(
    api: Api, configure: Callable[..., None], raw: str
) -> None:
    configure(users_per_day=1)
    api.script = [
        lambda asked: Answer(
            body=b'{"results":[' + raw.encode() + b'],"info":'
            + json.dumps(page_of(asked)["info"]).encode() + b"}"
        )
    ]  # fmt: skip
    assert texts(fetch()[0]) == [raw.encode()]


# what the stand-in's faults do not do; all others are in test_bad_source.py
UNUSABLE: dict[str, Callable[[Asked], Answer]] = {
    "half a page": lambda asked: Answer(body=json.dumps(page_of(asked, page=1.5)).encode()),
    "a list": lambda _: Answer(body=b"[]"),
    "408": lambda _: Answer(status=408),
    "503 with a date as Retry-After": lambda _: Answer(
        status=503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}
    ),
}


@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_answer_is_asked_again(
    api: Api, configure: Callable[..., None], answer: Callable[[Asked], Answer]
) -> None:
    configure(users_per_day=2)
    api.script = [answer]
    (page,) = fetch()
    assert len(page.documents) == 2
    assert len(api.asked) == 2


def test_a_source_that_stays_sick_ends_at_the_deadline(
    api: Api, configure: Callable[..., None]
) -> None:
    configure(users_per_day=2, deadline=1)
    api.script = [lambda _: Answer(status=500)] * 100
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"page 1 of 1 within 1 s .*status 500"):
        fetch()
    assert time.monotonic() - started < 3


def test_nobody_listens(configure: Callable[..., None]) -> None:
    configure(url="http://127.0.0.1:9/api/1.4/", deadline=1)
    with pytest.raises(SourceError, match="Connection refused"):
        fetch()


def test_requests_in_flight_are_bounded(api: Api, configure: Callable[..., None]) -> None:
    configure(users_per_day=20, page_size=1, requests_in_flight=3)
    running, most = 0, 0
    lock = threading.Lock()

    def slow(asked: Asked) -> Answer:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return good(asked)

    api.script = [slow] * 20
    assert len(fetch()) == 20
    assert 1 < most <= 3


def test_a_dead_proxy_is_left_out_on_loopback(
    api: Api, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert len(fetch()) == 3


def test_a_url_without_version_is_refused(configure: Callable[..., None]) -> None:
    for url in ("http://127.0.0.1/api/", "ftp://host/api/1.4/", "randomuser.me/api/1.4/", ""):
        configure(url=url)
        with pytest.raises(SettingsError, match="not the address of an API with its version"):
            Extraction.of(DATE)
