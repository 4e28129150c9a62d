"""The target of a step: a metadata row, not a file."""

import datetime

import luigi

from workflow.ledger.runs import Versions, current_runs


class LedgerTarget(luigi.Target):
    """Exists exactly when the ledger has a current run of a step and date.

    Currency is transitive, see `current_runs` in db-init/postgresql/001_ledger.sql: Luigi
    does not look below a complete task, so the target must.
    """

    def __init__(self, job: str, date: datetime.date, versions: Versions) -> None:
        self.job = job
        self.date = date
        self._versions = versions

    def exists(self) -> bool:
        """Ask the ledger, change nothing. Raises StoreError, SchemaError, SettingsError."""
        return (self.date, self.job) in current_runs(self._versions, self.date, self.date)

    def __str__(self) -> str:
        return f"ledger row of {self.job} for {self.date}"
