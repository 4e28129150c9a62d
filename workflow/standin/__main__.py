"""Command line of the stand-in: `python -m workflow.standin --port 18080`."""

import asyncio

import click

from workflow.errors import StackError
from workflow.standin.contract import UsersPerWindow
from workflow.standin.server import serve


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
    try:
        asyncio.run(serve(address, port, UsersPerWindow(users_per_window, window_seconds)))
    except StackError as exc:
        raise click.ClickException(str(exc)) from exc


if __name__ == "__main__":
    main(prog_name="python -m workflow.standin")
