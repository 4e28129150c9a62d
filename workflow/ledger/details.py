"""What the steps write into `details` of their ledger rows, and how it is read back.

A record is written when an attempt starts or when it is published; one row may hold several:
`Extracting.of(run)` reads that record of a run and ignores the others.
"""

import uuid
from typing import Any, Self

import msgspec

from workflow.extraction import Extraction
from workflow.ledger.runs import Run
from workflow.stores.warehouse import Fingerprint


class Details(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record in the details of a run."""

    @classmethod
    def of(cls, run: Run) -> Self:
        """The record of a run. Raises msgspec.ValidationError when it has none of this kind."""
        return msgspec.convert(run.details, cls)

    def as_json(self) -> dict[str, Any]:
        """As the ledger holds it."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields


class Storing(Details, frozen=True, kw_only=True):
    """ExtractUsers, from its start: under which id it stores documents.

    swept: no attempt will resume it, and what it stored is removed.
    """

    extraction_id: uuid.UUID
    swept: bool = False


class Extracting(Storing, frozen=True, kw_only=True):
    """ExtractUsers, from its start, with what it requests."""

    extraction: Extraction


class Extracted(Details, frozen=True, kw_only=True):
    """ExtractUsers: what it stored. `sha256` is the manifest's."""

    server: str
    pages: int
    pages_resumed: int
    buckets: int
    sha256: str


class Engine(Details, frozen=True, kw_only=True):
    """TransformUsers and ComputeStats, from their start: where Spark runs."""

    engine: str
    version: str
    pyspark: str


class Written(Details, frozen=True, kw_only=True):
    """TransformUsers and ComputeStats: their Parquet run in the lake."""

    url: str


class Computed(Written, frozen=True, kw_only=True):
    """ComputeStats: how many rows of statistics the run has."""

    statistics: int


class Loaded(Details, frozen=True, kw_only=True):
    """LoadUsers: what the date held when its load was committed."""

    fingerprint: Fingerprint
