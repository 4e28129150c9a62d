"""The raw store: every JSON document as the API wrote it, in Apache Cassandra.

Rows are keyed by (date, extraction, position), so writing a page twice changes nothing. A
page's row in `extraction_pages` is written after all its documents are acknowledged, and
the manifest after the last page: the missing pages are the complement.

All writes of an attempt carry its start as their timestamp, so an older attempt that is still
alive somewhere never overwrites a newer one, however late it writes.
"""

import dataclasses
import datetime
import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent
from cassandra.query import UNSET_VALUE, BatchStatement, BatchType

from spark_apps.users import KEY, RAW_TABLE, Key
from workflow import sql
from workflow.errors import DataError
from workflow.extraction import Document, Extraction, Page, Unstorable
from workflow.settings import cassandra
from workflow.stores.cassandra import patiently

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

BUCKET_ROWS = 20_000  # about 20 MB a partition

#: A batch stays inside one partition and below 1 MiB. Measured on one node, rows/s in
#: batches of 1 / 40 / 200 / 1,000 rows: 1,300 / 16,000 / 23,300 / 24,700.
BATCH_ROWS = 400
BATCH_BYTES = 512 * 1024
BATCHES_IN_FLIGHT = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredPage:
    """A page whose documents are all acknowledged.

    `bytes` and `sha256` are of the documents, and of the records of those that cannot be stored.
    """

    page: int
    rows: int
    bytes: int
    sha256: str
    server: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an extraction stored. `sha256` is of the pages' digests, in order."""

    extraction_date: datetime.date
    extraction_id: uuid.UUID
    state: str
    stored: int
    bytes: int
    buckets: int
    started_at: datetime.datetime
    finished_at: datetime.datetime
    sha256: str


_STORED = [field.name for field in dataclasses.fields(Manifest)]
_COLUMNS = [*(field.name for field in dataclasses.fields(Extraction)), *_STORED]
#: For the statements on manifests: what an extraction requested and stored, and what it stored.
_MANIFEST = {
    "manifest": ", ".join("source_url" if name == "url" else name for name in _COLUMNS),
    "marks": ", ".join("?" for _ in _COLUMNS),
    "stored": ", ".join(_STORED),
}

# a document as far as its key, each object in the one above
_Document: Any = Key
for _name in reversed(KEY.leaf.split(".")):
    _Document = msgspec.defstruct("Document", [(_name, _Document)])
_decode = msgspec.json.Decoder(_Document).decode
_key_in: Callable[[Any], Key] = attrgetter(KEY.leaf)


def buckets(rows: int) -> int:
    """The number of partitions that an extraction's documents fill."""
    return -(-rows // BUCKET_ROWS)


def digest(texts: Iterable[str]) -> str:
    """The sha256 of what is stored of documents, in order, in hex. A line end closes each."""
    return _digest(text.encode() for text in texts)


def _digest(texts: Iterable[bytes | memoryview]) -> str:
    sha256 = hashlib.sha256()
    for text in texts:
        sha256.update(text)
        sha256.update(b"\n")
    return sha256.hexdigest()


class RawStore:
    """Reads and writes of one extraction of one date.

    `written_at` is the timestamp of all writes: the start of the attempt that writes.
    """

    def __init__(
        self,
        session: Session,
        date: datetime.date,
        extraction_id: uuid.UUID,
        *,
        written_at: datetime.datetime | None = None,
    ) -> None:
        self.extraction_id = extraction_id
        self._session = session
        self._key = (date, extraction_id)
        written_at = written_at or datetime.datetime.now(datetime.UTC)
        self._timestamp = (written_at - _EPOCH) // datetime.timedelta(microseconds=1)
        self._cql = {
            name: statement.format(
                keyspace=cassandra().keyspace, raw=RAW_TABLE, key=KEY.name, **_MANIFEST
            )
            for name, statement in vars(sql.load("raw_store.cql")).items()
        }
        self._prepared: dict[str, Any] = {}

    def _statement(self, name: str) -> Any:
        if name not in self._prepared:
            statement = patiently(lambda: self._session.prepare(self._cql[name]))
            statement.is_idempotent = True
            self._prepared[name] = statement
        return self._prepared[name]

    def _execute(self, name: str, *parameters: object) -> list[Any]:
        statement = self._statement(name)
        return patiently(lambda: list(self._session.execute(statement, parameters)))

    def write_page(self, page: Page) -> StoredPage:
        """Write a page's documents, then its row. Both are acknowledged when this returns."""
        batches = [(batch, ()) for batch in self._batches(page)]
        patiently(lambda: execute_concurrent(self._session, batches, concurrency=BATCHES_IN_FLIGHT))
        stored = StoredPage(
            page=page.number,
            rows=len(page.documents),
            bytes=sum(len(_kept(document)) for document in page.documents),
            sha256=_digest(map(_kept, page.documents)),
            server=page.server,
        )
        self._execute("write_page", *self._key, *dataclasses.astuple(stored), self._timestamp)
        return stored

    def _batches(self, page: Page) -> Iterator[BatchStatement]:
        statement = self._statement("write_document")
        now = datetime.datetime.now(datetime.UTC)
        batch, size, batch_bucket = None, 0, -1
        for position, document in enumerate(page.documents, start=page.offset):
            bucket = position // BUCKET_ROWS
            kept = _kept(document)
            length, text = len(kept), str(kept, "utf-8")
            # unset, because a null is a tombstone; readers look at raw_data first
            raw = (None, text) if isinstance(document, Unstorable) else (text, UNSET_VALUE)
            if batch is None or (
                bucket != batch_bucket or len(batch) >= BATCH_ROWS or size + length > BATCH_BYTES
            ):
                if batch is not None:
                    yield batch
                batch, size, batch_bucket = BatchStatement(BatchType.UNLOGGED), 0, bucket
            batch.add(
                statement,
                (
                    *self._key, bucket, position, _key_of(kept), *raw, now, self._timestamp,
                ),
            )  # fmt: skip
            size += length
        if batch is not None:
            yield batch

    def pages(self) -> dict[int, StoredPage]:
        """The stored pages by number."""
        rows = self._execute("read_pages", *self._key)
        return {row.page: StoredPage(**row._asdict()) for row in rows}

    def publish_manifest(self, extraction: Extraction, started_at: datetime.datetime) -> Manifest:
        """Write the manifest of a complete extraction.

        Raises DataError when a page is missing.
        """
        date, extraction_id = self._key
        pages = self.pages()
        missing = [n for n in range(1, extraction.pages + 1) if n not in pages]
        if missing:
            raise DataError(
                f"Extraction {extraction_id} of {date} lacks {len(missing)} of {extraction.pages} "
                f"pages, the first is {missing[0]}; run the date again."
            )
        ordered = [pages[n] for n in sorted(pages)]
        stored = sum(page.rows for page in ordered)
        manifest = Manifest(
            extraction_date=date,
            extraction_id=extraction_id,
            state="complete",
            stored=stored,
            bytes=sum(page.bytes for page in ordered),
            buckets=buckets(stored),
            started_at=started_at,
            finished_at=datetime.datetime.now(datetime.UTC),
            sha256=hashlib.sha256("".join(page.sha256 for page in ordered).encode()).hexdigest(),
        )
        values = (*dataclasses.astuple(extraction), *dataclasses.astuple(manifest))
        self._execute("write_manifest", *values, self._timestamp)
        return manifest

    def manifest(self) -> Manifest | None:
        """The manifest, or None for an extraction that was never completed."""
        rows = self._execute("read_manifest", *self._key)
        if not rows:
            return None
        values = rows[0]._asdict() | {"extraction_date": rows[0].extraction_date.date()}
        for name in ("started_at", "finished_at"):
            values[name] = values[name].replace(tzinfo=datetime.UTC)
        return Manifest(**values)

    def documents(self, bucket: int) -> Iterator[tuple[int, str]]:
        """Position and text of each document of a bucket, in order, as `digest` takes them.

        A bounded number of rows is read at a time.
        """
        statement = self._statement("read_documents")
        key = (*self._key, bucket)
        reply = patiently(lambda: self._session.execute(statement, key))
        while True:
            for row in reply.current_rows:
                yield row.position, row.unstorable if row.raw_data is None else row.raw_data
            state = reply.paging_state
            if state is None:
                return
            reply = patiently(partial(self._session.execute, statement, key, paging_state=state))

    def document(self, position: int) -> str | None:
        """The document at a position, or None where none is stored."""
        rows = self._execute("read_document", *self._key, position // BUCKET_ROWS, position)
        return rows[0].raw_data if rows else None

    def remove(self, extraction_id: uuid.UUID, rows: int) -> None:
        """Remove an extraction of the date, however many of its `rows` are stored.

        Later writes with an older timestamp than ours are removed with it.
        """
        key = (self._key[0], extraction_id)
        for bucket in range(buckets(rows)):
            self._execute("remove_documents", self._timestamp, *key, bucket)
        self._execute("remove_pages", self._timestamp, *key)
        self._execute("remove_manifest", self._timestamp, *key)


def _kept(document: Document) -> bytes | memoryview:
    """What is stored of a document: all of it, or the record of one that cannot be stored."""
    return msgspec.json.encode(document) if isinstance(document, Unstorable) else document


def _key_of(text: bytes | memoryview) -> Key | None:
    """The document's key if it has one: malformed documents are stored, too."""
    try:
        return _key_in(_decode(text))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
