"""`workflow trace`: from a figure or a person back to the run, the request and the document."""

import dataclasses
import datetime
import json
import uuid
from typing import Any

from workflow import ledger, raw_store, warehouse
from workflow.errors import DataError
from workflow.ledger import Run
from workflow.randomuser import Extraction

MASK = "•••"

#: Keys of a document whose values are never shown, wherever they stand.
SECRET_KEYS = frozenset({"password", "salt", "md5", "sha1", "sha256"})

#: In objects that hold a secret only these keys are shown.
OPEN_KEYS = {"login": frozenset({"uuid", "username"}), "id": frozenset({"name"})}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """Where one person came from: a row, its page's request, and the document, secrets masked."""

    table: str
    position: int
    row: dict[str, Any]
    page: int
    request: str
    stored: raw_store.StoredPage | None
    document: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trace:
    """What a date's tables were made from: the load, then all that it read, newest first."""

    date: datetime.date
    runs: list[Run]
    extraction: Extraction
    extraction_id: uuid.UUID
    sources: list[Source]


def trace(date: datetime.date, user_id: uuid.UUID | None = None) -> Trace:
    """What is in PostgreSQL of a date, and of one person in it, back to where it came from.

    Follows the newest load that succeeded, whose rows the tables hold, even if a step is due.

    Raises DataError when the date was never loaded or does not hold the person, StoreError.
    """
    history = ledger.history(date)
    loads = [run for run in history if (run.job, run.state) == ("LoadUsers", "succeeded")]
    if not loads:
        raise DataError(f"{date} was never loaded; `workflow plan {date}` says why.")
    by_id = {run.run_id: run for run in history}
    runs: dict[uuid.UUID, Run] = {}
    rest = [loads[-1]]
    while rest:
        run = rest.pop(0)
        runs.setdefault(run.run_id, run)
        rest += [by_id[run_id] for run_id in run.inputs]
    chain = sorted(runs.values(), key=lambda run: run.seq, reverse=True)
    extract = chain[-1]
    extraction = Extraction(**extract.details["extraction"])
    extraction_id = extract.extraction_id
    return Trace(
        date=date,
        runs=chain,
        extraction=extraction,
        extraction_id=extraction_id,
        sources=_sources(date, user_id, extraction, extraction_id) if user_id else [],
    )


def _sources(
    date: datetime.date, user_id: uuid.UUID, extraction: Extraction, extraction_id: uuid.UUID
) -> list[Source]:
    places = warehouse.where_is(date, user_id)
    if not places:
        raise DataError(f"{date} has no user {user_id}, neither among users nor among rejects.")
    sources = []
    with raw_store.connect() as session:
        store = raw_store.RawStore(session, date, extraction_id)
        stored = store.pages()
        for place in places:
            page = place.position // extraction.page_size + 1
            sources.append(
                Source(
                    table=place.table,
                    position=place.position,
                    row=place.row,
                    page=page,
                    request=extraction.request(page),
                    stored=stored.get(page),
                    document=masked(store.document(place.position)),
                )
            )
    return sources


def masked(document: str | None) -> str:
    """A raw document to be shown, a line per field of it, without any secret's value."""
    if document is None:
        return "Cassandra does not hold it; `workflow verify` says more."
    try:
        fields = json.loads(document)
        shown = [_shown(name, value) for name, value in fields.items()]
    except (AttributeError, ValueError, RecursionError):
        size = len(document.encode(errors="surrogatepass"))
        return f"{size:,} bytes that are no JSON object, not shown: they may hold a secret."
    # a lone surrogate is no text that a terminal takes
    return "\n".join(shown).encode(errors="backslashreplace").decode()


def _shown(name: str, value: Any) -> str:
    return ": ".join(json.dumps(part, ensure_ascii=False) for part in (name, _masked(value, name)))


def _masked(value: Any, key: str) -> Any:
    open_keys = OPEN_KEYS.get(key.strip().lower())
    if isinstance(value, dict):
        return {
            name: MASK
            if _is_secret(name) or (open_keys is not None and name not in open_keys)
            else _masked(inner, name)
            for name, inner in value.items()
        }
    if open_keys is not None or _is_secret(key):
        return MASK  # a secret that stands where its object is expected
    if isinstance(value, list):
        return [_masked(item, key) for item in value]
    return value


def _is_secret(key: str) -> bool:
    return key.strip().lower() in SECRET_KEYS
