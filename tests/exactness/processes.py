"""Waiting for processes of a test's own, without sleeping for a guessed time."""

import subprocess
import time
from collections.abc import Callable

PATIENCE = 300  # s; only a test that fails waits so long


def wait_until(happened: Callable[[], object], *processes: "subprocess.Popen[bytes]") -> None:
    """Ask again and again; a process that ends meanwhile is an error."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline
        assert [process.poll() for process in processes] == [None] * len(processes)
        time.sleep(0.005)
