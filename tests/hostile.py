"""A source that sends any bytes: a server below HTTP, on loopback."""

import contextlib
import dataclasses
import gzip
import json
import socket
import socketserver
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import requests

#: What is sent again and again by what never ends.
CHUNK = 1 << 16


@dataclasses.dataclass(frozen=True)
class Asked:
    """A request: its first line, its headers by name in lower case, its query."""

    line: str
    headers: dict[str, str]
    query: dict[str, str]

    @property
    def page(self) -> int:
        return int(self.query["page"])


Answer = Callable[[Asked, socket.socket], None]


class Hostile:
    """Answers every request by `answer`, which is called with the request and the socket.

    A connection is closed after its answer. `asked` has all requests.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        hostile = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    asked = _read(self.request)
                    if asked:
                        hostile.asked.append(asked)
                        hostile.answer(asked, self.request)
                        _close(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 50

        self._server = Server(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.root}/api/1.4/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.socket.close()


def _read(sock: socket.socket) -> Asked | None:
    sock.settimeout(60)
    received = b""
    while b"\r\n\r\n" not in received:
        more = sock.recv(CHUNK)
        if not more:
            return None
        received += more
    line, *lines = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    query = urllib.parse.urlsplit(line.split(" ")[1]).query
    return Asked(line, headers, dict(urllib.parse.parse_qsl(query)))


def _close(sock: socket.socket) -> None:
    """Close without a reset, which would take from the client what it has not read yet."""
    sock.shutdown(socket.SHUT_WR)
    sock.settimeout(5)
    while sock.recv(CHUNK):
        pass


# ---- what a source sends -------------------------------------------------------------------


def http(body: bytes, *, status: str = "200 OK", headers: Sequence[str] = ()) -> bytes:
    """A response with a body of known length. Headers may hold anything, in latin-1."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def sends(data: bytes) -> Answer:
    """An answer of these bytes."""
    return lambda _, sock: sock.sendall(data)


def for_ever(data: bytes, again: bytes) -> Answer:
    """An answer that never ends: some bytes, then others again and again."""

    def answer(_: Asked, sock: socket.socket) -> None:
        sock.sendall(data)
        block = again * max(1, CHUNK // len(again))
        while True:
            sock.sendall(block)

    return answer


def byte_by_byte(data: bytes, again: bytes = b"a", pause: float = 0.05) -> Answer:
    """An answer that never ends, a byte at a time."""

    def answer(_: Asked, sock: socket.socket) -> None:
        sock.sendall(data)
        while True:
            for at in range(len(again)):
                sock.sendall(again[at : at + 1])
                time.sleep(pause)

    return answer


def gzip_bomb(megabytes: int) -> bytes:
    """So many megabytes of zeros, compressed to a thousandth of it."""
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(bytes(1_000_000)) for _ in range(megabytes)]
    return b"".join([*parts, packer.flush()])


def gzip_bomb_in_gzip(megabytes: int) -> bytes:
    """The same, compressed twice."""
    return gzip.compress(gzip_bomb(megabytes))


def page_of(asked: Asked, documents: Sequence[bytes], **info: Any) -> bytes:
    """A page of documents as they are, with the info that was asked for, or another."""
    echoed = {
        "seed": asked.query["seed"],
        "results": int(asked.query["results"]),
        "page": asked.page,
        "version": "1.4",
    }
    return (
        b'{"results":[' + b",".join(documents) + b'],"info":'
        + json.dumps(echoed | info).encode() + b"}"
    )  # fmt: skip


def page(
    change: Callable[[list[bytes]], None], documents: Callable[[Asked], list[bytes]]
) -> Answer:
    """A page with some of its documents replaced in place."""

    def answer(asked: Asked, sock: socket.socket) -> None:
        found = documents(asked)
        change(found)
        sock.sendall(http(page_of(asked, found)))

    return answer


def plain(asked: Asked) -> list[bytes]:
    """Documents with an id and nothing more, for what reads no further."""
    return [
        b'{"login":{"uuid":"%d-%d"}}' % (asked.page, n) for n in range(int(asked.query["results"]))
    ]


def people(standin: str) -> Callable[[Asked], list[bytes]]:
    """The documents that the stand-in sends to the same request."""

    def documents(asked: Asked) -> list[bytes]:
        with requests.Session() as session:
            session.trust_env = False
            found = session.get(standin, params=asked.query, timeout=30).json()["results"]
        return [json.dumps(document, ensure_ascii=False).encode() for document in found]

    return documents


def good(documents: Callable[[Asked], list[bytes]] = plain) -> Answer:
    """What a well source sends."""
    return page(lambda _: None, documents)


def on_page(number: int, answer: Answer, otherwise: Answer) -> Answer:
    """One answer for one page, another for all others."""
    return lambda asked, sock: (answer if asked.page == number else otherwise)(asked, sock)


# ---- by name: what never gives a page -------------------------------------------------------

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"


def answers(elsewhere: str = "http://127.0.0.1:9/") -> Iterator[tuple[str, Answer, str]]:  # noqa: PLR0915
    """Answers that are no page: a name, the answer, and the client's words as a pattern.

    `elsewhere` is where redirects lead.
    """
    location = f"Location: {elsewhere}"
    late = "timed out"
    long = r"got no response \(.*more than 13,000,000 bytes.*\)"
    late_or_long = f"(?:{late}|{long}|got a body of more than 12,000,000 bytes)"
    lost = r"got no response \(.*\)"
    found = f"HTTP/1.1 302 Found\r\n{location}\r\n".encode()
    redirect = f"got status 302 Found, a redirect to {elsewhere}.*, which is not followed"
    not_json = r"got a response that is not JSON \(.*\)"
    other = r"got a response that (?:is not a page of users|does not match the request) \(.*\)"

    yield "redirect", sends(http(b"", status="302 Found", headers=[location])), redirect
    yield "redirect, endless body", for_ever(found + b"\r\n", b" "), redirect
    yield (
        "redirect, gzip of 1 GB",
        sends(
            http(
                gzip_bomb(1_000),
                status="302 Found",
                headers=[location, "Content-Encoding: gzip"],
            )
        ),
        redirect,
    )  # fmt: skip
    yield "redirect, byte by byte", byte_by_byte(found + b"\r\n"), redirect
    yield "303 without Location", sends(http(b"", status="303 See")), "got status 303 See"
    yield "header byte by byte", byte_by_byte(_OK + b"X: "), late
    yield "status line byte by byte", byte_by_byte(b"HTTP/1.1 200 "), late
    yield "endless status line", for_ever(b"HTTP/1.1 200 ", b"O"), lost
    yield "endless 100 Continue", for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), late_or_long
    yield "100 Continue, slow", byte_by_byte(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01), late
    yield "endless headers", for_ever(_OK, b"X: y\r\n"), lost
    yield "an endless header", for_ever(_OK + b"X: ", b"y"), lost
    yield "endless trailers", for_ever(_CHUNKED + b"0\r\n", b"X: y\r\n"), ".*"
    yield "trailers byte by byte", byte_by_byte(_CHUNKED + b"0\r\n", b"X: y\r\n"), late
    yield "endless chunk size", for_ever(_CHUNKED, b"0"), lost
    yield "chunk size byte by byte", byte_by_byte(_CHUNKED, b"0"), late
    yield "endless chunks of 1 byte", for_ever(_CHUNKED, b"1\r\n \r\n"), late_or_long
    yield "chunk of -1", sends(_CHUNKED + b"-1\r\nabc"), ".*"
    yield "chunk size is a word", sends(_CHUNKED + b"zz\r\nabc"), lost
    yield "body byte by byte", byte_by_byte(_OK + b"\r\n", b" "), late
    yield "endless body", for_ever(_OK + b"\r\n", b" "), late_or_long
    yield (
        "gzip of 1 GB",
        sends(http(gzip_bomb(1_000), headers=["Content-Encoding: gzip"])),
        "got a body of more than 12,000,000 bytes",
    )
    yield (
        "gzip of a gzip of 1 GB",
        sends(http(gzip_bomb_in_gzip(1_000), headers=["Content-Encoding: gzip, gzip"])),
        "got a body of more than 12,000,000 bytes",
    )
    yield (
        "gzip within 100 gzips",
        sends(http(b"x", headers=[f"Content-Encoding: {'gzip,' * 100}"])),
        lost,
    )
    yield "no gzip", sends(http(b"{}", headers=["Content-Encoding: gzip"])), lost
    yield "lists in a list", sends(http(b"[" + b"[],[]," * 1_800_000 + b"[]]")), other
    yield (
        "lists in results",
        lambda asked, sock: sock.sendall(http(page_of(asked, [b"[],[]," * 1_800_000 + b"[]"]))),
        other,
    )
    yield (
        "lists in info",
        sends(http(b'{"results":[],"info":[' + b"[],[]," * 1_800_000 + b"[]]}")),
        other,
    )
    yield "keys without end", sends(http(b"{" + b'"a":1,' * 1_800_000 + b'"a":1}')), other
    yield (
        "lists in a document, beside one that is not JSON",
        page(
            lambda found: found.__setitem__(
                slice(2), [b'{"a":"\x01"}', b"[" + b"[]," * 3_700_000 + b"[]]"]
            ),
            plain,
        ),
        r"got a (?:response that could not be read in time|page in which 1 of .*)",
    )
    yield (
        "users in an object",
        lambda asked, sock: sock.sendall(
            http(page_of(asked, plain(asked)).replace(b"[", b"{").replace(b"]", b"}"))
        ),
        not_json,
    )
    yield "a last comma", page(lambda found: found.append(b" "), plain), not_json
    yield "nested lists", sends(http(b"[" * 10_000_000)), other
    slow = "got a response that could not be read in time"
    yield (
        "nested in info",
        sends(http(b'{"results":[],"info":' + b"[" * 9_000_000)),
        f"(?:{not_json}|{slow})",
    )
    yield (
        "unbalanced results",
        lambda asked, sock: sock.sendall(http(page_of(asked, [b"]" * 1_000_000]))),
        not_json,
    )
    yield "a string without end", sends(http(b'{"results":["' + b"a" * 11_000_000)), not_json
    yield "quotes", sends(http(b'{"results":[' + b'"\\' * 5_500_000)), not_json
    yield "no status line", sends(b"hello\r\n\r\n"), lost
    yield "status 99999", sends(http(b"", status="99999 X")), lost
    yield "status 999", sends(http(b"", status="999 X")), "got status 999 X"
    yield "status 204", sends(b"HTTP/1.1 204 No Content\r\n\r\n"), "got status 204 No Content"
    yield "nothing", sends(b""), lost
    yield "HTTP/9", sends(b"HTTP/9.9 200 OK\r\n\r\n{}"), ".*"
    yield "NULs", sends(bytes(1_000)), lost
    yield "Content-Length 10^30", sends(_OK + b"Content-Length: 1%s\r\n\r\n{" % (b"0" * 30)), ".*"
    yield (
        "Content-Length of 5,000 digits",
        sends(_OK + b"Content-Length: %s\r\n\r\n{}" % (b"9" * 5_000)),
        ".*",
    )
    yield "Content-Length -1", sends(_OK + b"Content-Length: -1\r\n\r\n{}"), other
    yield "Content-Length ²", sends(_OK + "Content-Length: ²\r\n\r\n{}".encode("latin-1")), ".*"
    yield (
        "two Content-Lengths",
        sends(_OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
        ".*",
    )
    yield "too short", sends(_OK + b"Content-Length: 50\r\n\r\n{}"), lost
    yield (
        "Retry-After ²",
        sends(http(b"", status="503 X", headers=["Retry-After: ²"])),
        "got status 503 X",
    )
    yield (
        "Retry-After 10^400",
        sends(http(b"", status="503 X", headers=["Retry-After: 1" + "0" * 400])),
        "got status 503 X",
    )
    yield (
        "headers that are none",
        sends(http(b"{}", headers=["no colon", " folded", ": empty", "\x00: \x1b", "X: \xff"])),
        other,
    )
    yield (
        "escapes as reason",
        sends(http(b"", status="503 \x1b]0;title\x07\x9b2J\x7f", headers=["Location: \x1b[2J"])),
        r"got status 503 \\x1b\]0;title\\x07\\x9b2J\\x7f, a redirect to \\x1b\[2J, which .*",
    )  # fmt: skip
    yield (
        "escapes as error",
        sends(http(json.dumps({"error": "\x1b[2J\r\nForged: line\u202e\u2028"}).encode())),
        (
            r"got a response that is not a page of users "
            r"\(\\x1b\[2J\\r\\nForged: line\\u202e\\u2028\)"
        ),
    )
    yield (
        "a seed of 1 MB",
        lambda asked, sock: sock.sendall(http(page_of(asked, plain(asked), seed="s" * 1_000_000))),
        (
            r"got a response that does not match the request \(seed: .{200}… "
            r"\(1,000,002 characters\), not .*\)"
        ),
    )
    yield (
        "another page of 400 digits",
        lambda asked, sock: sock.sendall(
            http(page_of(asked, plain(asked)).replace(b'"page": ', b'"page": ' + b"9" * 400))
        ),
        other,
    )
