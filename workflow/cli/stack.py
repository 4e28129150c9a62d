"""`workflow stack`: start, stop and inspect the local stack."""

import json
import os
import sys
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

# Each command imports what it needs: that comes with the extra `stack`, which an installation
# on a server lacks.
if TYPE_CHECKING:
    from workflow.stack.lifecycle import ServiceStatus


@click.group(name="stack")
def main() -> None:
    """The local stack: Cassandra, PostgreSQL, luigid, stand-in API."""


@main.command()
def up() -> None:
    """Start the services; return when all of them respond."""
    from workflow.stack import lifecycle

    _print_table(lifecycle.up())


@main.command()
def down() -> None:
    """Stop the services and keep their data."""
    from workflow.stack import lifecycle

    lifecycle.down()
    click.echo("The local stack is down; its data is kept.")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object with an object per service.")
def status(as_json: bool) -> None:
    """Show the services; the exit status is 0 if all of them respond."""
    from workflow.stack import lifecycle

    services = lifecycle.status()
    if as_json:
        click.echo(json.dumps({one.service.name: _as_json(one) for one in services}, indent=2))
    else:
        _print_table(services)
    sys.exit(any(one.state != "running" for one in services))


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Stop the services and remove their data."""
    from workflow.stack import lifecycle

    folders = ", ".join(str(one.service.data) for one in lifecycle.status() if one.service.data)
    if not yes:
        click.confirm(f"Remove all data of the local stack ({folders})?", abort=True)
    lifecycle.reset()
    click.echo("The local stack is down and its data is removed.")


@main.command()
@click.argument("wanted", type=click.Choice(["auto", "real", "standin"]), default="auto")
def source(wanted: str) -> None:
    """Print the URL for --source-url: the real API if it responds, else the stand-in."""
    from workflow.stack.source import choose

    url, sentence = choose(wanted)
    click.echo(sentence, err=True)
    click.echo(url)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> None:
    """Open the warehouse in psql; ARGUMENTS are psql's, for example -c QUERY."""
    from workflow.stack import place, postgresql

    program = postgresql.client("psql")
    os.execv(program, [program, postgresql.dsn(place.from_settings()), *arguments])


@main.command("lock-jars")
def lock_jars() -> None:
    """Lock the jars of the newest Cassandra 5.0 (maintainers)."""
    from workflow.stack import jars

    click.echo(f"Locked Cassandra {jars.write_lock(Console(stderr=True))} in {jars.LOCK}.")


def _as_json(one: "ServiceStatus") -> dict[str, object]:
    service = one.service
    return {
        "name": service.name,
        "state": one.state,
        "address": service.address,
        "host": service.host,
        "port": service.port,
        **service.connection,
        "data": service.data and str(service.data),
        "log": str(one.log),
        "pid": one.pid,
        "reason": one.reason,
    }


def _print_table(services: "list[ServiceStatus]") -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("service", "state", "address", "data and log"):
        table.add_column(title, overflow="fold")
    for one in services:
        where = [str(part) for part in (one.service.data, one.log, one.reason) if part]
        table.add_row(one.service.name, one.state, one.service.address, "\n".join(where))
    Console().print(table)
