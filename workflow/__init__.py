"""The daily batch: `luigi --module workflow RunDaily` finds its tasks here."""

import truststore

from workflow.settings import ignore_proxy_on_loopback
from workflow.tasks import ComputeStats, ExtractUsers, LoadUsers, RunDaily, TransformUsers

__all__ = ["ComputeStats", "ExtractUsers", "LoadUsers", "RunDaily", "TransformUsers"]

ignore_proxy_on_loopback()
# HTTPS trusts what the machine trusts, not what a package once brought: behind a company's
# own certificate authority nothing else reaches the API
truststore.inject_into_ssl()
