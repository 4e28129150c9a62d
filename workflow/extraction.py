"""What a date asks the source for, and the pages in which it comes."""

import dataclasses
import datetime
from typing import Self

import requests

from workflow.settings import api_version, source


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extraction:
    """Everything that decides which users a date gets.

    Two extractions with equal fields ask for the same users, so one may go on with the
    pages that the other has stored.
    """

    url: str
    api_version: str
    seed: str
    users_per_day: int
    page_size: int

    @classmethod
    def of(cls, date: datetime.date) -> Self:
        """The extraction that today's settings ask for on a date.

        The seed is one per date, of fixed width and ending in a letter: the API glues the
        page number to it, and treats seeds of 18 characters in another way.

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
        """How many pages the extraction has; they are numbered from 1."""
        return -(-self.users_per_day // self.page_size)

    def page_rows(self, page: int) -> int:
        """How many users a page is asked for; the last may be shorter."""
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """A checked page: the users' JSON documents exactly as the API wrote them."""

    number: int
    offset: int
    documents: list[str]
    server: str
