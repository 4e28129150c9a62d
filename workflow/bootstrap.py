"""What importing this project changes in Luigi and in Python, each change with its reason."""

import os
import sys
from pathlib import Path

import luigi.worker
import truststore
from luigi.configuration import get_config
from luigi.interface import core

from workflow.errors import show_uncaught
from workflow.resources import resource
from workflow.worker import PatientWorker


def bootstrap() -> None:
    """Make the changes. A second call has no further effect."""
    # an error that a person can fix is one sentence, also where Luigi would print a traceback
    sys.excepthook = show_uncaught
    ignore_proxy_on_loopback()
    # HTTPS trusts the certificates of the machine, not those of a package: behind a company's own
    # certificate authority nothing else reaches the API
    truststore.inject_into_ssl()
    # in an installed wheel, outside the project's root, the file is inside the package
    if not Path(get_config().get("core", "logging_conf_file", "")).is_file():
        get_config().set("core", "logging_conf_file", str(resource("config") / "logging.cfg"))
    # Luigi's command line has no option for a worker class
    luigi.worker.Worker = PatientWorker  # type: ignore[misc]
    # Luigi reads these two from [core], and then warns that nothing reads them
    core.ignore_unconsumed |= {"rpc_retry_attempts", "rpc_retry_wait"}


def ignore_proxy_on_loopback() -> None:
    """Make every library bypass an HTTP proxy for loopback addresses.

    requests, urllib and gRPC honour NO_PROXY, in one case or the other, and look no further than
    the first that is set: so each gets the hosts of both.
    """
    names = ("no_proxy", "NO_PROXY")
    hosts = [host for name in names for host in os.environ.get(name, "").split(",") if host]
    hosts = list(dict.fromkeys([*hosts, "127.0.0.1", "localhost", "::1"]))
    # * must stand alone, and means every host
    os.environ.update(dict.fromkeys(names, "*" if "*" in hosts else ",".join(hosts)))
