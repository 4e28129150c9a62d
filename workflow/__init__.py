"""The daily batch: `luigi --module workflow RunDaily` finds its tasks here."""

from workflow.settings import ignore_proxy_on_loopback
from workflow.tasks import ComputeStats, ExtractUsers, LoadUsers, RunDaily, TransformUsers

__all__ = ["ComputeStats", "ExtractUsers", "LoadUsers", "RunDaily", "TransformUsers"]

ignore_proxy_on_loopback()
