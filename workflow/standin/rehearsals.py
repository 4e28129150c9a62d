"""Rehearsals over HTTP: a plan of faults laid over the API's responses.

    /faults/NAME/PLAN/api/1.4/   the API with the plan in the path
    /faults/NAME/api/1.4/        the API with the plan that was PUT
    /faults/NAME                 PUT a plan (starts over), GET its progress, DELETE it

Each NAME is a rehearsal with its own counts, so rehearsals never disturb each other.
"""

import asyncio
import contextlib
import json
import math
import re

from tornado.iostream import StreamClosedError

from workflow.errors import SettingsError
from workflow.standin.contract import JSON, PLAIN, Response, UsersPerWindow, parse_query
from workflow.standin.faults import Delivery, Rehearsal
from workflow.standin.handler import ApiHandler

#: Pieces of a body that comes slowly.
PIECES = 50

#: How much padding is held at a time, in bytes.
PADDING = 1_000_000

_API = re.compile(r"/faults/(?P<name>[\w.-]+)(?:/(?P<plan>[^/]+))?(?P<path>/api(/[^/]*)?/?)")
_CONTROL = re.compile(r"/faults/(?P<name>[\w.-]+)/?")


class RehearsalHandler(ApiHandler):
    """Every request below /faults/."""

    def initialize(self, limit: UsersPerWindow, rehearsals: dict[str, Rehearsal]) -> None:  # type: ignore[override]
        super().initialize(limit)
        self.rehearsals = rehearsals
        self.left = asyncio.Event()

    def compute_etag(self) -> None:
        """None, so that tornado adds no ETag to a fault: its client would get 304 next time."""

    def on_connection_close(self) -> None:
        self.left.set()

    async def handle(self, *_: str) -> None:
        path = self.request.path
        try:
            if found := _API.fullmatch(path):
                await self._api(**found.groupdict())
            elif found := _CONTROL.fullmatch(path):
                await self._control(found["name"])
            else:
                await self._refuse(404, "write it like /faults/NAME/api/1.4/")
        except (SettingsError, UnicodeDecodeError) as exc:
            await self._refuse(400, str(exc))
        except KeyError as exc:
            await self._refuse(404, f"no rehearsal {exc} is known, PUT its plan first")

    get = head = post = put = patch = delete = options = handle

    async def _refuse(self, status: int, sentence: str) -> None:
        # the reason phrase is what the pipeline's own error shows
        self.set_status(status, sentence if sentence.isascii() else None)
        self.set_header("Content-Type", PLAIN)
        await self.finish(f"{sentence}\n")

    async def _control(self, name: str) -> None:
        if self.request.method == "PUT":
            self.rehearsals[name] = Rehearsal(self.request.body.decode())
        report = json.dumps(self.rehearsals[name].report(), indent=2) + "\n"
        if self.request.method == "DELETE":
            del self.rehearsals[name]
        await self.send(Response(status=200, body=report.encode(), headers={"Content-Type": JSON}))

    async def _api(self, name: str, plan: str | None, path: str) -> None:
        known = self.rehearsals.get(name)
        if plan is not None and (known is None or known.plan != plan):
            self.rehearsals[name] = Rehearsal(plan)
        rehearsal = self.rehearsals[name]
        response = self.response(path)
        if response.status != 200:  # no users to spoil
            await self.send(response)
            return
        delivery = rehearsal.deliver(parse_query(self.request.query), response)
        if delivery == Delivery(response=response):
            await self.send(response)
            return
        # most faults are meant to make a client leave early
        with contextlib.suppress(StreamClosedError):
            await self._deliver(delivery)

    async def _deliver(self, delivery: Delivery) -> None:
        """Send a response with its fault, never gzipped."""
        if await self._left_within(delivery.delay) or delivery.silent:
            self.detach().close()
            return
        body = delivery.response.body
        self.set_status(delivery.response.status)
        for name, value in delivery.response.headers.items():
            self.set_header(name, value)
        self.set_header("Content-Length", str(delivery.padding + len(body)))
        for start in range(0, delivery.padding, PADDING):
            self.write(b" " * min(PADDING, delivery.padding - start))
            await self.flush()  # the next piece once this one has left
        if delivery.cut:
            self.write(body[: len(body) // 2])
            await self.flush()
            self.detach().close()
            return
        if delivery.seconds:
            size = math.ceil(len(body) / PIECES)
            for start in range(0, len(body), size):
                self.write(body[start : start + size])
                await self.flush()
                if await self._left_within(delivery.seconds / PIECES):
                    break
        else:
            self.write(body)
        await self.finish()

    async def _left_within(self, seconds: float) -> bool:
        """Wait `seconds`, or until the client leaves; tells whether it left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds if seconds < math.inf else None):
                await self.left.wait()
        return self.left.is_set()
