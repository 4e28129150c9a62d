"""Rehearsals over HTTP: a plan of faults laid over the API's answers.

    /faults/NAME/PLAN/api/1.4/   the API with the plan of the path
    /faults/NAME/api/1.4/        the API with the plan that was put
    /faults/NAME                 PUT a plan (it begins anew), GET how far it is, DELETE it

A NAME is one rehearsal with its own counts, so two of them never disturb each other.
"""

import asyncio
import contextlib
import json
import math
import re

from tornado.iostream import StreamClosedError

from workflow.errors import SettingsError
from workflow.standin.contract import (
    JSON,
    PLAIN,
    Answer,
    UsersPerWindow,
    answer,
    question,
)
from workflow.standin.faults import Delivery, Rehearsal
from workflow.standin.handler import ApiHandler

#: Pieces of a body that comes slowly.
PIECES = 50

_API = re.compile(r"/faults/(?P<name>[\w.-]+)(?:/(?P<plan>[^/]+))?(?P<path>/api(/[^/]*)?/?)")
_CONTROL = re.compile(r"/faults/(?P<name>[\w.-]+)/?")


class Rehearsals(dict[str, Rehearsal]):
    """The rehearsals of a server by name."""

    def put(self, name: str, plan: str) -> None:
        """Begin a rehearsal anew. Raises SettingsError for a plan that cannot be read."""
        self[name] = Rehearsal(plan)

    def of_path(self, name: str, plan: str | None) -> Rehearsal:
        """The rehearsal that an API request belongs to; a plan in its path begins it.

        Raises SettingsError for a plan that cannot be read, KeyError where there is none.
        """
        if plan is not None and (name not in self or self[name].plan != plan):
            self.put(name, plan)
        return self[name]


class RehearsalHandler(ApiHandler):
    """Every request below /faults/."""

    def initialize(self, limit: UsersPerWindow, rehearsals: Rehearsals) -> None:  # type: ignore[override]
        super().initialize(limit)
        self.rehearsals = rehearsals
        self.left = asyncio.Event()

    def compute_etag(self) -> None:
        """None for what is wrong: a client that knew it would be told 304."""

    def on_connection_close(self) -> None:
        self.left.set()

    async def respond(self, *_: str) -> None:
        path = self.request.path
        try:
            if found := _API.fullmatch(path):
                rehearsal = self.rehearsals.of_path(found["name"], found["plan"])
                await self._answer(rehearsal, found["path"])
            elif found := _CONTROL.fullmatch(path):
                await self._control(found["name"])
            else:
                await self._refuse(404, "write it like /faults/NAME/api/1.4/")
        except (SettingsError, UnicodeDecodeError) as exc:
            await self._refuse(400, str(exc))
        except KeyError as exc:
            await self._refuse(404, f"no rehearsal {exc} is known, PUT its plan first")

    get = head = post = put = patch = delete = options = respond

    async def _refuse(self, status: int, sentence: str) -> None:
        # the reason phrase is what the pipeline's own error shows
        self.set_status(status, sentence if sentence.isascii() else None)
        self.set_header("Content-Type", PLAIN)
        await self.finish(f"{sentence}\n")

    async def _control(self, name: str) -> None:
        match self.request.method:
            case "PUT":
                self.rehearsals.put(name, self.request.body.decode())
                report = self.rehearsals[name].report()
            case "DELETE":
                report = self.rehearsals.pop(name).report()
            case _:
                report = self.rehearsals[name].report()
        body = json.dumps(report, indent=2) + "\n"
        await self.send(Answer(status=200, body=body.encode(), headers={"Content-Type": JSON}))

    async def _answer(self, rehearsal: Rehearsal, path: str) -> None:
        request = self.request
        method, query = str(request.method), request.query
        given = answer(method, path, query, client=self.client(), limit=self.limit)
        if given.status != 200:  # no users to spoil
            await self.send(given)
            return
        delivery = rehearsal.deliver(question(query), given)
        if delivery == Delivery(answer=given):
            await self.send(given)
            return
        # a client that leaves early is what most of these are made for
        with contextlib.suppress(StreamClosedError):
            await self._deliver(delivery)

    async def _deliver(self, delivery: Delivery) -> None:
        """Send an answer as wrongly as it is meant, never gzipped."""
        if await self._left_within(delivery.delay) or delivery.silent:
            self.detach().close()
            return
        body = delivery.answer.body
        self.set_status(delivery.answer.status)
        for name, value in delivery.answer.headers.items():
            self.set_header(name, value)
        self.set_header("Content-Length", str(len(body)))
        if delivery.cut:
            self.write(body[: len(body) // 2])
            await self.flush()
            self.detach().close()
            return
        if delivery.seconds:
            size = -(-len(body) // PIECES)
            for start in range(0, len(body), size):
                self.write(body[start : start + size])
                await self.flush()
                if await self._left_within(delivery.seconds / PIECES):
                    break
        else:
            self.write(body)
        await self.finish()

    async def _left_within(self, seconds: float) -> bool:
        """Wait; whether the client left meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds if seconds < math.inf else None):
                await self.left.wait()
        return self.left.is_set()
