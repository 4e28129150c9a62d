"""`workflow trace`: from a figure or a person back to the run, the request and the document."""

import dataclasses
import datetime
import uuid
from typing import Any

from psycopg2.sql import SQL, Identifier

from spark_apps.documents import Documents, as_json
from spark_apps.users import KEY, NOUN, REJECTS, SHAPE, TABLE, Key
from workflow import sql
from workflow.errors import DataError
from workflow.extraction import Extraction
from workflow.ledger import runs
from workflow.ledger.details import Extracting
from workflow.ledger.runs import Run
from workflow.stores import cassandra, warehouse
from workflow.stores.postgres import query
from workflow.stores.raw_store import RawStore, StoredPage
from workflow.tasks import LOAD

_SQL = sql.load("trace.sql")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """Where one person came from: a row, its page's request, the document with secrets masked."""

    table: str
    position: int
    row: dict[str, Any]
    page: int
    request: str
    stored: StoredPage | None
    document: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trace:
    """What a date's tables were made from: the load, then the runs that it read, newest first."""

    date: datetime.date
    runs: list[Run]
    statistics: list[Any]
    extraction: Extraction
    extraction_id: uuid.UUID
    sources: list[Source]


def trace(date: datetime.date, key: Key | None = None) -> Trace:
    """Lead what PostgreSQL holds of a date, or of one person in it, back to its source.

    Follows the newest load that succeeded, whose rows are in the tables, even if a step is due.

    Raises DataError when the date was never loaded or does not hold the person, StoreError.
    """
    history = runs.history(date)
    loads = [run for run in history if (run.job, run.state) == (LOAD, "succeeded")]
    if not loads:
        raise DataError(f"{date} was never loaded; run `workflow plan {date}` to see why.")
    by_id = {run.run_id: run for run in history}
    read: dict[uuid.UUID, Run] = {}
    rest = [loads[-1]]
    while rest:
        run = rest.pop(0)
        read.setdefault(run.run_id, run)
        rest += [by_id[run_id] for run_id in run.inputs]
    chain = sorted(read.values(), key=lambda run: run.seq, reverse=True)
    extract = Extracting.of(chain[-1])
    return Trace(
        date=date,
        runs=chain,
        statistics=warehouse.statistics(date),
        extraction=extract.extraction,
        extraction_id=extract.extraction_id,
        sources=_sources(date, key, extract) if key else [],
    )


def _sources(date: datetime.date, key: Key, extract: Extracting) -> list[Source]:
    extraction = extract.extraction
    statement = SQL(_SQL.where_is).format(
        table=Identifier(TABLE), rejects=Identifier(REJECTS), key=Identifier(KEY.name)
    )
    places = query(statement, date=date, key=key, table=TABLE, rejects=REJECTS)
    if not places:
        raise DataError(
            f"{date} has no {NOUN} {key}, neither among {TABLE} nor among rejects; check the id."
        )
    sources = []
    with cassandra.connect() as session:
        store = RawStore(session, date, extract.extraction_id)
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
    """A raw document for display, a line per field, without the value of any secret."""
    if document is None:
        return "Cassandra does not hold it; run `workflow verify` for more."
    try:
        fields = Documents(SHAPE).decode(document)
        shown = [_shown(name, value) for name, value in fields.items()]
    except (AttributeError, ValueError, RecursionError):
        size = len(document.encode(errors="surrogatepass"))
        return (
            f"{size:,} bytes that are not a JSON object, not shown because they may hold a secret."
        )
    # a terminal cannot print a lone surrogate
    return "\n".join(shown).encode(errors="backslashreplace").decode()


def _shown(name: str, value: Any) -> str:
    return ": ".join(map(as_json, (name, SHAPE.masked({name: value})[name])))
