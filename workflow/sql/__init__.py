"""Every runtime statement, named, in one file per store.

A file is a sequence of `-- name: STATEMENT` lines, each followed by comments and one
statement. Parameters are the driver's: `%(name)s` for PostgreSQL, `?` for Cassandra.
"""

import re
from importlib.resources import files
from types import SimpleNamespace


def load(file: str) -> SimpleNamespace:
    """The statements of a file as attributes: `load("ledger.sql").current_runs`."""
    text = files(__name__).joinpath(file).read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return SimpleNamespace(**dict(zip(parts[::2], parts[1::2], strict=True)))
