"""PostgreSQL has committed a step, and its answer never arrives."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import Pipeline
from tests.days import STEPS, states
from tests.exactness.sickness import DATE, require_whole, undisturbed

#: The last that LoadUsers writes before it publishes.
MARKER = b"COPY user_statistics"


class Proxy:
    """Between the pipeline and PostgreSQL: after MARKER, a commit's answer is lost, once."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.lost = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                committing = threading.Event()
                for pump in (self._up, self._down):
                    threading.Thread(
                        target=pump, args=(client, server, committing), daemon=True
                    ).start()

    def _up(
        self, client: socket.socket, server: socket.socket, committing: threading.Event
    ) -> None:
        said = b""
        with contextlib.suppress(OSError), server:
            while data := client.recv(1 << 16):
                said = (said + data)[-(1 << 18) :]
                if MARKER in said and data.endswith(b"COMMIT\0") and not self.lost.is_set():
                    committing.set()
                server.sendall(data)

    def _down(
        self, client: socket.socket, server: socket.socket, committing: threading.Event
    ) -> None:
        with contextlib.suppress(OSError), client:
            while data := server.recv(1 << 16):
                if committing.is_set():  # PostgreSQL has answered, so it is done
                    self.lost.set()
                    break
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)  # closing alone waits for the other thread


@contextlib.contextmanager
def losing_proxy(pipeline: Pipeline, folder: Path) -> Iterator[Proxy]:
    """A pipeline that reaches PostgreSQL by such a proxy inside the block."""
    section = pipeline.config["postgres"]
    port, passfile = section["port"], section["passfile"]
    proxy = Proxy(int(port))
    own = folder / "pgpass"
    own.touch(mode=0o600)
    own.write_text(Path(passfile).read_text().replace(f":{port}:", f":{proxy.port}:"))
    pipeline.set("postgres", port=proxy.port, passfile=own)
    try:
        yield proxy
    finally:
        pipeline.set("postgres", port=port, passfile=passfile)
        proxy.close()


def test_a_commit_whose_answer_is_lost_counts(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.set("source", users_per_day=50)
    expected = undisturbed(pipeline)
    with losing_proxy(pipeline, tmp_path) as proxy:
        pipeline.day(DATE)
    assert proxy.lost.is_set()
    assert states(pipeline) == [(step.__name__, "succeeded") for step in STEPS]
    require_whole(pipeline, expected)
