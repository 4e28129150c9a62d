"""Text that comes from outside, made safe to show, to log and to store."""

import re

#: What may act on a terminal instead of showing, ends a line, or is no character: controls, line
#: and paragraph separators, the marks that reverse the direction of a line, halves of a pair.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, limit: int) -> str:
    """The text in one line: unsafe characters as escapes, at most `limit` characters of it.

    Letters of all scripts stay, and so do the joiners (U+200C, U+200D) that some of them need.
    A text that is cut ends with its full length.
    """
    shown = _UNSAFE.sub(lambda m: m[0].encode("unicode_escape").decode(), text[:limit])
    return shown if len(text) <= limit else f"{shown}… ({len(text):,} characters)"
