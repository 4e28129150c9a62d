"""What the benchmarks share: a stack of their own, and the cost of a command."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from tests.conftest import BIN, running_stack  # noqa: E402

SAMPLE_SECONDS = 0.1  # a sample costs about 4 ms of a processor


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a command took: seconds of wall clock and of processor, bytes of memory at its peak.

    All are of the process and its descendants; memory is the sum of their resident sets, so
    pages that they share count once for each.
    """

    wall: float
    processor: float
    memory: int


def measure(command: list[str], env: dict[str, str]) -> Cost:
    """Run a command in the project's folder; its log is shown only if it fails.

    Raises SystemExit when it does.
    """
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=PROJECT, env=env, stdout=log, stderr=log)
        peaks = [0]
        ended = threading.Event()
        sampler = threading.Thread(target=_sample, args=(process.pid, peaks, ended))
        sampler.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
        except BaseException:  # Ctrl-C, or the signal below: the stack is stopped next
            process.kill()
            process.wait()
            raise
        finally:
            ended.set()
            sampler.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            sys.stderr.buffer.write(log.read())
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}.")
    # the kernel's own figure, of the largest process, sees peaks between two samples; KiB, on
    # macOS bytes
    largest = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Cost(wall=wall, processor=usage.ru_utime + usage.ru_stime, memory=max(*peaks, largest))


def _sample(pid: int, peaks: list[int], ended: threading.Event) -> None:
    while not ended.wait(SAMPLE_SECONDS):
        total = 0
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            for process in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
        peaks.append(total)


def luigi(task: str, *options: str) -> list[str]:
    """The command that runs a task."""
    return [str(BIN / "luigi"), "--module", "workflow", task, "--local-scheduler", *options]


@contextlib.contextmanager
def stack() -> Iterator[Path]:
    """A local stack on free ports, with schemas and the stand-in as the source.

    Gives the settings file for LUIGI_CONFIG_PATH; stack and data are gone afterwards.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped by SIGTERM."))
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        running_stack(Path(folder)) as running,
    ):
        yield running.config_path
