"""The whole DAG, top to bottom.

    RunDaily ── LoadUsers ─┬─ ComputeStats ── TransformUsers ── ExtractUsers
                           └─ TransformUsers

step.py takes the lease and finds the inputs, ledger/lease.py publishes; this module says what
each step does.
"""

import datetime
import uuid
from collections import Counter
from collections.abc import Iterable

import luigi

from spark_apps.users import REJECTS, TABLE
from workflow import settings, sweep
from workflow.errors import DataError, StoreError
from workflow.extraction import Extraction
from workflow.ledger.details import Computed, Extracted, Extracting, Loaded, Written
from workflow.ledger.lease import Lease, Outcome
from workflow.ledger.runs import Run, current_runs
from workflow.printable import printable
from workflow.source.client import Client
from workflow.spark import jobs
from workflow.step import Dated, Step, sentence_instead_of_traceback
from workflow.stores import cassandra, lake, warehouse
from workflow.stores.lake import CLEAN, REJECTED, ParquetRun
from workflow.stores.raw_store import RawStore

#: How much of the names of a source's servers the ledger keeps, in characters.
SERVER_MAX = 200


class ExtractUsers(Step):
    """API → Cassandra. `bytes` are of the raw documents."""

    logic_version = 1

    def work(self, lease: Lease, *inputs: Run) -> Outcome:
        extraction = Extraction.of(self.date)
        history = lease.history()
        extraction_id = sweep.resumable(history, extraction) or uuid.uuid4()
        with (
            lease.attempt(
                inputs,
                rows_in=extraction.users_per_day,
                details=Extracting(extraction_id=extraction_id, extraction=extraction),
            ) as attempt,
            cassandra.connect() as session,
            Client(extraction) as client,
        ):
            cassandra.require_schema(session)
            store = RawStore(session, self.date, extraction_id, written_at=attempt.started_at)
            sweep.extractions(lease, history, store)
            stored = store.pages()
            resumed = len(stored)
            missing = [n for n in range(1, extraction.pages + 1) if n not in stored]
            for done, page in enumerate(client.pages(missing), start=resumed + 1):
                stored[page.number] = store.write_page(page)
                self.show_progress(
                    f"page {done} of {extraction.pages} from {extraction.url}",
                    100 * done // extraction.pages,
                )
            manifest = store.publish_manifest(extraction, attempt.started_at)
            outcome = Outcome(
                rows_out=manifest.stored,
                bytes=manifest.bytes,
                details=Extracted(
                    # printable, because a page may have been stored by an older version
                    server=printable(
                        ", ".join(sorted({page.server for page in stored.values()})), SERVER_MAX
                    ),
                    pages=extraction.pages,
                    pages_resumed=resumed,
                    buckets=manifest.buckets,
                    sha256=manifest.sha256,
                ),
            )
            with attempt.publishing() as cursor:
                return attempt.succeed(cursor, outcome)


class TransformUsers(Step):
    """Cassandra → typed clean users and rejects, in Parquet. `bytes` are of the Parquet files."""

    logic_version = 2

    def requires(self) -> ExtractUsers:
        return ExtractUsers(date=self.date)

    def work(self, lease: Lease, *inputs: Run) -> Outcome:
        (extract,) = inputs
        rows = extract.rows_out or 0
        with lease.attempt(inputs, rows_in=rows) as attempt:
            attempt.record(jobs.describe())  # a server may hang here, too
            url = lake.run_url(self.task_family, self.date, attempt.run_id)
            sweep.parquet_runs(lease)
            self.show_progress(f"transforming {rows:,} documents into {url}", 10)
            jobs.transform(extract, output=url)
            run = ParquetRun(url, job=self.task_family, date=self.date)
            clean, rejected = run.rows(CLEAN), run.rows(REJECTED)
            self._refuse_too_many_rejects(run, rejected, clean + rejected)
            outcome = Outcome(
                rows_out=clean, rows_rejected=rejected, bytes=run.bytes, details=Written(url=url)
            )
            with attempt.publishing() as cursor:
                return attempt.succeed(cursor, outcome)

    def _refuse_too_many_rejects(self, run: ParquetRun, rejected: int, rows: int) -> None:
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
            f"{limit:g} % allowed ({by_reason}); nothing was published. If the source sent "
            f"something wrong that day, run `workflow rerun {self.date} --from "
            f"{self.requires().task_family}`; else raise [rules] rejected_percent_max "
            "(--rules-rejected-percent-max)."
        )


class ComputeStats(Step):
    """Clean users → the day's statistics, in Parquet.

    Its ledger row counts users: every dimension must account for each of them once.
    """

    logic_version = 2

    def requires(self) -> TransformUsers:
        return TransformUsers(date=self.date)

    def work(self, lease: Lease, *inputs: Run) -> Outcome:
        (transform,) = inputs
        users = transform.rows_out or 0
        with lease.attempt(inputs, rows_in=users) as attempt:
            attempt.record(jobs.describe())
            clean = published(transform)
            clean.rows()  # raises here, as a sentence, when the run is missing
            url = lake.run_url(self.task_family, self.date, attempt.run_id)
            sweep.parquet_runs(lease)
            self.show_progress(f"statistics of {users:,} users into {url}", 10)
            jobs.compute_statistics(clean.url, output=url)
            run = ParquetRun(url, job=self.task_family, date=self.date)
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
            details = Computed(url=url, statistics=run.rows())
            outcome = Outcome(rows_out=counted["all"], bytes=run.bytes, details=details)
            with attempt.publishing() as cursor:
                return attempt.succeed(cursor, outcome)


class LoadUsers(Step):
    """Parquet → PostgreSQL, in one transaction. `bytes` are of the Parquet files read."""

    logic_version = 1

    def requires(self) -> list[Step]:
        return [TransformUsers(date=self.date), ComputeStats(date=self.date)]

    def work(self, lease: Lease, *inputs: Run) -> Outcome:
        transform, statistics = inputs
        rows = (transform.rows_out or 0) + (transform.rows_rejected or 0)
        with lease.attempt(inputs, rows_in=rows) as attempt:
            warehouse.ensure_month(self.date)
            self.show_progress(f"loading {rows:,} rows into PostgreSQL", 10)
            users, figures = published(transform), published(statistics)
            for run in (users, figures):
                run.rows()  # raises here: inside COPY, psycopg2 would wrap the error
            with attempt.publishing() as cursor:
                day = warehouse.rows_of_day(users, figures)
                loaded = warehouse.replace_day(cursor, self.date, day)
                self._require_all_rows(loaded, transform, Computed.of(statistics).statistics)
                outcome = Outcome(
                    rows_out=loaded[TABLE],
                    rows_rejected=loaded[REJECTS],
                    bytes=users.bytes + figures.bytes,
                    details=Loaded(fingerprint=loaded),
                )
                return attempt.succeed(cursor, outcome)

    def _require_all_rows(
        self, loaded: warehouse.Fingerprint, transform: Run, statistics: int
    ) -> None:
        expected_rows = (transform.rows_out, transform.rows_rejected, statistics)
        for table, expected in zip(warehouse.TABLES, expected_rows, strict=True):
            if loaded[table] != expected:
                raise StoreError(
                    f"{table} of {self.date} would hold {loaded[table]:,} rows instead of "
                    f"{expected:,}; nothing was published. A Parquet run is damaged; run "
                    f"`workflow rerun {self.date} --from TransformUsers`."
                )


class RunDaily(Dated, luigi.WrapperTask):
    """A complete day: `luigi --module workflow RunDaily --date 2026-11-23`."""

    def requires(self) -> LoadUsers:
        return LoadUsers(date=self.date)

    @classmethod
    def bulk_complete(cls, parameter_tuples: Iterable[datetime.date]) -> list[datetime.date]:
        """The dates that are complete, in one query. RangeDaily passes a one-shot iterator."""
        dates = list(parameter_tuples)
        if not dates:
            return []
        with sentence_instead_of_traceback():
            day = cls(date=dates[0])  # all dates have the same steps
            current = current_runs(day.versions(), min(dates), max(dates))
        last = [task.task_family for task in day.deps()]
        return [date for date in dates if all((date, step) in current for step in last)]


#: The steps by what they do, as the ledger names them, and those that write Parquet.
EXTRACT, TRANSFORM, COMPUTE, LOAD = (
    step.__name__ for step in (ExtractUsers, TransformUsers, ComputeStats, LoadUsers)
)
PARQUET = (TRANSFORM, COMPUTE)


def published(run: Run) -> ParquetRun:
    """The Parquet run that a ledger row names."""
    return ParquetRun(Written.of(run).url, job=run.job, date=run.partition_date)
