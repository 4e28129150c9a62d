"""`workflow verify`: do the three stores hold what the ledger says?

For each step of a date the newest succeeded run is held against its store, by counts and
by digests: documents against the pages' sha256, Parquet against its row counts, tables
against the fingerprint taken in the transaction that loaded them.
"""

import dataclasses
import datetime
import hashlib
import itertools
import uuid
from collections.abc import Iterator

from cassandra.cluster import Session

from workflow import lake, ledger, raw_store, warehouse
from workflow.errors import StoreError
from workflow.ledger import Run, Versions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found for a date: each problem and each left-over is a sentence."""

    date: datetime.date
    raw: int
    users: int
    rejected: int
    due: list[str]
    problems: list[str]
    leftovers: list[str]


def verify(session: Session, date: datetime.date, versions: Versions) -> Verdict:
    """Hold the stores against the ledger for one date. Changes nothing.

    Where no step is due, raw documents must also equal users plus rejects: before that, they
    may be of different generations. Raises StoreError when a store cannot be asked at all.
    """
    history = ledger.history(date)
    current = ledger.current_runs(versions, date, date)
    due = [job for job in versions if (date, job) not in current]
    done = {run.job: run for run in history if run.state == "succeeded"}
    held = warehouse.fingerprint(date)
    problems: list[str] = []
    raw = 0
    if "ExtractUsers" in done:
        raw, found = _raw_problems(session, done["ExtractUsers"])
        problems += found
    for job in lake.FOLDERS:
        if job in done:
            problems += _parquet_problems(done[job])
    problems += _warehouse_problems(date, done.get("LoadUsers"), held)
    if not due and not problems and raw != held["users"] + held["rejected_users"]:
        problems.append(
            f"{raw:,} raw documents are not {held['users']:,} users and "
            f"{held['rejected_users']:,} rejects; `workflow rerun {date} --from TransformUsers`."
        )
    return Verdict(
        date=date,
        raw=raw,
        users=held["users"],
        rejected=held["rejected_users"],
        due=due,
        problems=problems,
        leftovers=[*_leftovers(session, date)],
    )


def _mend(problem: str, run: Run) -> str:
    """The sentence for a store that does not hold what a run published."""
    return f"{problem}; `workflow rerun {run.partition_date} --from {run.job}`."


def _raw_problems(session: Session, run: Run) -> tuple[int, list[str]]:
    """Documents counted, and what is wrong with the extraction that a run published."""
    extraction_id = run.extraction_id
    store = raw_store.RawStore(session, run.partition_date, extraction_id)
    manifest = store.manifest()
    if manifest is None:
        return 0, [
            _mend(f"Cassandra has no extraction {extraction_id}, which the ledger names", run)
        ]
    pages = store.pages()
    digests = hashlib.sha256("".join(pages[n].sha256 for n in sorted(pages)).encode()).hexdigest()
    if not digests == manifest.sha256 == run.details["sha256"]:
        sentence = f"Extraction {extraction_id}: its pages are not those that it published"
        return 0, [_mend(sentence, run)]
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
                    f"Extraction {extraction_id}: the document at position {rows + len(texts):,} "
                    f"is missing (page {number})"
                )
                problems.append(_mend(sentence, run))
                return rows + len(texts), problems
            texts.append(text)
        rows += len(texts)
        if raw_store.digest(texts) != page.sha256:
            sentence = (
                f"Extraction {extraction_id}: page {number} does not hold the documents that were "
                f"stored ({len(texts):,} of {page.rows:,} rows)"
            )
            problems.append(_mend(sentence, run))
    rows += sum(1 for _ in documents)
    if rows != run.rows_out:
        sentence = (
            f"Extraction {extraction_id} holds {rows:,} documents instead of {run.rows_out:,}"
        )
        problems.append(_mend(sentence, run))
    return rows, problems


def _parquet_problems(run: Run) -> list[str]:
    parquet = lake.ParquetRun(run.details["url"], job=run.job, date=run.partition_date)
    expected = (
        (run.rows_out or 0) + (run.rows_rejected or 0)
        if run.job == "TransformUsers"
        else run.details["statistics"]
    )
    try:
        rows = parquet.rows()
    except StoreError as exc:
        return [f"{run.job}: {exc}"]
    if rows == expected:
        return []
    return [_mend(f"{run.job}: {parquet.url} holds {rows:,} rows instead of {expected:,}", run)]


def _warehouse_problems(date: datetime.date, run: Run | None, held: dict[str, object]) -> list[str]:
    if run is None:
        return [
            f"PostgreSQL holds {held[table]:,} rows in {table} of {date}, but no load succeeded; "
            f"`workflow run {date}` replaces them."
            for table in ("users", "rejected_users", "user_statistics")
            if held[table]
        ]
    loaded = run.details["fingerprint"]
    return [
        _mend(
            f"PostgreSQL holds {held[table]:,} rows in {table} of {date}, not the "
            f"{loaded[table]:,} that were loaded"
            if held[table] != loaded[table]
            else f"{table} of {date} was changed in PostgreSQL after it was loaded",
            run,
        )
        for table in ("users", "rejected_users", "user_statistics")
        if (held[table], held[f"{table}_digest"]) != (loaded[table], loaded[f"{table}_digest"])
    ]


def _leftovers(session: Session, date: datetime.date) -> Iterator[str]:
    """What attempts left behind that ended in vain; the step's next attempt uses or sweeps it.

    So does the next `workflow plan --diff` with what one of them left that was killed.
    """
    there = {job: lake.run_ids(job, date) for job in lake.FOLDERS}
    history = ledger.history(date)  # after the lake: what lies there has its row by now
    ended = {run.run_id for run in history if run.ended_in_vain} | ledger.abandoned(history)
    used_runs = {run.run_id for run in history} - ended
    if there[lake.DIFFERENCE] and ledger.holder(lake.DIFFERENCE, date):
        del there[lake.DIFFERENCE]  # it is at work
    for job, runs in there.items():
        left = runs - used_runs
        if left:
            left &= lake.run_ids(job, date)  # it may have been removed meanwhile
        for run_id in sorted(left):
            yield f"{job}: the Parquet run {run_id} was not finished."
    extractions = [run for run in history if run.job == "ExtractUsers" and run.details]
    used = {run.details["extraction_id"] for run in extractions if run.run_id not in ended}
    unfinished = {run.details["extraction_id"] for run in extractions if run.run_id in ended}
    for extraction_id in sorted(unfinished - used):
        pages = raw_store.RawStore(session, date, uuid.UUID(extraction_id)).pages()
        if pages:
            yield f"ExtractUsers: extraction {extraction_id} ({len(pages)} pages) was not finished."
