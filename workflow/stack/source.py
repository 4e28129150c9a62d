"""Which API `make run` uses: the real one if it responds in time, else the stand-in."""

import threading

import msgspec
import requests
import urllib3

from workflow import settings
from workflow.source import wire

RESPONSE_SECONDS = 5.0
RESPONSE_BYTES_MAX = 1_000_000


class _Response(msgspec.Struct):
    results: tuple[msgspec.Raw]  # one user was asked for


def choose(wanted: str) -> tuple[str, str]:
    """The URL for `--source-url`, and a sentence that says which one it is and how to choose.

    `wanted` is `real`, `standin` or `auto`.
    """
    real = settings.source().url
    standin = f"http://127.0.0.1:{settings.stack().standin_port}/api/1.4/"
    if wanted == "real":
        return real, f"Source: the real API, {real}."
    if wanted == "standin":
        return standin, f"Source: the stand-in at {standin}; its people are invented."
    reason = _why_not(real)
    if reason is None:
        return real, f"Source: the real API, {real}. To choose: make run SOURCE=real|standin."
    return standin, (
        f"Source: the stand-in at {standin}; its people are invented. The real API {real} cannot "
        f"be used ({reason}). To choose: make run SOURCE=real|standin."
    )


def _why_not(url: str) -> str | None:
    """Why an API does not return a user now, or None if it does."""
    bounds = wire.Bounds(lambda: RESPONSE_SECONDS, RESPONSE_BYTES_MAX, threading.Event())
    try:
        with (
            wire.Session(bounds) as session,
            session.get(
                url,
                params={"results": "1", "seed": "is-it-there"},
                timeout=RESPONSE_SECONDS,
                stream=True,
            ) as response,
        ):
            if response.status_code != 200:
                return f"status {response.status_code}"
            msgspec.json.decode(wire.body_of(response, RESPONSE_BYTES_MAX), type=_Response)
    except wire.BodyTooLongError:
        return f"the response has more than {RESPONSE_BYTES_MAX:,} bytes"
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        return f"no response within {RESPONSE_SECONDS:g} s"
    except (requests.RequestException, urllib3.exceptions.HTTPError):
        return "unreachable"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "the response is not JSON with a user"
    return None
