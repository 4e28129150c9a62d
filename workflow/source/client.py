"""The client of the RandomUser API: pages in, checked raw documents out.

docs/source-api.md has the facts about the API. What matters here: it sends one user and
status 200 instead of an error, hangs instead of failing, and limits users per window. So a
response counts only when everything that it echoes matches the request. Any other
is requested again, with growing, jittered waits, until the extraction's deadline.
"""

import logging
import re
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

import msgspec
import requests
import tenacity
import urllib3

from workflow.errors import SourceError, innermost
from workflow.extraction import Extraction, Page
from workflow.settings import source
from workflow.source import pacing

log = logging.getLogger(__name__)

#: Statuses worth a retry; any other 4xx will not change by itself.
RETRIED_STATUSES = frozenset({408, 425, 429}) | frozenset(range(500, 600))

#: A user of 1.4 has about 1,100 bytes; a body with far more cannot match the request.
BODY_BYTES_PER_USER_MAX = 20_000

WAIT_MAX = 30.0  # s between two attempts


class _Info(msgspec.Struct):
    seed: str
    results: int
    page: float  # the API keeps 1.5 as it is
    version: str


class _Body(msgspec.Struct):
    """`results` stays raw: what we store is what was sent, byte for byte."""

    info: _Info
    results: list[msgspec.Raw]


_decode = msgspec.json.Decoder(_Body).decode

# an escape; the group is the half of a surrogate pair, whole or alone
_ESCAPE = re.compile(rb"\\(?:(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL)
_DELETE = b"\x7f"


def _split(body: bytes) -> tuple[_Info, list[str]]:
    """The info of a body, and each user's document as it was sent.

    RFC 8259 allows an escape like \\ud800 outside a pair, msgspec does not. Such a user must
    become one reject and not make the page unusable, so those escapes are hidden from msgspec
    behind a character that the body does not contain.

    Raises msgspec.ValidationError for other JSON, msgspec.DecodeError or UnicodeDecodeError.
    """
    try:
        parsed = _decode(body)
        return parsed.info, [str(document, "utf-8") for document in parsed.results]
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        hidden = _ESCAPE.sub(lambda m: _DELETE + m[1] if m[1] else m[0], body)
        if hidden == body or _DELETE in body:
            raise
    parsed = _decode(hidden)
    return parsed.info, [
        bytes(document).replace(_DELETE, b"\\").decode() for document in parsed.results
    ]


class _AttemptFailed(Exception):
    """An attempt that gave no page, said by a verb; another may. `retry_after` is in s."""

    def __init__(self, verb: str, retry_after: float | None = None) -> None:
        super().__init__(verb)
        self.retry_after = retry_after


class Client:
    """Fetches pages of one extraction, several at a time, within one deadline.

    Use as a context manager: leaving it closes all connections.

    Raises SettingsError when a page can never fit into the source's window.
    """

    def __init__(self, extraction: Extraction) -> None:
        pacing.require_pages_that_fit(extraction.url, extraction.page_size)
        self._extraction = extraction
        self._cfg = source()
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "batch-workflow"
        if pacing.is_loopback(extraction.url):
            # compression costs more there than it saves
            self._session.headers["Accept-Encoding"] = "identity"
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=self._cfg.requests_in_flight)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._lock = threading.Lock()
        self._deadline = time.monotonic() + self._cfg.deadline
        self._paced_until = 0.0
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._session.close()

    def pages(self, numbers: Iterable[int]) -> Iterator[Page]:
        """The pages of these numbers, in the order in which they arrive.

        At most `[source] requests_in_flight` requests or unconsumed pages are held.

        Raises SourceError when a page did not arrive before the deadline, or never will.
        """
        todo = iter(numbers)
        with ThreadPoolExecutor(self._cfg.requests_in_flight, "page") as executor:
            pending: set[Future[Page]] = set()
            try:
                while True:
                    for number in todo:
                        pending.add(executor.submit(self._page, number))
                        if len(pending) == self._cfg.requests_in_flight:
                            break
                    if not pending:
                        return
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    while done:
                        yield done.pop().result()
            finally:
                if pending:  # a page failed, or the caller gave up
                    self._stopped.set()
                    executor.shutdown(wait=False, cancel_futures=True)

    def _page(self, number: int) -> Page:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_AttemptFailed),
            wait=_wait,
            stop=lambda _: self._stopped.is_set() or time.monotonic() >= self._deadline,
            sleep=self._sleep,
            before_sleep=self._report,
            reraise=True,
        )
        try:
            return retrying(self._ask, number)
        except _AttemptFailed as exc:
            cfg, extraction = self._cfg, self._extraction
            raise SourceError(
                f"{extraction.url} did not deliver page {number} of {extraction.pages} within "
                f"{cfg.deadline:g} s ([source] deadline); the last attempt {exc}. "
                "The pages that arrived are kept: run the date again to fetch the others."
            ) from exc

    def _sleep(self, seconds: float) -> None:
        self._stopped.wait(max(0.0, min(seconds, self._deadline - time.monotonic())))

    def _report(self, state: tenacity.RetryCallState) -> None:
        if state.outcome is not None and state.next_action is not None:
            log.warning(
                "%s: page %d, attempt %d %s; retrying in %.1f s",
                self._extraction.url,
                state.args[0],
                state.attempt_number,
                state.outcome.exception(),
                state.next_action.sleep,
            )

    def _pace(self, users: int) -> None:
        """Wait for the source's window; that moves the deadline, once for all threads."""
        started = time.monotonic()
        if pacing.reserve(self._extraction.url, users, self._stopped) < 1:
            return
        with self._lock:
            now = time.monotonic()
            self._deadline += max(0.0, now - max(started, self._paced_until))
            self._paced_until = now

    def _ask(self, number: int) -> Page:
        rows = self._extraction.page_rows(number)
        self._pace(rows)
        body, server = self._get(number, rows)
        try:
            info, documents = _split(body)
        except msgspec.ValidationError as exc:
            error = _error_text(body)
            raise _AttemptFailed(
                f"got a response that is not a page of users ({error or exc})"
            ) from exc
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise _AttemptFailed(
                f"got a response that is not JSON ({len(body):,} bytes, {exc})"
            ) from exc
        extraction = self._extraction
        for what, got, asked in (
            ("API version", info.version, extraction.api_version),
            ("seed", info.seed, extraction.seed),
            ("page", info.page, number),
            ("users", info.results, rows),
            ("users in the list", len(documents), rows),
        ):
            if got != asked:
                raise _AttemptFailed(
                    f"got a response that does not match the request ({what}: {got!r}, "
                    f"not {asked!r})"
                )
        return Page(
            number=number,
            offset=extraction.offset(number),
            documents=documents,
            server=server,
        )

    def _get(self, number: int, rows: int) -> tuple[bytes, str]:
        cfg, extraction = self._cfg, self._extraction
        limit = 100_000 + BODY_BYTES_PER_USER_MAX * rows
        started = time.monotonic()
        try:
            with self._session.get(
                extraction.url,
                params=extraction.query(number),
                timeout=(cfg.connect_timeout, cfg.read_timeout),
                stream=True,
            ) as response:
                self._check_status(response)
                body = bytearray()
                # read1 returns what has arrived, iter_content would wait for a full chunk
                while chunk := response.raw.read1(1 << 18, decode_content=True):
                    body += chunk
                    if len(body) > limit:
                        raise _AttemptFailed(f"got a body of more than {limit:,} bytes")
                    # the read timeout is per read: a slow drip would never run into it
                    if time.monotonic() - started > cfg.read_timeout:
                        raise _AttemptFailed(
                            f"got a body that took longer than {cfg.read_timeout:g} s"
                        )
                return bytes(body), response.headers.get("Server", "")
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as exc:
            raise _AttemptFailed("timed out") from exc
        except (requests.RequestException, urllib3.exceptions.HTTPError) as exc:
            raise _AttemptFailed(f"got no response ({str(innermost(exc))[:200]})") from exc

    def _check_status(self, response: requests.Response) -> None:
        if response.status_code == 200:
            return
        status = f"status {response.status_code} {response.reason}".rstrip()
        if response.status_code not in RETRIED_STATUSES:
            raise SourceError(
                f"{self._extraction.url} returned {status}, which a retry will not change; "
                "check [source] url (--source-url)."
            )
        after = response.headers.get("Retry-After", "")
        raise _AttemptFailed(f"got {status}", float(after) if after.isdigit() else None)


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds until the next attempt: growing and jittered, or what the server asks for."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _AttemptFailed) and error.retry_after is not None:
        return min(error.retry_after, 10 * WAIT_MAX)
    return tenacity.wait_random_exponential(multiplier=0.5, max=WAIT_MAX)(state)


def _error_text(body: bytes) -> str | None:
    """The API's own words in a body like `{"error": "…"}`."""
    try:
        error = msgspec.json.decode(body).get("error")
    except (AttributeError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return str(error)[:200] if error else None
