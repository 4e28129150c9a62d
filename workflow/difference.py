"""`workflow plan DATE --diff`: what the current rules would change, without publishing it."""

import contextlib
import datetime
import uuid

from workflow import deadline, lake, ledger, settings, spark_jobs, warehouse
from workflow.errors import DataError, DeadlineError, StoreError
from workflow.tasks import rows_of_day
from workflow.warehouse import Changes

JOB = lake.DIFFERENCE  # names the lease; nothing of it stands in the ledger


def difference(date: datetime.date, *, limit: int | None = None) -> dict[str, Changes]:
    """Transform a date's raw documents by this code, and hold the rows against PostgreSQL's.

    Returns what `warehouse.differences` returns. The rows lie in the lake's scratch meanwhile.

    Raises DataError for a date that was never extracted, LeaseError when somebody else looks at
    the same date, and what the Spark jobs raise.
    """
    succeeded = [
        run for run in ledger.history(date) if (run.job, run.state) == ("ExtractUsers", "succeeded")
    ]
    if not succeeded:
        raise DataError(
            f"{date} was never extracted, so there is nothing to compare; `workflow run {date}`."
        )
    try:
        return _difference(date, succeeded[-1], limit)
    except DeadlineError as exc:
        spark_jobs.abandon_session(exc)  # or the process waits for it at exit
        raise


def _difference(date: datetime.date, extract: ledger.Run, limit: int | None) -> dict[str, Changes]:
    seconds = settings.lease().deadline
    with (
        ledger.lease(JOB, date),
        deadline.after(seconds, f"The difference took longer than {seconds:g} s"),
        contextlib.ExitStack() as stack,
    ):
        for left in lake.run_ids(JOB, date):
            with contextlib.suppress(StoreError):  # the job of a client that was killed may go on
                lake.remove(lake.run_url(JOB, date, left))
        scratch = lake.run_url(JOB, date, uuid.uuid4())
        stack.callback(lake.remove, scratch)
        spark_jobs.transform(
            date,
            extract.extraction_id,
            rows=extract.rows_out or 0,
            output=f"{scratch}/users",
        )
        spark_jobs.compute_statistics(f"{scratch}/users", output=f"{scratch}/statistics")
        users = lake.ParquetRun(f"{scratch}/users", job="TransformUsers", date=date)
        statistics = lake.ParquetRun(f"{scratch}/statistics", job="ComputeStats", date=date)
        return warehouse.differences(date, rows_of_day(users, statistics), limit=limit)
