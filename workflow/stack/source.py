"""Which API `make run` uses: the real one if it responds in time, else the stand-in."""

import msgspec
import requests

from workflow import settings

RESPONSE_SECONDS = 5.0


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
    try:
        response = requests.get(
            url, params={"results": "1", "seed": "is-it-there"}, timeout=RESPONSE_SECONDS
        )
        response.raise_for_status()
        users = msgspec.json.decode(response.content)["results"]
    except requests.Timeout:
        return f"no response within {RESPONSE_SECONDS:g} s"
    except requests.HTTPError as exc:
        return f"status {exc.response.status_code}"
    except requests.RequestException:
        return "unreachable"
    except (msgspec.DecodeError, KeyError, TypeError):
        return "the response is not JSON with users"
    return None if users else "the response holds no users"
