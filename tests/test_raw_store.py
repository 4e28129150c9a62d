"""Documents in Cassandra: byte for byte, page by page, complete or not published."""

import dataclasses
import datetime
import json
import uuid
from typing import Any

import pytest

from tests.conftest import Pipeline
from workflow.errors import DataError, SchemaError, SettingsError, StoreError
from workflow.extraction import Document, Extraction, Page
from workflow.stores import cassandra, raw_store
from workflow.stores.raw_store import RawStore

DATE = datetime.date(2026, 11, 20)


def extraction(users: int, page_size: int) -> Extraction:
    return Extraction(
        url="http://127.0.0.1/api/1.4/",
        api_version="1.4",
        seed="s",
        users_per_day=users,
        page_size=page_size,
    )


def page(asked: Extraction, number: int, filling: str = "") -> Page:
    documents = [
        json.dumps({"login": {"uuid": str(uuid.UUID(int=n))}, "x": filling or "é\u200c"})
        for n in range(asked.page_rows(number))
    ]
    return page_of(*documents, number=number, offset=asked.offset(number))


def page_of(*documents: str, number: int = 1, offset: int = 0) -> Page:
    """A page of documents as a response holds them."""
    parts: list[Document] = [memoryview(text.encode()) for text in documents]
    return Page(number=number, offset=offset, documents=parts, server="a test")


@pytest.fixture
def store(cassandra: Any) -> RawStore:
    return RawStore(cassandra, DATE, uuid.uuid4())


def test_documents_come_back_as_they_were(store: RawStore, cassandra: Any) -> None:
    asked = extraction(3, 3)
    odd = ['{"a": "\\ud800"}', "null", '{"login":{"uuid":7}}\t\u200c']
    store.write_page(page_of(*odd))
    assert list(store.documents(0)) == list(enumerate(odd))
    stored = store.pages()[1]
    assert (stored.rows, stored.bytes) == (3, sum(len(text.encode()) for text in odd))
    assert stored.sha256 == raw_store.digest(odd)
    assert store.manifest() is None
    manifest = store.publish_manifest(asked, datetime.datetime.now(datetime.UTC))
    assert (manifest.stored, manifest.buckets, manifest.state) == (3, 1, "complete")
    read = store.manifest()
    assert read is not None
    assert (read.sha256, read.extraction_date) == (manifest.sha256, DATE)
    rows = cassandra.execute(
        "SELECT source_url, api_version, seed, users_per_day, page_size "
        "FROM batch_keyspace.extraction_metadata WHERE extraction_date = %s AND extraction_id = %s",
        store._key,
    )
    assert [tuple(row) for row in rows] == [dataclasses.astuple(asked)]
    assert read.finished_at.tzinfo is not None


def test_user_ids_are_kept_where_documents_have_one(store: RawStore, cassandra: Any) -> None:
    asked = extraction(2, 2)
    store.write_page(page(asked, 1))
    store.write_page(page_of('{"login": {"uuid": "none"}}', offset=1))
    rows = cassandra.execute(
        "SELECT position, user_id FROM batch_keyspace.raw_users WHERE extraction_date = %s "
        "AND extraction_id = %s AND bucket = 0",
        store._key,
    )
    assert [row.user_id for row in rows] == [uuid.UUID(int=0), None]


def test_a_page_that_crosses_a_bucket_is_split(store: RawStore) -> None:
    asked = extraction(20_002, 20_002)
    store.write_page(page(asked, 1))
    assert [position for position, _ in store.documents(1)] == [20_000, 20_001]
    assert sum(1 for _ in store.documents(0)) == raw_store.BUCKET_ROWS
    assert raw_store.buckets(20_000) == 1
    assert raw_store.buckets(20_001) == 2


def test_large_documents_do_not_make_batches_too_large(store: RawStore) -> None:
    asked = extraction(20, 20)
    store.write_page(page(asked, 1, filling="x" * 200_000))
    assert sum(1 for _ in store.documents(0)) == 20


def test_writing_a_page_twice_changes_nothing(store: RawStore) -> None:
    asked = extraction(5, 5)
    first = store.write_page(page(asked, 1))
    before = list(store.documents(0))
    assert store.write_page(page(asked, 1)) == first
    assert list(store.documents(0)) == before


def test_an_incomplete_extraction_has_no_manifest(store: RawStore) -> None:
    asked = extraction(6, 2)
    store.write_page(page(asked, 1))
    store.write_page(page(asked, 3))
    with pytest.raises(DataError, match="lacks 1 of 3 pages, the first is 2"):
        store.publish_manifest(asked, datetime.datetime.now(datetime.UTC))
    assert store.manifest() is None


def test_the_digest_does_not_run_documents_together() -> None:
    assert raw_store.digest(["1", "23"]) != raw_store.digest(["12", "3"])


def test_a_cassandra_that_does_not_answer(pipeline: Pipeline) -> None:
    pipeline.set("cassandra", port=9)
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:9 does not respond.*stack status"):
        cassandra.connect().__enter__()


def test_a_missing_keyspace_names_the_command(pipeline: Pipeline) -> None:
    pipeline.set("cassandra", keyspace="nowhere")
    with (
        pytest.raises(SchemaError, match="workflow init-db"),
        cassandra.connect() as session,
    ):
        RawStore(session, DATE, uuid.uuid4()).pages()


def test_a_missing_password_file(pipeline: Pipeline) -> None:
    pipeline.set("cassandra", user="someone", password_file="nowhere/secret")
    with pytest.raises(SettingsError, match=r"\[cassandra\] password_file names 'nowhere/secret'"):
        cassandra.connect().__enter__()
