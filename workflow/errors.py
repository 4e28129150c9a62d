"""Every error that this project raises on purpose.

One root, one subclass per *remedy*. The message is a full sentence that says what is
wrong, where, and what to do; it is all that a person sees of the error.

    WorkflowError
    ├── SettingsError      correct luigi.cfg, the option or the environment
    ├── SourceError        the API did not deliver what was requested: try later, or change settings
    ├── StoreError         PostgreSQL, Cassandra or the lake cannot be used as they are
    │   └── SchemaError    run `workflow init-db`
    ├── DataError          the data of a date does not add up: check it, run `workflow verify`
    ├── LeaseError         another process holds this step of this date, or took it over
    ├── DeadlineError      a step took too long: find out what it waited for, or raise the deadline
    └── StackError         the local stack cannot be started or stopped
"""

import configparser
import logging
import sys
from types import TracebackType
from typing import Any

from luigi.rpc import RPCError
from luigi.task_register import TaskClassException

from workflow.printable import printable

#: A sentence may repeat what a source or a server said, which may be of any length.
SENTENCE_MAX = 2_000


class WorkflowError(Exception):
    """Root of all errors raised on purpose. `str()` of it is the sentence to show, printable."""

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence, SENTENCE_MAX))


class SettingsError(WorkflowError):
    """A setting is missing, unknown or out of range."""


class SourceError(WorkflowError):
    """The API refused, or kept sending something other than what was requested."""


class StoreError(WorkflowError):
    """PostgreSQL, Cassandra or the lake is unreachable, refuses us, or lost something."""


class SchemaError(StoreError):
    """A database does not have the schema that this version of the code needs."""


class DataError(WorkflowError):
    """Rows in do not equal rows out plus rejected, or too many rows were rejected."""


class LeaseError(WorkflowError):
    """The lease of a step and date is held by another process, or was lost during the work."""


class DeadlineError(WorkflowError):
    """The work on a step did not finish within its deadline."""


class StackError(WorkflowError):
    """A service of the local stack cannot be started, found or stopped."""


def innermost(error: BaseException) -> BaseException:
    """The first cause of an error, without the chain of wrappers around it."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return error


def sentence_of(error: BaseException | None) -> str | None:
    """The sentence to show for an error, or None where only a traceback helps.

    Besides our own errors these are errors of Luigi that a person can cause: a task that does not
    exist, a luigid that does not respond, a config file that cannot be read.
    """
    if isinstance(error, WorkflowError):
        return str(error)
    if isinstance(error, TaskClassException):
        text = str(error).replace("Did you mean:\n", "Choose ").replace("\n", " or ")
        return text.replace("Candidates are:", "Choose one of") + "."
    if isinstance(error, RPCError):
        reason = innermost(error.sub_exception or error)
        return (
            f"luigid does not respond ({reason}); start it with `workflow stack up`, correct "
            "[core] scheduler_host and scheduler_port, or pass --local-scheduler."
        )
    while error is not None:
        if isinstance(error, configparser.Error):
            text = " ".join(str(error).split()).rstrip(".")
            return f"luigi.cfg or the LUIGI_CONFIG_PATH file cannot be read ({text}); correct it."
        error = error.__cause__ or error.__context__
    return None


def show_uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """A `sys.excepthook` that prints the sentence where there is one."""
    sentence = sentence_of(error)
    if sentence is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        print(f"Error: {printable(sentence, SENTENCE_MAX)}", file=sys.stderr)


class SentenceFormatter(logging.Formatter):
    """Logs an error as its sentence where it has one, else with its traceback.

    All lines but the first are indented, so that no text can look like a record of its own.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The lines of a record, before any traceback."""
        record.message = _indented(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        """The sentence, the traceback, or nothing where Luigi logs the absence of an error."""
        if ei[1] is None:
            return ""
        sentence = sentence_of(ei[1])
        return _indented(f"Error: {sentence}" if sentence else super().formatException(ei))


def _indented(text: str) -> str:
    return "\n    ".join(printable(line, SENTENCE_MAX) for line in text.split("\n"))
