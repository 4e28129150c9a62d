"""How the command line displays what it is given."""

import datetime
import itertools
import json
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from spark_apps.users import FIGURES_SHOWN, HEADINGS, NOT_SHOWN, SHOWN, STATISTICS, SUMMARY, TABLE
from workflow.ledger.details import Engine, Extracted, Extracting, Written
from workflow.ledger.runs import Run
from workflow.ops.difference import Changes
from workflow.ops.plan import DatePlan, StepPlan
from workflow.ops.trace import Trace
from workflow.ops.verify import Verdict
from workflow.printable import printable
from workflow.tasks import EXTRACT, PARQUET, TRANSFORM

out = Console(highlight=False, emoji=False)

#: How many changed rows of a table a person is shown.
DIFFERENCES_SHOWN = 10


#: How much of a line or of a cell is shown, in characters: a source may send any length.
SHOWN_MAX = 4_000


def line(text: str) -> None:
    """A line in one piece, however wide the terminal: people search and copy it."""
    out.print(printable(text, SHOWN_MAX), soft_wrap=True, markup=False)


def cell(text: str) -> str:
    """A text for a cell of a table."""
    return escape(printable(text, SHOWN_MAX))


# ---- plan --------------------------------------------------------------------------------


def plan(dates: Sequence[DatePlan]) -> None:
    """A row per step, and one row for consecutive dates with the same plan."""
    # folded, because an address that ends in … is useless
    table = Table("date", "step", "", Column("why", overflow="fold"))
    for group in _groups(dates):
        first = group[0]
        when = str(first.date) if len(group) == 1 else f"{first.date} to {group[-1].date}"
        if first.due:
            for step in first.steps:
                table.add_row(when, step.step, "due" if step.due else "done", cell(step.why))
                when = ""
        else:
            table.add_row(when, "all", "done", _since(group))
        if first.other_settings:
            note = f"made with other settings: {', '.join(first.other_settings)}"
            table.add_row("", "", "", cell(note))
        table.add_section()
    out.print(table)
    due = [date for date in dates if date.due]
    if due:
        span = " ".join(dict.fromkeys([str(due[0].date), str(due[-1].date)]))
        line(
            f"{len(due)} of {count_dates(len(dates))} due; `workflow run {span}` runs what is due."
        )
    else:
        line(f"{count_dates(len(dates))} complete.")


def count_dates(dates: int) -> str:
    """The number of dates, with the noun."""
    return "1 date" if dates == 1 else f"{dates:,} dates"


def _groups(dates: Sequence[DatePlan]) -> Iterator[list[DatePlan]]:
    def told(date: DatePlan) -> object:
        steps: list[StepPlan] | bool = date.steps if date.due else False
        return steps, date.other_settings

    for _, group in itertools.groupby(dates, told):
        yield list(group)


def _since(group: Sequence[DatePlan]) -> str:
    return group[0].steps[-1].why if len(group) == 1 else ""


# ---- differences -------------------------------------------------------------------------


def differences(date: datetime.date, found: Mapping[str, Changes]) -> None:
    """What the current rules would change on a date, with the first rows of each table."""
    for table, changes in found.items():
        changed = changes.total - changes.new - changes.gone
        line(f"{table}: {changes.new:,} new, {changes.gone:,} gone, {changed:,} changed")
        for row in changes.rows:
            line(f"    {row.key}  {_difference(row.old, row.new)}")
        if changes.total > len(changes.rows):
            line(f"    … and {changes.total - len(changes.rows):,} more; --json shows all")
    if not any(changes.total for changes in found.values()):
        line(f"The current rules give {date} exactly the rows that it has.")


def _difference(old: dict[str, Any] | None, new: dict[str, Any] | None) -> str:
    if old is None or new is None:
        row = new or old or {}
        return f"{'new' if old is None else 'gone'}: {json.dumps(row, ensure_ascii=False)}"
    return ", ".join(
        f"{name}: {json.dumps(old[name], ensure_ascii=False)} → "
        f"{json.dumps(new[name], ensure_ascii=False)}"
        for name in new
        if old[name] != new[name]
    )


# ---- a day -------------------------------------------------------------------------------


def day(date: DatePlan, statistics: Sequence[Any]) -> None:
    """The steps of a date with their counts, the day's statistics, its source."""
    table = Table("step", title=f"{date.date}", title_justify="left")
    for heading in ("in", "out", "rejected", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("state")
    for step in date.steps:
        if step.current:
            table.add_row(step.step, *_counts(step.current), "done")
        else:
            table.add_row(step.step, "", "", "", "", _due(step))
    out.print(table)
    for step in date.steps:
        if step.reason in ("failed", "interrupted"):
            line(f"{step.step}: {step.why}")
    _statistics(statistics)
    runs = {step.step: step.current for step in date.steps}
    _origin(runs[EXTRACT], runs[TRANSFORM])
    for note in date.other_settings:
        line(f"made with another setting: {note}")


def _due(step: StepPlan) -> str:
    told = "" if step.reason == "never_ran" else f", {step.reason.replace('_', ' ')}"
    return "running" if step.reason == "running" else f"due{told}"


def next_steps(visualiser: str) -> None:
    """Where to look next; `visualiser` is luigid's address."""
    line(
        "next    workflow verify (compare the stores with the ledger), workflow trace DATE (where "
        "a figure comes from), workflow stack status (addresses), "
        f"{visualiser} (visualiser)"
    )


def _counts(run: Run) -> list[str]:
    counts = (run.rows_in, run.rows_out, run.rows_rejected)
    seconds = "" if run.seconds is None else f"{run.seconds:.2f}"
    return ["" if count is None else f"{count:,}" for count in counts] + [seconds]


def _statistics(statistics: Sequence[Any]) -> None:
    rows = [row for row in statistics if row.dimension != NOT_SHOWN]
    if not rows:
        return
    table = Table("", "", title="statistics", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for row in rows:
        figures = {figure: getattr(row, figure) for figure in FIGURES_SHOWN}
        table.add_row(
            cell(row.dimension), cell(row.member), *itertools.starmap(_figure, figures.items())
        )
    out.print(table)


def _figure(figure: str, value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.1%}" if figure == "share" else f"{value:,}"


def _origin(extract: Run | None, transform: Run | None) -> None:
    if extract:
        server = Extracted.of(extract).server
        invented = "stand-in: invented people, " if "standin" in server else ""
        line(f"source  {invented}{Extracting.of(extract).extraction.url}")
    if transform:
        line(f"engine  {_engine(transform)}")


def _engine(run: Run) -> str:
    record = Engine.of(run)
    return f"{record.engine} {record.version}"


def attempts(history: Sequence[Run], abandoned: Collection[uuid.UUID]) -> None:
    """Every row of a date in the ledger, oldest first.

    `abandoned` are those marked running whose process has exited.
    """
    if history:
        line("attempts (times in UTC)")
    for run in history:
        took = "" if run.seconds is None else f"{run.seconds:,.2f} s"
        counts = (
            f"{run.rows_in:,} in, {run.rows_out:,} out, {run.rows_rejected:,} rejected"
            if run.state == "succeeded"
            else ""
        )
        state = "interrupted" if run.run_id in abandoned else run.state
        line(
            f"{run.seq:>6} {_short(run.run_id)} {run.job:<14} {state:<11} "
            f"{run.started_at:%Y-%m-%d %H:%M:%S} {took:>9}  {counts}"
        )
        read = f"read {', '.join(map(_short, run.inputs))}, " if run.inputs else ""
        line(f"{'':16}{read}by {run.requested_by} in process {run.process} on {run.host}")
        if run.error or run.reason:
            line(f"{'':16}{run.error or run.reason}")


def _short(run_id: Any) -> str:
    return str(run_id)[:8]


# ---- trace -------------------------------------------------------------------------------


def trace(found: Trace) -> None:
    """From PostgreSQL back to the request and the document, on one screen."""
    for source in found.sources:
        line(f"{source.table}, position {source.position:,} of {found.date}")
        line("    " + ", ".join(f"{name} {value}" for name, value in _told(source.row)))
    if not found.sources:
        for row in found.statistics[:1]:
            line(f"{STATISTICS} of {found.date}: {SUMMARY.format(row)}")
    for run in found.runs:
        line(
            f"← {run.job} {_short(run.run_id)}  {run.finished_at:%Y-%m-%d %H:%M:%S}  "
            f"{run.rows_in or 0:,} in, {run.rows_out or 0:,} out, {run.rows_rejected or 0:,} "
            f"rejected, by {run.requested_by} in process {run.process} on {run.host}"
        )
        if run.inputs:
            line(f"      read {', '.join(map(_short, run.inputs))}")
        if run.job in PARQUET:
            line(f"      {_engine(run)}: {Written.of(run).url}")
    line(f"← Cassandra, extraction {found.extraction_id}")
    if not found.sources:
        pages = found.extraction.pages
        line(f"← GET {found.extraction.request(1)}{f', and {pages - 1} more' if pages > 1 else ''}")
    for source in found.sources:
        line(f"← GET {source.request}")
        if source.stored:
            line(f"      page {source.page}, sha256 {source.stored.sha256}")
        for text in source.document.split("\n"):
            line(f"    {text}")


def _told(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in (*SHOWN, "reasons", "offending"):
        if name in row:
            value = row[name]
            yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# ---- verify ------------------------------------------------------------------------------


def verdict(found: Verdict) -> None:
    """A line for a date, and one for each problem and leftover."""
    state = "BROKEN" if found.problems else "due" if found.due else "ok"
    equals = "=" if state == "ok" else "|"  # different generations need not add up
    line(
        f"{found.date}  {state:6}  {found.raw:,} raw {equals} {found.users:,} {TABLE} + "
        f"{found.rejected:,} rejected"
    )
    if found.due:
        line(f"            due: {', '.join(found.due)}")
    for sentence in found.problems:
        line(f"            {sentence}")
    for sentence in found.leftovers:
        line(f"            leftover: {sentence}")
