"""What a date requests from the source, and the pages in which it arrives."""

import dataclasses
import datetime
from typing import Self

import msgspec
import requests

from workflow.settings import api_version, source


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extraction:
    """Everything that decides which users a date gets.

    Two extractions with equal fields request the same users, so one may resume with the
    pages that the other has stored.
    """

    url: str
    api_version: str
    seed: str
    users_per_day: int
    page_size: int

    @classmethod
    def of(cls, date: datetime.date) -> Self:
        """The extraction of a date by the current settings.

        Each date has a seed of its own, of fixed width and ending in a letter: the API appends
        the page number to it, and treats seeds of 18 characters differently.

        Raises SettingsError.
        """
        cfg = source()
        return cls(
            url=cfg.url,
            api_version=api_version(cfg.url),
            seed=f"batch-{date.isoformat().replace('-', '')}-users",
            users_per_day=cfg.users_per_day,
            page_size=min(cfg.page_size, cfg.users_per_day),
        )

    def other_settings(self, date: datetime.date) -> list[str]:
        """How it differs from what the date would request now; this makes nothing due."""
        now = self.of(date)
        return [
            f"{what} {before} (now {after})"
            for what, before, after in (
                ("source", self.url, now.url),
                ("users per day", self.users_per_day, now.users_per_day),
            )
            if before != after
        ]

    @property
    def pages(self) -> int:
        """The number of pages; they are numbered from 1."""
        return -(-self.users_per_day // self.page_size)

    def page_rows(self, page: int) -> int:
        """The number of users of a page; the last page may be shorter."""
        return min(self.page_size, self.users_per_day - self.offset(page))

    def offset(self, page: int) -> int:
        """The position of a page's first user in the day."""
        return (page - 1) * self.page_size

    def query(self, page: int) -> dict[str, str]:
        """The query of the request for a page."""
        return {
            "results": str(self.page_rows(page)),
            "seed": self.seed,
            "page": str(page),
            "format": "json",
        }

    def request(self, page: int) -> str:
        """The URL of the request for a page, as it is sent."""
        return str(requests.Request("GET", self.url, params=self.query(page)).prepare().url)


class Unstorable(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a document that cannot be stored: why, its size, and its sha256 in hex."""

    reason: str
    bytes: int
    sha256: str


#: A user's JSON document as the API wrote it, in UTF-8 and a part of the response's body.
Document = memoryview | Unstorable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """A checked page. `server` is how the source names its server."""

    number: int
    offset: int
    documents: list[Document]
    server: str
