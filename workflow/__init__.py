"""The daily batch: `luigi --module workflow RunDaily` finds its tasks here."""

from workflow.bootstrap import bootstrap
from workflow.tasks import ComputeStats, ExtractUsers, LoadUsers, RunDaily, TransformUsers

__all__ = ["ComputeStats", "ExtractUsers", "LoadUsers", "RunDaily", "TransformUsers"]

bootstrap()
