"""The stand-in under a rehearsal's name of one test's own, see docs/rehearsals.md."""

from typing import Self

import requests

from tests.conftest import Pipeline


class Rehearsal:
    """What goes wrong with the API of a pipeline. Nothing does until `has` is called."""

    def __init__(self, pipeline: Pipeline, name: str) -> None:
        root = pipeline.stack.standin_url.removesuffix("/api/1.4/")
        self.control = f"{root}/faults/{name}"
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy on loopback
        self.has("")
        pipeline.set("source", url=f"{self.control}/api/1.4/")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def has(self, plan: str) -> None:
        """Begin anew with a plan."""
        self.session.put(self.control, data=plan.encode(), timeout=10).raise_for_status()

    @property
    def requests(self) -> int:
        """How many there were since it began."""
        return int(self.session.get(self.control, timeout=10).json()["requests"])
