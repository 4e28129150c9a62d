"""The stand-in's HTTP server: it takes a request, asks `contract.answer`, sends the Answer."""

import asyncio
import errno
import gzip
import signal

import click
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from workflow.errors import StackError
from workflow.stack.standin.contract import Answer, UsersPerWindow, answer

GZIP_LEVEL = 1
GZIP_FROM = 1024  # bytes; the API sends shorter bodies as they are


class ApiHandler(RequestHandler):
    """Any request with any method; `contract.answer` decides what becomes of it."""

    def initialize(self, limit: UsersPerWindow) -> None:
        self.limit = limit

    def set_default_headers(self) -> None:
        self.clear_header("Content-Type")
        self.set_header("Server", "randomuser-standin")
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Vary", "Accept-Encoding")

    async def respond(self, *_: str) -> None:
        request = self.request
        await self.send(
            answer(
                str(request.method),
                request.path,
                request.query,
                client=self.client(),
                limit=self.limit,
            )
        )

    get = head = post = put = patch = delete = options = respond

    def client(self) -> str:
        """The address that the limit is counted for."""
        for header in ("CF-Connecting-IP", "X-Real-IP", "X-Forwarded-For"):
            if address := self.request.headers.get(header):
                return address
        return str(self.request.remote_ip)

    async def send(self, response: Answer) -> None:
        """Send an Answer: whole, or with gzip and then chunked, or 304 if it is known."""
        self.set_status(response.status)
        for name, value in response.headers.items():
            self.set_header(name, value)
        if self.check_etag_header():
            self.set_status(304)
            await self.finish()
            return
        accepted = self.request.headers.get("Accept-Encoding", "")
        if "gzip" not in accepted or len(response.body) < GZIP_FROM:
            await self.finish(response.body or None)
            return
        self.set_header("Content-Encoding", "gzip")
        self.write(gzip.compress(response.body, GZIP_LEVEL, mtime=0))
        await self.flush()  # without Content-Length, so chunked
        await self.finish()


def application(limit: UsersPerWindow) -> Application:
    """The web application, without a log line per request."""
    return Application([(r".*", ApiHandler, {"limit": limit})], log_function=lambda _: None)


async def serve(address: str, port: int, limit: UsersPerWindow) -> None:
    """Serve until SIGTERM or SIGINT; one line on stdout says where, once it answers.

    Port 0 is any free port. Raises StackError if the address cannot be listened on.
    """
    try:
        sockets = bind_sockets(port, address)
    except OSError as exc:
        what = "is taken" if exc.errno == errno.EADDRINUSE else f"cannot be used ({exc.strerror})"
        raise StackError(
            f"Address {address}:{port} {what}, so the stand-in did not start; "
            "choose another with --port or --address."
        ) from exc
    server = HTTPServer(application(limit))
    server.add_sockets(sockets)
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    host = f"[{address}]" if ":" in address else address
    click.echo(
        "RandomUser stand-in (invented people): "
        f"http://{host}:{sockets[0].getsockname()[1]}/api/1.4/"
    )
    await stop.wait()
    server.stop()
    await server.close_all_connections()
