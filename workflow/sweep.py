"""Leftovers of killed and failed attempts in the stores: resumed or removed by the next attempt.

Call these inside an attempt: while it holds the lease, no other attempt can publish.
"""

import logging
import uuid
from collections.abc import Sequence

import msgspec

from workflow.errors import StoreError
from workflow.extraction import Extraction
from workflow.ledger.details import Storing
from workflow.ledger.lease import Lease
from workflow.ledger.runs import Run
from workflow.stores import lake
from workflow.stores.raw_store import RawStore

log = logging.getLogger(__name__)


def resumable(history: Sequence[Run], extraction: Extraction) -> uuid.UUID | None:
    """The extraction that the last attempt left unfinished, if it requested the same."""
    if not history or not _unswept(history[-1]):
        return None
    # compared as written: another version of the code may have requested more or less
    if history[-1].details.get("extraction") != msgspec.to_builtins(extraction):
        return None
    return Storing.of(history[-1]).extraction_id


def extractions(lease: Lease, history: Sequence[Run], store: RawStore) -> None:
    """Remove the unpublished extractions, except the one of `store`."""
    used = {Storing.of(run).extraction_id for run in history if run.state == "succeeded"}
    used.add(store.extraction_id)
    unused = [run for run in history if _unswept(run) and Storing.of(run).extraction_id not in used]
    for run in unused:
        extraction_id = Storing.of(run).extraction_id
        store.remove(extraction_id, run.rows_in or 0)
        log.info("Removed the unfinished extraction %s", extraction_id)
    if unused:
        lease.mark_swept(unused)


def _unswept(run: Run) -> bool:
    """Whether an attempt of ExtractUsers may have left documents that were not removed since."""
    return run.unpublished and not Storing.of(run).swept


def parquet_runs(lease: Lease) -> None:
    """Remove the unpublished Parquet runs.

    Runs that the ledger does not list as unpublished are left alone. A run that cannot be removed,
    because a job still writes to it, waits for the next attempt.
    """
    present = lake.run_ids(lease.job, lease.date)
    for run in lease.history() if present else ():
        if run.unpublished and run.run_id in present:
            try:
                lake.remove(lake.run_url(lease.job, lease.date, run.run_id))
            except StoreError as exc:
                log.warning("%s", exc)
            else:
                log.info("Removed the unfinished Parquet run %s", run.run_id)
