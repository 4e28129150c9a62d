"""The daily batch: `luigi --module workflow RunDaily` finds its tasks here."""

from workflow import tasks
from workflow.bootstrap import bootstrap

__all__ = ["tasks"]

bootstrap()
