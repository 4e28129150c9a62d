"""How many users a second the stand-in serves on one core.

    python benchmarks/standin.py [--seconds 3]

Starts `python -m workflow.standin` on a free port and asks for pages that it has never
made before, one after the other on one kept connection, without gzip and with it. A user's
cost is what the server *process* spent (user and system time, everything from the socket in
to the socket out), so the client and other programs on the machine do not count.
"""

import argparse
import http.client
import subprocess
import sys
from time import monotonic
from urllib.parse import urlsplit

import psutil


def rate(server: psutil.Process, url: str, results: int, gzip: bool, seconds: float) -> float:
    """Users per second of the server's processor time."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    headers = {"Accept-Encoding": "gzip" if gzip else "identity"}

    def fetch(page: int) -> None:
        path = f"{parts.path}?results={results}&seed=benchmark-{gzip}&page={page}"
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if answer.status != 200 or len(answer.read()) < results * 100:
            raise SystemExit(f"The stand-in answered {path} with status {answer.status}.")

    fetch(1)
    before = server.cpu_times()
    page, end = 1, monotonic() + seconds
    while monotonic() < end:
        page += 1
        fetch(page)
    after = server.cpu_times()
    connection.close()
    spent = float(after.user - before.user + after.system - before.system)
    return (page - 1) * results / spent


def main() -> None:
    """Print a line per size of page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="per line")
    seconds = parser.parse_args().seconds
    command = [sys.executable, "-m", "workflow.standin", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().split()[-1] if process.stdout else ""
            print("results    gzip    users per core-second")
            for results, gzip in ((1000, False), (5000, False), (1000, True), (5000, True)):
                users = rate(psutil.Process(process.pid), url, results, gzip, seconds)
                print(f"{results:7}    {'yes' if gzip else 'no ':4}    {users:21,.0f}")
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
