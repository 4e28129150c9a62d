"""The stand-in's HTTP server: where it listens, how it starts and stops."""

import asyncio
import errno
import signal

import click
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from workflow.errors import StackError
from workflow.standin.contract import UsersPerWindow
from workflow.standin.handler import ApiHandler
from workflow.standin.rehearsals import RehearsalHandler, Rehearsals


def application(limit: UsersPerWindow) -> Application:
    """The web application, without a log line per request."""
    return Application(
        [
            (r"/faults/.*", RehearsalHandler, {"limit": limit, "rehearsals": Rehearsals()}),
            (r".*", ApiHandler, {"limit": limit}),
        ],
        log_function=lambda _: None,
    )


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
