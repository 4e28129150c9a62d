"""Every error that this project raises on purpose.

One root, one subclass per *remedy*. The message is a full sentence that says what is
wrong, where, and what to do; it is the only thing that a person sees of it.

    WorkflowError
    ├── SettingsError      correct luigi.cfg, the option or the environment
    ├── SourceError        the API did not give what was asked for: try later, or other settings
    ├── StoreError         PostgreSQL, Cassandra or the lake cannot be used as they are
    │   └── SchemaError    run `workflow init-db`
    ├── DataError          the data of a date does not add up: look at it, then `workflow verify`
    ├── LeaseError         somebody else holds this step of this date, or took it from us
    └── StackError         the local stack cannot be started or stopped
"""

import logging
from typing import Any


class WorkflowError(Exception):
    """Root of all errors raised on purpose. `str()` of it is the sentence to show."""


class SettingsError(WorkflowError):
    """A setting is missing, unknown or out of range."""


class SourceError(WorkflowError):
    """The API refused, or kept answering with something else than what was asked for."""


class StoreError(WorkflowError):
    """PostgreSQL, Cassandra or the lake is unreachable, refuses us, or lost something."""


class SchemaError(StoreError):
    """A database has not the schema that this version of the code needs."""


class DataError(WorkflowError):
    """Rows in do not equal rows out plus rejected, or too many rows were rejected."""


class LeaseError(WorkflowError):
    """The lease of a step and date is held by somebody else, or was lost during the work."""


class StackError(WorkflowError):
    """A service of the local stack cannot be started, found or stopped."""


class SentenceFormatter(logging.Formatter):
    """Logs an error of ours as its sentence; every other exception keeps its traceback."""

    def formatException(self, ei: Any) -> str:
        """The sentence of a WorkflowError, else the traceback."""
        if isinstance(ei[1], WorkflowError):
            return f"{type(ei[1]).__name__}: {ei[1]}"
        return super().formatException(ei)
