"""The whole DAG, top to bottom.

    RunDaily ── LoadUsers ─┬─ ComputeStats ── TransformUsers ── ExtractUsers
                           └─ TransformUsers

Every step works under its lease and ends with a ledger row, see `Step.run`; a step's
`logic_version` is raised by hand when its code would give other rows than before.
"""

import contextlib
import dataclasses
import datetime
import logging
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import luigi
from luigi.rpc import RPCError

from workflow import deadline, lake, randomuser, raw_store, settings, spark_jobs, warehouse
from workflow.errors import DataError, DeadlineError, SettingsError, StoreError, WorkflowError
from workflow.ledger import Lease, Outcome, Run, current_runs, lease
from workflow.postgres import Cursor
from workflow.targets import LedgerTarget

log = logging.getLogger(__name__)

CLEAN, REJECTED = "outcome=clean", "outcome=rejected"


@contextlib.contextmanager
def sentence_instead_of_traceback() -> Iterator[None]:
    """Where Luigi would print a traceback of ours, end the process with the sentence."""
    try:
        yield
    except WorkflowError as exc:
        raise SystemExit(f"Error: {exc}") from exc


class PartitionDate(luigi.DateParameter):
    """A date; without one today's in UTC, looked up when the task is made."""

    def parse(self, value: str) -> datetime.date:
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            raise SystemExit(
                f"Error: {value!r} is not a date of the calendar; write it as YYYY-MM-DD."
            ) from None

    def task_value(self, task_name: str, param_name: str) -> datetime.date:
        return super().task_value(task_name, param_name) or settings.utc_today()


class Dated(luigi.Task):
    """A task of one partition date, refused when the settings or the date are bad."""

    date: datetime.date = PartitionDate(  # type: ignore[assignment]
        default=None,  # type: ignore[arg-type]  # stands for today, see task_value
        description="partition date, YYYY-MM-DD; today in UTC",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        with sentence_instead_of_traceback():
            settings.check()
            today = settings.utc_today()
            if self.date > today:
                raise SettingsError(
                    f"{self.date} is in the future: today is {today} in UTC. "
                    "Users are taken on their date or later."
                )


class Step(Dated):
    """A task that is complete when its ledger row says so."""

    logic_version: ClassVar[int]
    _untold = False

    def output(self) -> LedgerTarget:
        return LedgerTarget(self.task_family, self.date, logic_versions())

    def complete(self) -> bool:
        with sentence_instead_of_traceback():
            return self.output().exists()

    def run(self) -> None:
        """Take the lease, look again, work until the deadline.

        Raises LeaseError when somebody else keeps it, DataError when an input is gone,
        DeadlineError when the work took too long.
        """
        try:
            self._run()
        except DeadlineError as exc:
            spark_jobs.abandon_session(exc)  # the next step must not wait for it, too
            if not self.complete():  # the alarm may ring when all is committed
                raise

    def _run(self) -> None:
        with lease(self.task_family, self.date) as held:
            current = held.current_runs(logic_versions())
            if self.task_family in current:
                log.info("%s of %s was done meanwhile", self.task_family, self.date)
                return
            inputs = [current.get(task.task_family) for task in self.deps()]
            found = [run for run in inputs if run is not None]
            if len(found) < len(inputs):
                raise DataError(
                    f"An input of {self.task_family} of {self.date} was invalidated meanwhile; "
                    "run the date again."
                )
            with deadline.after(
                settings.lease().deadline,
                f"{self.task_family} of {self.date} took longer than "
                f"{settings.lease().deadline:g} s ([lease] deadline)",
            ):
                outcome = self.work(held, *found)
            counts = (
                f"{outcome.rows_in:,} in, {outcome.rows_out:,} out, "
                f"{outcome.rows_rejected:,} rejected"
            )
            self.tell(counts, 100)
            log.info("%s %s: %s", self.task_family, self.date, counts)

    def work(self, held: Lease, *inputs: Run) -> Outcome:
        """Do the step and publish it. `inputs` are the current runs of `requires()`."""
        raise NotImplementedError

    def sweep_parquet(self, held: Lease) -> None:
        """Remove the Parquet runs that killed and failed attempts of this step and date left.

        Call it inside an attempt: whoever holds the lease knows that no other attempt can publish.
        Runs of which the ledger does not know that they ended in vain are left alone. What cannot
        be removed, because something still writes into it, waits for the next attempt.
        """
        there = lake.run_ids(self.task_family, self.date)
        for run in held.history() if there else ():
            if run.ended_in_vain and run.run_id in there:
                try:
                    lake.remove(lake.run_url(self.task_family, self.date, run.run_id))
                except StoreError as exc:
                    log.warning("%s", exc)
                else:
                    log.info("Swept what the attempt %s left in the lake", run.run_id)

    def _parquet(self, url: str) -> lake.ParquetRun:
        return lake.ParquetRun(url, job=self.task_family, date=self.date)

    def tell(self, message: str, percent: int) -> None:
        """Show in the visualiser how far the step is; a luigid that is away fails no step."""
        if self._untold:
            return
        try:
            self.set_status_message(message)  # type: ignore[misc]  # Luigi sets both during run()
            self.set_progress_percentage(percent)  # type: ignore[misc]
        except RPCError as exc:
            self._untold = True  # each try takes 10 s
            log.warning("The visualiser is not told how far %s is: %s", self, exc)


class ExtractUsers(Step):
    """API → Cassandra. `bytes` are of the raw documents."""

    logic_version = 1

    def work(self, held: Lease, *inputs: Run) -> Outcome:
        extraction = randomuser.Extraction.of(self.date)
        history = held.history()
        extraction_id = self._resumable(history, extraction) or uuid.uuid4()
        details = {
            "extraction_id": str(extraction_id),
            "extraction": dataclasses.asdict(extraction),
        }
        with (
            held.attempt(
                inputs=inputs,
                logic_version=self.logic_version,
                rows_in=extraction.users_per_day,
                details=details,
            ) as attempt,
            raw_store.connect() as session,
            randomuser.Client(extraction) as client,
        ):
            raw_store.require_schema(session)
            written_at = attempt.started_at
            store = raw_store.RawStore(session, self.date, extraction_id, written_at=written_at)
            self._sweep(held, history, store)
            stored = store.pages()
            resumed = len(stored)
            missing = [n for n in range(1, extraction.pages + 1) if n not in stored]
            for done, page in enumerate(client.pages(missing), start=resumed + 1):
                stored[page.number] = store.write_page(page)
                self.tell(
                    f"page {done} of {extraction.pages} from {extraction.url}",
                    100 * done // extraction.pages,
                )
            manifest = store.publish_manifest(extraction, written_at)
            return attempt.publish(
                logic_versions(),
                Outcome(
                    rows_in=extraction.users_per_day,
                    rows_out=manifest.stored,
                    bytes=manifest.bytes,
                    details={
                        "server": ", ".join(sorted({page.server for page in stored.values()})),
                        "pages": extraction.pages,
                        "pages_resumed": resumed,
                        "buckets": manifest.buckets,
                        "sha256": manifest.sha256,
                    },
                ),
            )

    @staticmethod
    def _sweep(held: Lease, history: list[Run], store: raw_store.RawStore) -> None:
        """Remove the extractions of the attempts before that nobody goes on with or published."""
        used = {run.extraction_id for run in history if run.state == "succeeded"}
        used.add(store.extraction_id)
        unused = [run for run in history if run.left_over and run.extraction_id not in used]
        for run in unused:
            store.remove(run.extraction_id, run.details["extraction"]["users_per_day"])
            log.info("Swept the unfinished extraction %s", run.extraction_id)
        if unused:
            held.mark_swept(unused)

    @staticmethod
    def _resumable(history: list[Run], extraction: randomuser.Extraction) -> uuid.UUID | None:
        """The extraction that the last attempt left unfinished, if it asked for the same."""
        if not history or not history[-1].left_over:
            return None
        last = history[-1]
        if last.details.get("extraction") != dataclasses.asdict(extraction):
            return None
        return last.extraction_id


class TransformUsers(Step):
    """Cassandra → typed clean users and rejects, in Parquet. `bytes` are of the Parquet files."""

    logic_version = 1

    def requires(self) -> ExtractUsers:
        return ExtractUsers(date=self.date)

    def work(self, held: Lease, *inputs: Run) -> Outcome:
        (extract,) = inputs
        extraction_id = extract.extraction_id
        with held.attempt(
            inputs=inputs,
            logic_version=self.logic_version,
            rows_in=extract.rows_out or 0,
            details=spark_jobs.describe(),
        ) as attempt:
            url = lake.run_url(self.task_family, self.date, attempt.run_id)
            self.sweep_parquet(held)
            self.tell(f"transforming {extract.rows_out:,} documents into {url}", 10)
            spark_jobs.transform(self.date, extraction_id, rows=extract.rows_out or 0, output=url)
            run = self._parquet(url)
            clean, rejected = run.rows(CLEAN), run.rows(REJECTED)
            self._refuse_too_many_rejects(run, rejected, clean + rejected)
            return attempt.publish(
                logic_versions(),
                Outcome(
                    rows_in=extract.rows_out or 0,
                    rows_out=clean,
                    rows_rejected=rejected,
                    bytes=run.bytes,
                    details={"url": url},
                ),
            )

    def _refuse_too_many_rejects(self, run: lake.ParquetRun, rejected: int, rows: int) -> None:
        limit = settings.rules().rejected_percent_max
        if rejected * 100 <= limit * rows:
            return
        counts = Counter(
            name
            for batch in run.batches(["reasons"], REJECTED)
            for row in batch.to_pylist()
            # a row may have one reason in several fields
            for name in dict.fromkeys(reason["reason"] for reason in row["reasons"])
        )
        by_reason = ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common())
        raise DataError(
            f"{rejected:,} of {rows:,} users of {self.date} broke a rule, more than the "
            f"{limit:g} % allowed ({by_reason}); nothing was published. Look at the source, or "
            "raise [rules] rejected_percent_max (--rules-rejected-percent-max)."
        )


class ComputeStats(Step):
    """Clean users → the day's statistics, in Parquet.

    Its ledger row counts users: every dimension must account for each of them once.
    """

    logic_version = 1

    def requires(self) -> TransformUsers:
        return TransformUsers(date=self.date)

    def work(self, held: Lease, *inputs: Run) -> Outcome:
        (transform,) = inputs
        users = transform.rows_out or 0
        with held.attempt(
            inputs=inputs,
            logic_version=self.logic_version,
            rows_in=users,
            details=spark_jobs.describe(),
        ) as attempt:
            _published(transform).rows()  # a run that is gone is told in our words
            url = lake.run_url(self.task_family, self.date, attempt.run_id)
            self.sweep_parquet(held)
            self.tell(f"statistics of {users:,} users into {url}", 10)
            spark_jobs.compute_statistics(transform.details["url"], output=url)
            run = self._parquet(url)
            counted = Counter[str]()
            for batch in run.batches(["dimension", "users"]):
                for row in batch.to_pylist():
                    counted[row["dimension"]] += row["users"]
            wrong = {name: count for name, count in counted.items() if count != users}
            if wrong or "all" not in counted:
                raise DataError(
                    f"The statistics of {self.date} do not account for {users:,} users ({wrong}); "
                    "nothing was published. Run the date again."
                )
            return attempt.publish(
                logic_versions(),
                Outcome(
                    rows_in=users,
                    rows_out=counted["all"],
                    bytes=run.bytes,
                    details={"url": url, "statistics": run.rows()},
                ),
            )


class LoadUsers(Step):
    """Parquet → PostgreSQL, in one transaction. `bytes` are of the Parquet files read."""

    logic_version = 1

    def requires(self) -> list[Step]:
        return [TransformUsers(date=self.date), ComputeStats(date=self.date)]

    def work(self, held: Lease, *inputs: Run) -> Outcome:
        transform, statistics = inputs
        rows = (transform.rows_out or 0) + (transform.rows_rejected or 0)
        with held.attempt(
            inputs=inputs, logic_version=self.logic_version, rows_in=rows, details={}
        ) as attempt:
            warehouse.ensure_month(self.date)
            self.tell(f"loading {rows:,} rows into PostgreSQL", 10)
            return attempt.publish(
                logic_versions(), lambda cursor: self._load(cursor, transform, statistics)
            )

    def _load(self, cursor: Cursor, transform: Run, statistics: Run) -> Outcome:
        users, figures = _published(transform), _published(statistics)
        for parquet in (users, figures):
            parquet.rows()  # inside COPY, psycopg2 would wrap what is raised
        held = warehouse.replace_day(cursor, self.date, *rows_of_day(users, figures))
        for table, expected in (
            ("users", transform.rows_out),
            ("rejected_users", transform.rows_rejected),
            ("user_statistics", statistics.details["statistics"]),
        ):
            if held[table] != expected:
                raise StoreError(
                    f"{table} of {self.date} would hold {held[table]:,} rows instead of "
                    f"{expected:,}; nothing was published. A Parquet run is damaged: "
                    f"`workflow rerun {self.date} --from TransformUsers`."
                )
        return Outcome(
            rows_in=(transform.rows_out or 0) + (transform.rows_rejected or 0),
            rows_out=held["users"],
            rows_rejected=held["rejected_users"],
            bytes=users.bytes + figures.bytes,
            details={"fingerprint": held},
        )


class RunDaily(Dated, luigi.WrapperTask):
    """A complete day: `luigi --module workflow RunDaily --date 2026-11-23`."""

    def requires(self) -> LoadUsers:
        return LoadUsers(date=self.date)

    @classmethod
    def bulk_complete(cls, parameter_tuples: Iterable[datetime.date]) -> list[datetime.date]:
        """The dates that are complete, by one query. RangeDaily passes a one-shot iterator."""
        dates = list(parameter_tuples)
        if not dates:
            return []
        with sentence_instead_of_traceback():
            current = current_runs(logic_versions(), min(dates), max(dates))
        return [date for date in dates if (date, "LoadUsers") in current]


def _published(run: Run) -> lake.ParquetRun:
    """The Parquet run that a ledger row names."""
    return lake.ParquetRun(run.details["url"], job=run.job, date=run.partition_date)


def rows_of_day(users: lake.ParquetRun, statistics: lake.ParquetRun) -> warehouse.DayRows:
    """Clean users, rejects and statistics as the warehouse takes them, in bounded batches."""
    return (
        users.batches(warehouse.USER_COLUMNS, CLEAN),
        users.batches(["position", "user_id", "reasons"], REJECTED),
        statistics.batches(warehouse.STATISTICS_COLUMNS),
    )


STEPS: tuple[type[Step], ...] = (ExtractUsers, TransformUsers, ComputeStats, LoadUsers)


def inputs_of_steps(date: datetime.date) -> dict[str, list[str]]:
    """What each step reads, by the names of the steps."""
    return {step.__name__: [task.task_family for task in step(date=date).deps()] for step in STEPS}


def logic_versions() -> dict[str, int]:
    """The logic version of every step of this code."""
    return {step.__name__: step.logic_version for step in STEPS}
