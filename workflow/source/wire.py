"""HTTP to the source, bounded in time and bytes whatever the other side sends.

requests limits the time between two bytes, never a whole response, and reads the body of a
redirect whole even when it is not to be followed. Headers, interim responses, chunk sizes and
trailers all arrive through the socket, so the bounds are there.
"""

import http.client
import io
import threading
import time
from collections.abc import Callable
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

#: How long a silent socket is waited for before anybody asks whether to go on, s.
POLL_SECONDS = 0.2


class _TooLong(http.client.HTTPException):
    """A response had more bytes than allowed."""


class BodyTooLongError(Exception):
    """A body has more bytes than allowed, unpacked."""


class Bounds:
    """What a response may take: `seconds()` from its request on, and `size` bytes as sent.

    Setting `stopped` ends the responses under way.
    """

    def __init__(self, seconds: Callable[[], float], size: int, stopped: threading.Event) -> None:
        self.seconds = seconds
        self.size = size
        self.stopped = stopped


class _Received(io.RawIOBase):
    """What a socket receives for one response, within bounds.

    Raises TimeoutError, _TooLong or ConnectionAbortedError, which urllib3 translates.
    """

    def __init__(self, sock: Any, file: Any, bounds: Bounds) -> None:
        self._sock = sock
        self._file = file  # http.client closes the socket itself when the last file is closed
        self._bounds = bounds
        self._until = time.monotonic() + bounds.seconds()
        self._size = bounds.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if self._bounds.stopped.is_set():
                raise ConnectionAbortedError("the request was stopped")
            # what follows an answer to CONNECT, a TLS handshake, has the patience of a connection
            patience = self._sock.gettimeout()
            self._sock.settimeout(min(left, POLL_SECONDS))
            try:
                size: int = self._sock.recv_into(buffer)
            except TimeoutError:
                continue
            finally:
                self._sock.settimeout(patience)
            self._size -= size
            if self._size < 0:
                raise _TooLong(f"it has more than {self._bounds.size:,} bytes")
            return size

    def close(self) -> None:
        self._file.close()
        super().close()


def body_of(response: requests.Response, size: int) -> bytearray:
    """The unpacked body of a response of `stream=True`, at most `size` bytes.

    Raises BodyTooLongError, and what urllib3 and requests raise.
    """
    body = bytearray()
    # read1 returns what has arrived, iter_content would wait for a full chunk
    while chunk := response.raw.read1(1 << 18, decode_content=True):
        body += chunk
        if len(body) > size:
            raise BodyTooLongError
    return body


class _Adapter(HTTPAdapter):
    """Sends requests over connections whose responses are bounded."""

    def __init__(self, bounds: Bounds, connections: int) -> None:
        def response(sock: Any, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
            made = http.client.HTTPResponse(sock, *args, **kwargs)
            raw = _Received(sock, made.fp.detach(), bounds)
            made.fp = io.BufferedReader(raw)
            return made

        self._pools = {}
        for scheme, pool in (("http", HTTPConnectionPool), ("https", HTTPSConnectionPool)):
            connection: Any = pool.ConnectionCls
            bounded = type("Connection", (connection,), {"response_class": staticmethod(response)})
            self._pools[scheme] = type("Pool", (pool,), {"ConnectionCls": bounded})
        super().__init__(pool_maxsize=connections)

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """The response, but its cookies: requests parses them even if none may be kept."""
        for name in ("Set-Cookie", "Set-Cookie2"):
            del resp._original_response.msg[name]
        return super().build_response(req, resp)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> urllib3.ProxyManager:
        manager: urllib3.ProxyManager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


class Session(requests.Session):
    """A session that speaks to the source only, within bounds.

    No redirect is followed, no cookie is kept, and no password of ~/.netrc is sent. HTTP_PROXY,
    HTTPS_PROXY and NO_PROXY count.
    """

    def __init__(self, bounds: Bounds, *, connections: int = 1) -> None:
        super().__init__()
        self.headers["User-Agent"] = "batch-workflow"
        self.auth = lambda request: request  # with any, requests does not look into ~/.netrc
        self.mount("http://", _Adapter(bounds, connections))
        self.mount("https://", _Adapter(bounds, connections))

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        """None: asked for a target, requests reads the body first, however long it is."""
        return None
