"""The schema files of `db-init/`, and whether exactly these were applied to a store.

Their names and checksums are recorded in the store's own `schema_migrations` when
`workflow init-db` applies them; a run checks them before it writes.
"""

import dataclasses
import hashlib
from pathlib import Path

from workflow.errors import SchemaError
from workflow.resources import resource


@dataclasses.dataclass(frozen=True, kw_only=True)
class SchemaFile:
    """A numbered file of `db-init/`; `sha256` is of its text as committed."""

    name: str
    text: str
    sha256: str


def files(store: str) -> list[SchemaFile]:
    """The schema files of `postgresql` or `cassandra`, in the order of their numbers."""
    paths = sorted((resource("db-init") / store).glob("[0-9]*.*ql"))
    return [_read(path) for path in paths]


def _read(path: Path) -> SchemaFile:
    data = path.read_bytes()
    return SchemaFile(name=path.name, text=data.decode(), sha256=hashlib.sha256(data).hexdigest())


def require(store: str, applied: dict[str, str]) -> None:
    """Raises SchemaError unless a store has the schema of this version of the code.

    `store` is PostgreSQL or Cassandra; `applied` maps its schema files to their checksums.
    """
    missing = pending(files(store.lower()), applied, store)
    if missing:
        raise SchemaError(
            f"{store} lacks the schema file {missing[0].name}; run `workflow init-db`."
        )


def pending(known: list[SchemaFile], applied: dict[str, str], store: str) -> list[SchemaFile]:
    """The files that are not applied yet.

    Raises SchemaError for an edited file, and for one that this version does not know.
    """
    by_name = {file.name: file for file in known}
    for name, sha256 in sorted(applied.items()):
        if name not in by_name:
            raise SchemaError(
                f"{store} has the schema file {name}, which this version of the pipeline does not "
                "know; use the version that applied it, or a newer one."
            )
        if by_name[name].sha256 != sha256:
            raise SchemaError(
                f"db-init/{store.lower()}/{name} was edited after it was applied to {store}; "
                "restore it and put the change into a new, higher-numbered file."
            )
    return [file for file in known if file.name not in applied]
