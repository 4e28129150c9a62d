"""The client of the RandomUser API: pages in, checked raw documents out.

docs/source-api.md has the facts about the API. What matters here: it sends one user and
status 200 instead of an error, hangs instead of failing, and limits users per window. So a
response counts only when everything that it echoes matches the request. Any other
is requested again, with growing, jittered waits, until the extraction's deadline. wire.py bounds
what a response may take, answer.py reads it.
"""

import logging
import re
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

import requests
import tenacity
import urllib3

from workflow.errors import SourceError, innermost
from workflow.extraction import Extraction, Page
from workflow.printable import printable
from workflow.settings import source
from workflow.source import answer, pacing, wire

log = logging.getLogger(__name__)

#: Statuses that will not change by themselves: a wrong address, or a request that is refused.
FINAL_STATUSES = frozenset({301, 308, *range(400, 500)}) - {408, 425, 429}

#: The largest page of 1.4, 5,000 users, has about 6 MB. By default four are held at a time, and may
#: not take 100 MB more than usual.
BODY_BYTES_MAX = 12_000_000

#: What a response may have besides its body.
FRAME_BYTES_MAX = 1_000_000

WAIT_MAX = 30.0  # s between two attempts

LAST_ATTEMPT = 1.0  # s for the attempt that begins when the deadline is reached


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
        self._lock = threading.Lock()
        self._deadline = time.monotonic() + self._cfg.deadline
        self._paced_until = 0.0
        self._stopped = threading.Event()
        self._odd_pages: set[int] = set()
        self._session = wire.Session(
            wire.Bounds(
                seconds=lambda: min(self._cfg.read_timeout, self._left()),
                size=BODY_BYTES_MAX + FRAME_BYTES_MAX,
                stopped=self._stopped,
            ),
            connections=self._cfg.requests_in_flight,
        )
        if pacing.is_loopback(extraction.url):
            # compression costs more there than it saves
            self._session.headers["Accept-Encoding"] = "identity"

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

    def _left(self) -> float:
        """How long an attempt that begins now may take, in s."""
        return max(LAST_ATTEMPT, self._deadline - time.monotonic())

    def _may_read_on(self) -> bool:
        return not self._stopped.is_set() and time.monotonic() < self._deadline + LAST_ATTEMPT

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
        extraction = self._extraction
        rows = extraction.page_rows(number)
        self._pace(rows)
        body, server = self._get(number)
        try:
            info, users = answer.info_of(body, self._may_read_on)
            self._require_asked(info, number)
            documents, not_json = answer.documents_of(users, rows, self._may_read_on)
        except answer.NotThePageError as exc:
            raise _AttemptFailed(str(exc)) from exc
        if not_json:
            self._require_as_sent(number, not_json, rows)
        return Page(
            number=number,
            offset=extraction.offset(number),
            documents=documents,
            server=printable(server, answer.QUOTED_MAX),
        )

    def _require_asked(self, info: answer.Info, number: int) -> None:
        extraction = self._extraction
        for what, got, asked in (
            ("API version", info.version, extraction.api_version),
            ("seed", info.seed, extraction.seed),
            ("page", info.page, number),
            ("users", info.results, extraction.page_rows(number)),
        ):
            if got != asked:
                raise answer.NotThePageError(
                    "got a response that does not match the request "
                    f"({what}: {printable(repr(got), answer.QUOTED_MAX)}, not {asked!r})"
                )

    def _require_as_sent(self, number: int, not_json: int, rows: int) -> None:
        """Ask a second time before documents that are not JSON are taken for what the API sends.

        One may be wrong at its source; more than half of a page was damaged on its way.
        """
        first = number not in self._odd_pages
        self._odd_pages.add(number)
        if first or not_json > max(1, rows / 2):
            raise _AttemptFailed(f"got a page in which {not_json:,} of {rows:,} users are not JSON")

    def _get(self, number: int) -> tuple[bytearray, str]:
        cfg, extraction = self._cfg, self._extraction
        left = self._left()
        try:
            with self._session.get(
                extraction.url,
                params=extraction.query(number),
                timeout=(min(cfg.connect_timeout, left), min(cfg.read_timeout, left)),
                stream=True,
            ) as response:
                self._check_status(response)
                body = wire.body_of(response, BODY_BYTES_MAX)
                return body, response.headers.get("Server", "")
        except wire.BodyTooLongError as exc:
            raise _AttemptFailed(f"got a body of more than {BODY_BYTES_MAX:,} bytes") from exc
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as exc:
            raise _AttemptFailed("timed out") from exc
        except (requests.RequestException, urllib3.exceptions.HTTPError) as exc:
            reason = printable(str(innermost(exc)), answer.QUOTED_MAX)
            raise _AttemptFailed(f"got no response ({reason})") from exc

    def _check_status(self, response: requests.Response) -> None:
        status = response.status_code
        if status == 200:
            return
        headers = {
            name: printable(response.headers.get(name, ""), answer.QUOTED_MAX)
            for name in ("Location", "Retry-After")
        }
        reason = printable(response.reason or "", answer.QUOTED_MAX)
        said = f"status {status} {reason}".rstrip()
        if location := headers["Location"]:
            said += f", a redirect to {location}, which is not followed"
        if status in FINAL_STATUSES:
            raise SourceError(
                f"{self._extraction.url} returned {said}; a retry will not change that. "
                "Check [source] url (--source-url)."
            )
        after = re.fullmatch("[0-9]{1,6}", headers["Retry-After"])
        raise _AttemptFailed(f"got {said}", float(after[0]) if after else None)


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds until the next attempt: growing and jittered, or what the server asks for."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _AttemptFailed) and error.retry_after is not None:
        return min(error.retry_after, 10 * WAIT_MAX)
    return tenacity.wait_random_exponential(multiplier=0.5, max=WAIT_MAX)(state)
