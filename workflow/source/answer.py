"""What a response of the API holds: its `info`, and each user's document as it was sent.

A document that is not JSON, or that cannot be stored, must become one reject and not make its page
unusable. So this module reads the page around the documents, and looks inside none of them.
"""

import functools
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from workflow.extraction import Document, Unstorable
from workflow.printable import printable

#: A user of 1.4 has about 1,100 bytes. Readers hold 250 documents at a time, and a text with one
#: emoji takes four times its bytes.
DOCUMENT_BYTES_MAX = 8_192

#: Objects and lists within one another; a user of 1.4 has 3. Python's json gives up somewhere
#: below 1,000, depending on its caller.
DOCUMENT_DEPTH_MAX = 100

#: How much of a response a sentence repeats, in characters.
QUOTED_MAX = 200

#: How many brackets, commas and strings are read before anybody asks whether to go on: some ms.
TOKENS_AT_A_TIME = 5_000

#: Whether there is time to read on.
GoOn = Callable[[], bool]

TOO_LARGE, TOO_DEEP, NOT_UTF8 = "document_too_large", "document_too_deep", "document_not_utf8"


class NotThePageError(Exception):
    """A response that is not the page that was requested; says what came instead."""


class Info(msgspec.Struct):
    """What the API echoes of the request."""

    seed: str
    results: int
    page: float  # the API keeps 1.5 as it is
    version: str


class _Page(msgspec.Struct):
    info: msgspec.Raw
    results: msgspec.Raw


class _Refusal(msgspec.Struct):
    error: str


_decode_page = msgspec.json.Decoder(_Page).decode
_decode_info = msgspec.json.Decoder(Info).decode
_decode_refusal = msgspec.json.Decoder(_Refusal).decode


@functools.cache
def _list_decoder(count: int) -> Any:
    """Reads a list of a fixed length: one of 12 MB may hold 4 million elements."""
    return msgspec.json.Decoder(tuple[(msgspec.Raw,) * count]).decode  # type: ignore[misc]


def info_of(body: bytearray, go_on: GoOn) -> tuple[Info, memoryview]:
    """The info of a body, and its list of users, not yet read. Raises NotThePageError."""
    try:
        try:
            page = _decode_page(body)
            info, users = memoryview(page.info), memoryview(page.results)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, RecursionError):
            # it checks the documents, too, and knows neither lone surrogates nor any depth
            info, users = _split(body, go_on)
        return _decode_info(info), users
    except msgspec.ValidationError as exc:
        error = printable(_error_text(body) or str(exc), QUOTED_MAX)
        raise NotThePageError(f"got a response that is not a page of users ({error})") from exc
    except (ValueError, RecursionError) as exc:
        raise _not_json(body, exc) from exc


def documents_of(users: memoryview, count: int, go_on: GoOn) -> tuple[list[Document], int]:
    """The documents in a list of `count` users, and how many of them are not JSON.

    Raises NotThePageError when there are more or fewer.
    """
    try:
        found = [memoryview(document) for document in _list_decoder(count)(users)]
        all_json = True
    except (msgspec.DecodeError, RecursionError):
        try:
            places = list(itertools.islice(_items(users, _LIST, go_on), count + 1))
        except ValueError as exc:
            raise _not_json(users, exc) from exc
        found = [_stripped(users[begin:end]) for begin, end in places]
        all_json = False
    if len(found) != count:
        how_many = f"more than {count:,}" if len(found) > count else f"{len(found):,}"
        raise NotThePageError(
            "got a response that does not match the request "
            f"(users in the list: {how_many}, not {count:,})"
        )
    documents = [_document(document, go_on) for document in found]
    return documents, sum(not _is_json(document, checked=all_json) for document in documents)


def _not_json(text: bytearray | memoryview, error: Exception) -> NotThePageError:
    reason = printable(str(error), QUOTED_MAX)
    return NotThePageError(f"got a response that is not JSON ({len(text):,} bytes, {reason})")


def _error_text(body: bytearray) -> str | None:
    """The API's own words in a body like `{"error": "…"}`."""
    try:
        return _decode_refusal(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


# ---- documents ---------------------------------------------------------------------------


def _document(document: memoryview, go_on: GoOn) -> Document:
    """The document, or why it cannot be stored."""
    if len(document) > DOCUMENT_BYTES_MAX:
        return _unstorable(TOO_LARGE, document)
    text = bytes(document)
    opened = text.count(b"{") + text.count(b"[")
    if opened > DOCUMENT_DEPTH_MAX and _depth(text, go_on) > DOCUMENT_DEPTH_MAX:
        return _unstorable(TOO_DEEP, document)
    try:
        text.decode()
    except UnicodeDecodeError:
        return _unstorable(NOT_UTF8, document)
    return document


def _unstorable(reason: str, document: memoryview) -> Unstorable:
    sha256 = hashlib.sha256(document).hexdigest()
    return Unstorable(reason=reason, bytes=len(document), sha256=sha256)


def _is_json(document: Document, *, checked: bool) -> bool:
    """Whether a document is JSON by RFC 8259, which allows lone surrogates.

    `checked` when msgspec has read it, which looks at everything but the encoding.
    """
    if isinstance(document, Unstorable):
        return document.reason != NOT_UTF8
    if checked:
        return True
    try:
        # decoded here, because json would guess another encoding
        text = str(document, "utf-8")
        json.loads(text, parse_constant=_refuse, parse_float=str, parse_int=str)
    except ValueError:
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# ---- JSON without a look inside ----------------------------------------------------------

# Possessive, so that no string costs memory for steps back. A quote alone begins a string that
# never ends.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},]', re.DOTALL)
_SPACE = b" \t\n\r"
_LIST, _OBJECT = b"[]", b"{}"
_QUOTE, _COMMA, _OPEN, _CLOSE = ord('"'), ord(","), frozenset(b"[{"), frozenset(b"]}")


def _tokens(text: bytes | bytearray | memoryview, go_on: GoOn) -> Iterator[re.Match[bytes]]:
    """The tokens of a text. Raises NotThePageError when there is no time for more."""
    for number, token in enumerate(_TOKEN.finditer(text)):
        if number % TOKENS_AT_A_TIME == 0 and not go_on():
            raise NotThePageError("got a response that could not be read in time")
        yield token


def _items(text: bytearray | memoryview, brackets: bytes, go_on: GoOn) -> Iterator[tuple[int, int]]:
    """Where each item of an object or list begins and ends.

    Raises ValueError, at last after the items, unless the text is one between these brackets.
    """
    opens, closes = brackets
    depth = begin = 0
    for token in _tokens(text, go_on):
        at, kind = token.start(), text[token.start()]
        if depth == 0 and (kind != opens or bytes(text[:at]).strip()):
            break
        if kind in _OPEN:
            depth += 1
            begin = begin or at + 1
        elif kind in _CLOSE:
            depth -= 1
            if depth == 0:
                if kind != closes:
                    raise ValueError("its brackets do not match")
                if bytes(text[begin:at]).strip():
                    yield begin, at
                elif text[begin - 1] == _COMMA:
                    raise ValueError("nothing follows its last comma")
                if bytes(text[at + 1 :]).strip():
                    raise ValueError("text follows its end")
                return
        elif kind == _COMMA and depth == 1:
            yield begin, at
            begin = at + 1
        elif kind == _QUOTE and token.end() == at + 1:
            raise ValueError("a string never ends")
    raise ValueError("it never ends" if depth else f"it does not begin with {chr(opens)}")


def _stripped(item: memoryview) -> memoryview:
    """An item without the white space of the list around it, as msgspec gives it."""
    text = bytes(item)
    return item[len(text) - len(text.lstrip(_SPACE)) : len(text.rstrip(_SPACE))]


def _depth(text: bytes, go_on: GoOn) -> int:
    """How many objects and lists are within one another."""
    depth = deepest = 0
    for token in _tokens(text, go_on):
        kind = text[token.start()]
        depth += (kind in _OPEN) - (kind in _CLOSE)
        deepest = max(deepest, depth)
    return deepest


def _split(body: bytearray, go_on: GoOn) -> tuple[memoryview, memoryview]:
    """Info and users of a body. Raises ValueError."""
    whole = memoryview(body)
    found: dict[bytes, memoryview] = {}
    for begin, end in _items(body, _OBJECT, go_on):
        key, colon, _ = bytes(whole[begin : min(end, begin + QUOTED_MAX)]).partition(b":")
        if key.strip() in (b'"info"', b'"results"'):
            found[key.strip()] = whole[begin + len(key) + len(colon) : end]
    if len(found) < 2:
        raise ValueError("it has no info or no results")
    return found[b'"info"'], found[b'"results"']
