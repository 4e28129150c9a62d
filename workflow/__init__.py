"""The daily batch: `luigi --module workflow RunDaily` finds its tasks here."""

import sys
from pathlib import Path

import luigi.worker
import truststore
from luigi.configuration import get_config
from luigi.interface import core

from workflow.errors import show_uncaught
from workflow.resources import resource
from workflow.settings import ignore_proxy_on_loopback
from workflow.tasks import ComputeStats, ExtractUsers, LoadUsers, RunDaily, TransformUsers
from workflow.worker import PatientWorker

__all__ = ["ComputeStats", "ExtractUsers", "LoadUsers", "RunDaily", "TransformUsers"]

# what a person can mend is said in a sentence, also where Luigi would print a traceback
sys.excepthook = show_uncaught
ignore_proxy_on_loopback()
# outside the project's root, in an installed wheel, the file lies inside the package
if not Path(get_config().get("core", "logging_conf_file", "")).is_file():
    get_config().set("core", "logging_conf_file", str(resource("config") / "logging.cfg"))
# the command line of Luigi has no other way to name a worker
luigi.worker.Worker = PatientWorker  # type: ignore[misc]
# Luigi reads these two from [core], and then warns that nobody reads them
core.ignore_unconsumed |= {"rpc_retry_attempts", "rpc_retry_wait"}
# HTTPS trusts what the machine trusts, not what a package once brought: behind a company's
# own certificate authority nothing else reaches the API
truststore.inject_into_ssl()
