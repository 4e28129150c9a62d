"""The command line: parse, call, print."""

import contextlib
import datetime
import itertools
import sys
from typing import Any

import click
import luigi.interface
from luigi.cmdline_parser import CmdlineParser
from luigi.retcodes import run_with_retcodes
from rich.console import Console
from rich.table import Table

from workflow import init_db, ledger, raw_store, settings, verify, warehouse
from workflow.errors import SettingsError, WorkflowError
from workflow.ledger import Run
from workflow.stack.cli import main as stack
from workflow.tasks import STEPS, logic_versions

out = Console(highlight=False)
RANGE_CHUNK = 30  # dates in one Luigi process; its scheduler's time grows quadratically


class Sentences(click.Group):
    """A group that shows an error of ours as its sentence, with exit status 1."""

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
            sentence = f"{date} is in the future; today is {settings.utc_today()} in UTC."
            self.fail(sentence, param, ctx)
        return date


@click.group(cls=Sentences, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="batch-workflow")
def main() -> None:
    """The daily batch of users: RandomUser API, Cassandra, Spark, PostgreSQL.

    START alone means that one date; STOP is inclusive.
    """


main.add_command(stack)


def _last(start: datetime.date, stop: datetime.date | None) -> datetime.date:
    """The last date of a range, inclusive. Raises SettingsError for a reversed one."""
    if stop and stop < start:
        raise SettingsError(f"The range {start} to {stop} is reversed; write the earlier first.")
    return stop or start


@main.command("init-db")
def init_db_command() -> None:
    """Create or update the schemas of PostgreSQL and Cassandra."""
    settings.check()
    init_db.apply(out.print)
    out.print("The schemas of PostgreSQL and Cassandra are up to date.")


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
    """Run the dates that are due, today (UTC) by default, and show what came of them."""
    _run_due(*_dates_and_options(ctx, arguments))


@main.command(**_DATES_AND_LUIGIS_OPTIONS)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="START [STOP] [OPTIONS]...")
@click.option(
    "--from",
    "step",
    required=True,
    type=click.Choice([step.__name__ for step in STEPS]),
    help="The step to run again; what follows it is run too.",
)
@click.option("--reason", help="Why; it stands in the ledger.")
@click.option("--mark-only", is_flag=True, help="Leave it due for the next run.")
@click.pass_context
def rerun(
    ctx: click.Context, arguments: tuple[str, ...], step: str, reason: str | None, mark_only: bool
) -> None:
    """Run a step of a date, and what follows it, again. Old runs stay in the ledger."""
    if not arguments or arguments[0].startswith("-"):
        raise click.UsageError("Which date? Write it first: workflow rerun 2026-11-20 …", ctx)
    dates, options = _dates_and_options(ctx, arguments)
    with _options(options):
        settings.check()
        version = logic_versions()[step]
        ledger.invalidate(step, dates, logic_version=version, reason=reason)
    out.print(f"{step} and what follows it is due on {_number(dates)}.")
    if not mark_only:
        _run_due(dates, options)


def _options(options: list[str]) -> contextlib.AbstractContextManager[CmdlineParser]:
    """The settings' options hold inside, as they do in a Luigi process that gets them."""
    return CmdlineParser.global_instance(["--module", "workflow", "RunDaily", *options])


def _number(dates: list[datetime.date]) -> str:
    return str(dates[0]) if len(dates) == 1 else f"{len(dates)} dates"


def _run_due(dates: list[datetime.date], options: list[str]) -> None:
    """Run Luigi, then ask the ledger. Exits with status 1 if a date is still due."""
    for chunk in (dates[n : n + RANGE_CHUNK] for n in range(0, len(dates), RANGE_CHUNK)):
        _luigi(chunk[0], chunk[-1], options)
    with _options(options):
        current = ledger.current_runs(logic_versions(), dates[0], dates[-1])
        due = [date for date in dates if (date, "LoadUsers") not in current]
        if len(dates) == 1 and not due:
            _show_day(dates[0])
    if due:
        raise click.ClickException(
            f"{len(due)} of {len(dates)} {'date is' if len(dates) == 1 else 'dates are'} not "
            f"complete: {', '.join(map(str, due[:10]))}{', …' if len(due) > 10 else ''}. "
            "The messages above say why; run the command again after mending it."
        )
    if len(dates) > 1:
        out.print(f"{len(dates)} dates from {dates[0]} to {dates[-1]} are complete.")


def _dates_and_options(
    ctx: click.Context, arguments: tuple[str, ...]
) -> tuple[list[datetime.date], list[str]]:
    """The dates of a range, in order, and the options for Luigi that follow it."""
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    if len(words) > 2:
        raise click.UsageError(f"{words[2]!r} is too much: at most START and STOP are dates.", ctx)
    if any(option.split("=")[0] == "--date" for option in arguments):
        raise click.UsageError("Write the dates first and without --date.", ctx)
    bounds = [PartitionDate().convert(word, None, ctx) for word in words]
    first = bounds[0] if bounds else settings.utc_today()
    last = _last(first, bounds[1] if len(bounds) > 1 else None)
    days = (last - first).days + 1
    dates = [first + datetime.timedelta(days=n) for n in range(days)]
    return dates, list(arguments[len(words) :])


def _luigi(first: datetime.date, last: datetime.date, options: list[str]) -> None:
    """Run Luigi in this process; the ledger, not its exit status, says what came of it."""
    task = ["RunDaily", "--date", str(first)]
    if first != last:
        days = (settings.utc_today() - first).days + 1
        task = ["RangeDaily", "--of", "RunDaily", "--start", str(first)]
        # RangeDaily's stop is exclusive; beyond these two limits it does nothing, with exit 0
        task += ["--stop", str(last + datetime.timedelta(days=1))]
        task += ["--days-back", str(days), "--task-limit", str(RANGE_CHUNK)]
    try:
        run_with_retcodes(["--module", "workflow", *task, *options])
    except SystemExit as exc:
        if isinstance(exc.code, str):
            raise


@main.command()
@click.argument("date", type=PartitionDate(), required=False)
def status(date: datetime.date | None) -> None:
    """Show the steps of a date, today (UTC) by default, and the day's statistics."""
    settings.check()
    _show_day(date or settings.utc_today())


def _show_day(date: datetime.date) -> None:
    current = ledger.current_runs(logic_versions(), date, date)
    last = {run.job: run for run in ledger.history(date)}
    table = Table("step", title=f"{date}", title_justify="left")
    for heading in ("in", "out", "rejected", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("state")
    for step in STEPS:
        done = current.get((date, step.__name__))
        cells = _cells(done) if done else ["", "", "", "", _why_due(last.get(step.__name__))]
        table.add_row(step.__name__, *cells)
    out.print(table)
    for run in last.values():
        if run.error and (date, run.job) not in current:
            out.print(f"{run.job}: {run.error}", soft_wrap=True)
    _show_statistics(date)
    _show_origin(current.get((date, "ExtractUsers")), current.get((date, "TransformUsers")))


def _cells(done: Run) -> list[str]:
    counts = [f"{n:,}" for n in (done.rows_in or 0, done.rows_out or 0, done.rows_rejected or 0)]
    return [*counts, f"{done.seconds:.2f}", "done"]


def _why_due(last: Run | None) -> str:
    """Due, and what happened to the step last."""
    if last is None or last.state == "succeeded":
        return "due"
    if last.state == "running":
        return f"{'running' if ledger.is_held(last.job, last.partition_date) else 'interrupted'}"
    return f"due, {last.state}"


def _show_statistics(date: datetime.date) -> None:
    rows = [row for row in warehouse.statistics(date) if row.dimension != "nationality"]
    if not rows:
        return
    table = Table("", "", title="statistics", title_justify="left")
    for heading in ("users", "share", "age: mean", "median", "from", "to"):
        table.add_column(heading, justify="right")
    for row in rows:
        cells = (row.age_avg, row.age_median, row.age_min, row.age_max)
        table.add_row(
            row.dimension,
            row.member,
            f"{row.users:,}",
            "" if row.share is None else f"{row.share:.1%}",
            *("" if cell is None else str(cell) for cell in cells),
        )
    out.print(table)


def _show_origin(extract: Run | None, transform: Run | None) -> None:
    if extract:
        invented = "stand-in: invented people, " if "standin" in extract.details["server"] else ""
        out.print(f"source  {invented}{extract.details['extraction']['url']}")
    if transform:
        out.print(f"engine  {transform.details['engine']} {transform.details['version']}")
    core = luigi.interface.core()
    out.print(
        "next    workflow verify (hold the stores against the ledger), workflow stack status "
        f"(addresses), http://{core.scheduler_host}:{core.scheduler_port}/ (visualiser)",
        soft_wrap=True,
    )


@main.command("verify")
@click.argument("start", type=PartitionDate(), required=False)
@click.argument("stop", type=PartitionDate(), required=False)
def verify_command(start: datetime.date | None, stop: datetime.date | None) -> None:
    """Check that the three stores hold what the ledger says, for all dates by default."""
    settings.check()
    dates = ledger.known_dates(start, _last(start, stop)) if start else ledger.known_dates()
    if not dates:
        out.print("The ledger knows no such date; nothing to verify.")
        return
    broken = 0
    with raw_store.connect() as session:
        for date in dates:
            verdict = verify.verify(session, date, logic_versions())
            broken += bool(verdict.problems)
            state = "BROKEN" if verdict.problems else "due" if verdict.due else "ok"
            equals = "=" if state == "ok" else "|"  # different generations need not add up
            out.print(
                f"{date}  {state:6}  {verdict.raw:,} raw {equals} {verdict.users:,} users + "
                f"{verdict.rejected:,} rejected"
            )
            if verdict.due:
                out.print(f"            due: {', '.join(verdict.due)}")
            for sentence in verdict.problems:
                out.print(f"            {sentence}")
            for sentence in verdict.leftovers:
                out.print(f"            left over: {sentence}")
    if broken:
        raise click.ClickException(
            f"{broken} of {len(dates)} dates do not hold what the ledger says; run what each "
            "sentence names again."
        )
    out.print(
        f"{len(dates)} {'date holds' if len(dates) == 1 else 'dates hold'} what the ledger says."
    )


if __name__ == "__main__":
    sys.exit(main())
