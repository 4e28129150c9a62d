"""The command line: parse, call, print."""

import datetime
import itertools
import json
import sys
import uuid
from typing import Any

import click
import luigi.interface

from spark_apps.users import KEY, Key
from workflow import settings
from workflow.cli import display
from workflow.cli.display import count_dates, line
from workflow.cli.stack import main as stack
from workflow.errors import SettingsError, WorkflowError
from workflow.ledger import runs
from workflow.ops.data import page
from workflow.ops.difference import difference
from workflow.ops.plan import DatePlan
from workflow.ops.plan import plan as make_plan
from workflow.ops.run import run_due, settings_from
from workflow.ops.trace import trace as make_trace
from workflow.ops.verify import verify
from workflow.step import Step
from workflow.stores import migrate, warehouse
from workflow.tasks import RunDaily

_KEY = click.UUID if issubclass(Key, uuid.UUID) else Key  # click has a type of its own for UUIDs


class Sentences(click.Group):
    """A group that prints an error of ours as its sentence, with exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except WorkflowError as exc:
            raise click.ClickException(str(exc)) from exc


class PartitionDate(click.ParamType[datetime.date]):
    """YYYY-MM-DD, not in the future."""

    name = "date"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime.date:
        try:
            date = datetime.date.fromisoformat(value)
        except ValueError:
            sentence = f"{value!r} is not a date of the calendar; write it as YYYY-MM-DD."
            self.fail(sentence, param, ctx)
        if date > settings.utc_today():
            sentence = (
                f"{date} is in the future: today is {settings.utc_today()} in UTC. "
                "Choose today's date or an earlier one."
            )
            self.fail(sentence, param, ctx)
        return date


@click.group(cls=Sentences, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="batch-workflow")
def main() -> None:
    """The daily batch of users: RandomUser API, Cassandra, Spark, PostgreSQL.

    START alone means that date only; STOP is inclusive.
    """


main.add_command(stack)


def _last(start: datetime.date, stop: datetime.date | None) -> datetime.date:
    """The last date of a range, inclusive. Raises SettingsError for a reversed one."""
    if stop and stop < start:
        raise SettingsError(
            f"The range {start} to {stop} is reversed; write the earlier date first."
        )
    return stop or start


@main.command("init-db")
def init_db_command() -> None:
    """Create or update the schemas of PostgreSQL and Cassandra."""
    settings.check()
    migrate.apply(line)
    line("The schemas of PostgreSQL and Cassandra are up to date.")


_DATES_AND_LUIGIS_OPTIONS: dict[str, Any] = {
    "context_settings": {"ignore_unknown_options": True},
    "epilog": "OPTIONS are Luigi's, settings among them: --source-url URL, --local-scheduler, …",
}


@main.command(**_DATES_AND_LUIGIS_OPTIONS)
@click.argument(
    "arguments", nargs=-1, type=click.UNPROCESSED, metavar="[START [STOP]] [OPTIONS]..."
)
@click.pass_context
def run(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Run the dates that are due, today (UTC) by default, and show the result."""
    _run_due(*_dates_and_options(ctx, arguments))


@main.command(**_DATES_AND_LUIGIS_OPTIONS)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="START [STOP] [OPTIONS]...")
@click.option(
    "--from",
    "step",
    required=True,
    type=click.Choice([step.__name__ for step in Step.__subclasses__()]),
    help="The step to run again; the steps that follow it run, too.",
)
@click.option("--reason", help="Why; the ledger keeps it.")
@click.option("--mark-only", is_flag=True, help="Only mark it as due for the next run.")
@click.pass_context
def rerun(
    ctx: click.Context, arguments: tuple[str, ...], step: str, reason: str | None, mark_only: bool
) -> None:
    """Run a step of a date again, and the steps that follow it. The ledger keeps old runs."""
    if not arguments or arguments[0].startswith("-"):
        raise click.UsageError(
            "The date is missing; write it first: workflow rerun 2026-11-20 --from STEP.", ctx
        )
    dates, options = _dates_and_options(ctx, arguments)
    with settings_from(options):
        settings.check()
        version = RunDaily(date=dates[0]).versions()[step]
        runs.invalidate(step, dates, logic_version=version, reason=reason)
    which = str(dates[0]) if len(dates) == 1 else count_dates(len(dates))
    line(f"{step} and the steps that follow it are due on {which}.")
    if not mark_only:
        _run_due(dates, options)


def _run_due(dates: list[datetime.date], options: list[str]) -> None:
    """Run what is due and show what came of it. Exits with status 1 if a date still is due."""
    due = run_due(dates, options)
    if due:
        raise click.ClickException(
            f"{len(due)} of {len(dates)} {'date is' if len(dates) == 1 else 'dates are'} not "
            f"complete: {', '.join(map(str, due[:10]))}{', …' if len(due) > 10 else ''}. "
            "The messages above say why; fix the cause and run the command again."
        )
    if len(dates) > 1:
        line(f"{count_dates(len(dates))} from {dates[0]} to {dates[-1]} are complete.")
    else:
        with settings_from(options):
            _show_day(dates[0])
            _show_next_steps()


def _dates_and_options(
    ctx: click.Context, arguments: tuple[str, ...]
) -> tuple[list[datetime.date], list[str]]:
    """The dates of a range, in order, and Luigi's options that follow it."""
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    if len(words) > 2:
        raise click.UsageError(
            f"{words[2]!r} is an unexpected argument; write at most two dates, START and STOP.", ctx
        )
    if any(option.split("=")[0] == "--date" for option in arguments):
        raise click.UsageError("Write the dates first and without --date.", ctx)
    bounds = [PartitionDate().convert(word, None, ctx) for word in words]
    first = bounds[0] if bounds else settings.utc_today()
    last = _last(first, bounds[1] if len(bounds) > 1 else None)
    days = (last - first).days + 1
    dates = [first + datetime.timedelta(days=n) for n in range(days)]
    return dates, list(arguments[len(words) :])


@main.command()
@click.argument("date", type=PartitionDate(), required=False)
def status(date: datetime.date | None) -> None:
    """Show the steps of a date, today (UTC) by default, its statistics and every attempt."""
    settings.check()
    date = date or settings.utc_today()
    _show_day(date)
    history = runs.history(date)
    display.attempts(history, runs.abandoned(history))
    _show_next_steps()


def _show_day(date: datetime.date) -> None:
    display.day(make_plan([date])[0], warehouse.statistics(date))


def _show_next_steps() -> None:
    core = luigi.interface.core()
    display.next_steps(f"http://{core.scheduler_host}:{core.scheduler_port}/")


@main.command(**_DATES_AND_LUIGIS_OPTIONS)
@click.argument(
    "arguments", nargs=-1, type=click.UNPROCESSED, metavar="[START [STOP]] [OPTIONS]..."
)
@click.option("--json", "as_json", is_flag=True, help="For programs: a record per date.")
@click.option(
    "--diff",
    is_flag=True,
    help="Show what this code would change in one date's rows; publishes nothing.",
)
@click.pass_context
def plan(ctx: click.Context, arguments: tuple[str, ...], as_json: bool, diff: bool) -> None:
    """Show what `workflow run` with the same arguments would do, and why. Changes nothing.

    The exit status is 1 if anything is due, or would change.
    """
    dates, options = _dates_and_options(ctx, arguments)
    if diff and len(dates) > 1:
        raise click.UsageError("--diff takes one date only.", ctx)
    with settings_from(options):
        settings.check()
        planned = make_plan(dates)
        shown = None if as_json else display.DIFFERENCES_SHOWN
        found = difference(dates[0], limit=shown) if diff else {}
    if as_json:
        records = [_record(date) for date in planned]
        changes = {
            table: [{"key": row.key, "old": row.old, "new": row.new} for row in changes.rows]
            for table, changes in found.items()
        }
        document = {"dates": records, "differences": changes} if diff else {"dates": records}
        click.echo(json.dumps(document, default=str, indent=2))
    else:
        display.plan(planned)
        if diff:
            display.differences(dates[0], found)
    ctx.exit(int(any(date.due for date in planned) or any(one.total for one in found.values())))


def _record(date: DatePlan) -> dict[str, object]:
    steps = [
        {
            "step": step.step,
            "due": step.due,
            "reason": step.reason,
            "why": step.why,
            "run_id": step.current and step.current.run_id,
        }
        for step in date.steps
    ]
    return {
        "date": date.date,
        "due": date.due,
        "steps": steps,
        "other_settings": date.other_settings,
    }


@main.command()
@click.argument("date", type=PartitionDate())
@click.argument("key", type=_KEY, metavar=f"[{KEY.name.upper()}]", required=False)
def trace(date: datetime.date, key: Key | None) -> None:
    """Trace a date's figures, or a person in it, back to runs, request and document."""
    settings.check()
    display.trace(make_trace(date, key))


@main.command()
def data() -> None:
    """Print docs/data.md: what each column, reason and figure means, as Markdown."""
    click.echo(page(), nl=False)


@main.command("verify")
@click.argument("start", type=PartitionDate(), required=False)
@click.argument("stop", type=PartitionDate(), required=False)
def verify_command(start: datetime.date | None, stop: datetime.date | None) -> None:
    """Check that the three stores hold what the ledger says, for all dates by default."""
    settings.check()
    dates = runs.known_dates(start, _last(start, stop)) if start else runs.known_dates()
    if not dates:
        line("The ledger has no such date; there is nothing to verify.")
        return
    broken = 0
    for verdict in verify(dates):
        broken += bool(verdict.problems)
        display.verdict(verdict)
    if broken:
        raise click.ClickException(
            f"{broken} of {len(dates)} dates do not hold what the ledger says; run the command "
            "that each sentence names."
        )
    line(f"{len(dates)} {'date holds' if len(dates) == 1 else 'dates hold'} what the ledger says.")


if __name__ == "__main__":
    sys.exit(main())
