"""`workflow verify`: do the three stores hold what the ledger says?

For each step of a date the newest succeeded run is compared with its store, by counts and
by digests: documents against the pages' sha256, Parquet against its row counts, tables
against the fingerprint taken in the transaction that loaded them.
"""

import dataclasses
import datetime
import hashlib
import itertools
from collections.abc import Iterator, Sequence

from cassandra.cluster import Session

from spark_apps.users import REJECTS, TABLE
from workflow.errors import DataError, StoreError
from workflow.ledger import runs
from workflow.ledger.details import Computed, Extracted, Loaded, Storing
from workflow.ledger.runs import Run, Versions
from workflow.stores import cassandra, lake, raw_store, warehouse
from workflow.stores.raw_store import RawStore
from workflow.tasks import EXTRACT, LOAD, PARQUET, TRANSFORM, RunDaily, published


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found for a date: each problem and each leftover is a sentence."""

    date: datetime.date
    raw: int
    users: int
    rejected: int
    due: list[str]
    problems: list[str]
    leftovers: list[str]


def verify(dates: Sequence[datetime.date]) -> Iterator[Verdict]:
    """Compare the stores with the ledger, date by date. Changes nothing.

    If no step is due, raw documents must also equal users plus rejects: otherwise they may be of
    different generations. Raises StoreError when a store cannot be reached at all.
    """
    versions = RunDaily(date=dates[0]).versions()
    with cassandra.connect() as session:
        for date in dates:
            yield _verdict(session, date, versions)


def _verdict(session: Session, date: datetime.date, versions: Versions) -> Verdict:
    history = runs.history(date)
    current = runs.current_runs(versions, date, date)
    due = [job for job in versions if (date, job) not in current]
    done = {run.job: run for run in history if run.state == "succeeded"}
    problems: list[str] = []
    raw = 0
    if EXTRACT in done:
        raw, found = _raw_problems(session, done[EXTRACT])
        problems += found
    for run in (done[job] for job in PARQUET if job in done):
        problems += _parquet_problems(run)
    tables, found = _warehouse_problems(date, done.get(LOAD))
    problems += found
    if not due and not problems and raw != tables[TABLE] + tables[REJECTS]:
        problems.append(
            f"{raw:,} raw documents are not {tables[TABLE]:,} {TABLE} and "
            f"{tables[REJECTS]:,} rejects; run `workflow rerun {date} --from {TRANSFORM}`."
        )
    return Verdict(
        date=date,
        raw=raw,
        users=tables[TABLE],
        rejected=tables[REJECTS],
        due=due,
        problems=problems,
        leftovers=[*_leftovers(session, date)],
    )


def _with_remedy(problem: str, run: Run) -> str:
    """The sentence for a store that does not hold what a run published."""
    return f"{problem}; run `workflow rerun {run.partition_date} --from {run.job}`."


def _raw_problems(session: Session, run: Run) -> tuple[int, list[str]]:
    """The number of documents, and what is wrong with the extraction that a run published."""
    extraction_id = Storing.of(run).extraction_id
    store = RawStore(session, run.partition_date, extraction_id)
    manifest = store.manifest()
    if manifest is None:
        return 0, [
            _with_remedy(
                f"Cassandra does not have extraction {extraction_id}, which the ledger names", run
            )
        ]
    pages = store.pages()
    digests = hashlib.sha256("".join(pages[n].sha256 for n in sorted(pages)).encode()).hexdigest()
    if not digests == manifest.sha256 == Extracted.of(run).sha256:
        sentence = f"The pages of extraction {extraction_id} are not those that it published"
        return 0, [_with_remedy(sentence, run)]
    documents = itertools.chain.from_iterable(
        store.documents(bucket) for bucket in range(manifest.buckets)
    )
    rows, problems = 0, []
    for number in sorted(pages):
        page = pages[number]
        texts: list[str] = []
        for position, text in itertools.islice(documents, page.rows):
            if position != rows + len(texts):
                sentence = (
                    f"Extraction {extraction_id} lacks the document at position "
                    f"{rows + len(texts):,} (page {number})"
                )
                problems.append(_with_remedy(sentence, run))
                return rows + len(texts), problems
            texts.append(text)
        rows += len(texts)
        if raw_store.digest(texts) != page.sha256:
            sentence = (
                f"Page {number} of extraction {extraction_id} does not hold the documents that "
                f"were stored ({len(texts):,} of {page.rows:,} rows)"
            )
            problems.append(_with_remedy(sentence, run))
    rows += sum(1 for _ in documents)
    if rows != run.rows_out:
        sentence = (
            f"Extraction {extraction_id} holds {rows:,} documents instead of {run.rows_out:,}"
        )
        problems.append(_with_remedy(sentence, run))
    return rows, problems


def _parquet_problems(run: Run) -> list[str]:
    parquet = published(run)
    expected = (
        (run.rows_out or 0) + (run.rows_rejected or 0)
        if run.job == TRANSFORM
        else Computed.of(run).statistics
    )
    try:
        rows = parquet.rows()
    except StoreError as exc:
        return [f"{run.job}: {exc}"]
    if rows == expected:
        return []
    return [
        _with_remedy(f"{run.job}: {parquet.url} holds {rows:,} rows instead of {expected:,}", run)
    ]


def _warehouse_problems(
    date: datetime.date, run: Run | None
) -> tuple[warehouse.Fingerprint, list[str]]:
    """What the tables hold of a date, and what is wrong with it; `run` is its load, if any."""
    if run is None:
        tables = warehouse.fingerprint(date)
        return tables, [
            f"PostgreSQL holds {tables[table]:,} rows in {table} of {date}, but no load succeeded; "
            f"run `workflow run {date}` to replace them."
            for table in warehouse.TABLES
            if tables[table]
        ]
    loaded = Loaded.of(run).fingerprint
    try:
        tables = warehouse.fingerprint(date, loaded.get("columns", warehouse.FIRST_COLUMNS))
    except DataError as exc:
        return warehouse.fingerprint(date), [_with_remedy(str(exc), run)]
    return tables, [
        _with_remedy(
            f"PostgreSQL holds {tables[table]:,} rows in {table} of {date}, not the "
            f"{loaded[table]:,} that were loaded"
            if tables[table] != loaded[table]
            else f"{table} of {date} was changed in PostgreSQL after it was loaded",
            run,
        )
        for table in warehouse.TABLES
        if any(tables[key] != loaded[key] for key in (table, f"{table}_digest"))
    ]


def _leftovers(session: Session, date: datetime.date) -> Iterator[str]:
    """Leftovers of unpublished attempts; the step's next attempt resumes or removes them.

    The next `workflow plan --diff` removes those of a killed one.
    """
    present = {job: lake.run_ids(job, date) for job in (*PARQUET, lake.DIFFERENCE)}
    history = runs.history(date)  # read after the lake: every run in it has its row by now
    ended = {run.run_id for run in history if run.unpublished} | runs.abandoned(history)
    used_runs = {run.run_id for run in history} - ended
    if present[lake.DIFFERENCE] and runs.holder(lake.DIFFERENCE, date):
        del present[lake.DIFFERENCE]  # it is running
    for job, run_ids in present.items():
        left = run_ids - used_runs
        if left:
            left &= lake.run_ids(job, date)  # some may have been removed meanwhile
        for run_id in sorted(left):
            yield f"{job}: the Parquet run {run_id} was not finished."
    attempts = [run for run in history if run.job == EXTRACT and run.details]
    extractions = {run.run_id: Storing.of(run).extraction_id for run in attempts}
    used = {extractions[run_id] for run_id in extractions.keys() - ended}
    unfinished = {extractions[run_id] for run_id in extractions.keys() & ended}
    for extraction_id in sorted(unfinished - used):
        pages = RawStore(session, date, extraction_id).pages()
        if pages:
            yield f"{EXTRACT}: extraction {extraction_id} ({len(pages)} pages) was not finished."
