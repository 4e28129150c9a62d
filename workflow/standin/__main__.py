"""The command line of the stand-in: where it listens, how it starts and stops."""

import asyncio
import errno
import signal

import click
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from workflow.standin.contract import UsersPerWindow
from workflow.standin.handler import ApiHandler
from workflow.standin.rehearsals import RehearsalHandler


@click.command()
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="0: any free port.")
@click.option(
    "--users-per-window",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Users that a client may have per window before it gets 429; 0: no limit.",
)
@click.option(
    "--window-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Length of that window.",
)
def main(address: str, port: int, users_per_window: int, window_seconds: float) -> None:
    """Stand in for the RandomUser API 1.4 with invented people, until SIGTERM or Ctrl-C."""
    asyncio.run(serve(address, port, UsersPerWindow(users_per_window, window_seconds)))


async def serve(address: str, port: int, limit: UsersPerWindow) -> None:
    """Serve until SIGTERM or SIGINT; one line on stdout says where, once it accepts requests.

    Raises ClickException if the address cannot be listened on.
    """
    try:
        sockets = bind_sockets(port, address)
    except OSError as exc:
        what = "is taken" if exc.errno == errno.EADDRINUSE else f"cannot be used ({exc.strerror})"
        raise click.ClickException(
            f"Address {address}:{port} {what}, so the stand-in did not start; "
            "choose another with --port or --address."
        ) from exc
    application = Application(
        [
            (r"/faults/.*", RehearsalHandler, {"limit": limit, "rehearsals": {}}),
            (r".*", ApiHandler, {"limit": limit}),
        ],
        log_function=lambda _: None,  # no log line per request
    )
    server = HTTPServer(application)
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


if __name__ == "__main__":
    main(prog_name="python -m workflow.standin")
