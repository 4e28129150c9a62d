"""Waiting for what processes and services do, without sleeping for a guessed time."""

import subprocess
import time
from collections.abc import Callable

#: The longest that anything is waited for, s: only a test that fails waits so long.
PATIENCE = 240.0


def until(
    condition: Callable[[], object], what: str, *processes: "subprocess.Popen[bytes]"
) -> None:
    """Look again and again until a condition holds; a process that ends before it is an error."""
    give_up = time.monotonic() + PATIENCE
    while True:
        ended = [process.pid for process in processes if process.poll() is not None]
        if condition():
            return
        assert not ended, f"{what}: process {ended[0]} ended before"
        assert time.monotonic() < give_up, f"{what}: not within {PATIENCE:g} s"
        time.sleep(0.01)
