"""Faults over HTTP: what each is, when it comes, and that rehearsals do not disturb each other."""

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.exactness.processes import until
from tests.standin.conftest import Standin, Start
from workflow.standin.faults import CONDITIONS, RESPONSE_FAULTS, USER_FAULTS

QUERY = "seed=batch-20261120-users&results=20"
TEXT = Path(__file__).resolve().parents[2] / "docs/rehearsals.md"


class Rehearsing:
    """A stand-in under a rehearsal's name of this test's own."""

    def __init__(self, standin: Standin, name: str) -> None:
        self.standin = standin
        self.name = name

    def ask(self, plan: str = "", query: str = QUERY, **options: Any) -> requests.Response:
        path = f"/faults/{self.name}/{plan + '/' if plan else ''}api/1.4/"
        return self.standin.ask(query, path=path, **options)

    def control(self, method: str, plan: str = "") -> requests.Response:
        url = requests.compat.urljoin(self.standin.url, f"/faults/{self.name}")
        return self.standin.session.request(method, url, data=plan.encode(), timeout=20)

    def statuses(self, plan: str, times: int, query: str = QUERY) -> list[int]:
        return [self.ask(plan, query).status_code for _ in range(times)]


@pytest.fixture
def rehearsing(standin: Standin, request: pytest.FixtureRequest) -> Rehearsing:
    return Rehearsing(standin, re.sub(r"[^\w.-]", "-", request.node.name))


@pytest.fixture
def right(standin: Standin) -> dict[str, Any]:
    """What the API says when nothing is wrong."""
    return standin.json(QUERY)


def test_a_rehearsal_without_steps_is_the_api(rehearsing: Rehearsing, standin: Standin) -> None:
    assert rehearsing.control("PUT").status_code == 200
    good, rehearsed = standin.ask(QUERY), rehearsing.ask()
    assert rehearsed.content == good.content
    dated = {"Date"}
    assert {k: v for k, v in rehearsed.headers.items() if k not in dated} == {
        k: v for k, v in good.headers.items() if k not in dated
    }


@pytest.mark.parametrize("status", [400, 403, 408, 418, 500, 502, 503, 504, 599])
def test_status(rehearsing: Rehearsing, status: int) -> None:
    answer = rehearsing.ask(f"status={status}")
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "text/html"
    assert f"<h1>{status}" in answer.text


def test_429_is_the_api_s_own_with_or_without_retry_after(rehearsing: Rehearsing) -> None:
    answer = rehearsing.ask("status=429")
    assert answer.status_code == 429
    assert "ease up there cowboy" in answer.json()["error"]
    assert "Retry-After" not in answer.headers
    assert rehearsing.ask("status=429,retry-after=7").headers["Retry-After"] == "7"


BODIES = {
    "html": b"<html><body>Back soon</body></html>",
    "error": b'{"error":"Uh oh, something has gone wrong. Please tweet us @randomapi about the '
    b'issue. Thank you."}',
    "body": b"",
    "body=null": b"null",
    "body=[]": b"[]",
    "body=a%2Cb%3Bc%2Fd": b"a,b;c/d",
}


@pytest.mark.parametrize("plan", BODIES)
def test_bodies(rehearsing: Rehearsing, plan: str) -> None:
    answer = rehearsing.ask(plan)
    assert (answer.status_code, answer.content) == (200, BODIES[plan])
    assert "ETag" not in answer.headers


ECHOES = {
    "echo=seed": {"seed": "batch-20261120-usersx"},
    "echo=page": {"page": 2},
    "echo=version": {"version": "1.3"},
    "echo=results": {"results": 21},
    "one-user": {"results": 1},
    "empty": {"results": 1},
    "fewer": {},
}
HELD = {"one-user": 1, "empty": 0, "fewer": 19}


@pytest.mark.parametrize("plan", ECHOES)
def test_an_answer_to_another_question(
    rehearsing: Rehearsing, right: dict[str, Any], plan: str
) -> None:
    wrong = rehearsing.ask(plan).json()
    assert wrong["info"] == right["info"] | ECHOES[plan]
    assert wrong["results"] == right["results"][: HELD.get(plan, 20)]


def test_without_info_nothing_is_echoed(rehearsing: Rehearsing) -> None:
    assert list(rehearsing.ask("one-user", f"{QUERY}&noinfo").json()) == ["results"]


def test_delay(rehearsing: Rehearsing, right: dict[str, Any]) -> None:
    started = time.monotonic()
    assert rehearsing.ask("delay=0.3").json() == right
    assert time.monotonic() - started >= 0.3


def read(rehearsing: Rehearsing, plan: str, timeout: float = 20) -> bytes:
    """The body as it comes, undecoded."""
    url = requests.compat.urljoin(
        rehearsing.standin.url, f"/faults/{rehearsing.name}/{plan}/api/1.4/?{QUERY}"
    )
    with rehearsing.standin.session.get(url, timeout=timeout, stream=True) as answer:
        return bytes(answer.raw.read(decode_content=False))


def test_drip_comes_whole_but_slowly(rehearsing: Rehearsing, standin: Standin) -> None:
    started = time.monotonic()
    assert read(rehearsing, "drip=0.5") == standin.ask(QUERY).content
    assert time.monotonic() - started >= 0.5


def test_hang_never_answers_and_ends_with_its_client(rehearsing: Rehearsing) -> None:
    with pytest.raises(requests.exceptions.ReadTimeout):
        read(rehearsing, "hang", timeout=0.3)
    assert rehearsing.ask("hang,times=1,requests=2-").status_code == 200


def test_close_says_nothing(rehearsing: Rehearsing) -> None:
    with pytest.raises(requests.exceptions.ConnectionError):
        rehearsing.ask("close")


def test_cut_promises_more_than_it_sends(rehearsing: Rehearsing) -> None:
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        rehearsing.ask("cut")


def test_broken_gzip(rehearsing: Rehearsing) -> None:
    body = read(rehearsing, "broken-gzip")
    assert body.startswith(b"\x1f\x8b")
    with pytest.raises((requests.exceptions.ContentDecodingError, ValueError)):
        rehearsing.ask("broken-gzip").json()


def test_not_utf8(rehearsing: Rehearsing) -> None:
    with pytest.raises(UnicodeDecodeError):
        rehearsing.ask("not-utf8").content.decode()


def test_huge_is_right_but_for_its_size(rehearsing: Rehearsing, right: dict[str, Any]) -> None:
    answer = rehearsing.ask("huge=2")
    assert len(answer.content) > 2_000_000
    assert answer.json() == right


# ---- users -------------------------------------------------------------------------------


def without_email(user: Any) -> Any:
    return {name: value for name, value in user.items() if name != "email"}


CHANGES: dict[str, Callable[[Any], Any]] = {
    "missing=email": without_email,
    "missing=nothing.there": lambda user: user,
    "missing=login.uuid": lambda user: (
        user | {"login": {k: v for k, v in user["login"].items() if k != "uuid"}}
    ),
    "mistyped=email": lambda user: user | {"email": [user["email"]]},
    "set=email:17": lambda user: user | {"email": 17},
    "set=nat:null": lambda user: user | {"nat": None},
    'set=name:{"first":"x"%2C"last":"y"}': lambda user: (
        user | {"name": {"first": "x", "last": "y"}}
    ),
    "surrogate=email": lambda user: user | {"email": f"{user['email']}\ud800"},
    "user=null": lambda _: None,
    "user=17": lambda _: 17,
    "missing=email;user=[]": lambda _: [],
    "user=[];missing=email": lambda _: [],
}


@pytest.mark.parametrize("plan", CHANGES)
def test_users(rehearsing: Rehearsing, right: dict[str, Any], plan: str) -> None:
    wrong = rehearsing.ask(plan).json()
    assert wrong["results"] == [CHANGES[plan](user) for user in right["results"]]
    assert wrong["info"] == right["info"]


def test_epoch_dates_are_1_0_s(rehearsing: Rehearsing, right: dict[str, Any]) -> None:
    first = rehearsing.ask("epoch-dates").json()["results"][0]
    stamp = f"{right['results'][0]['dob']['date'][:19]}Z"
    assert time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(first["dob"])) == stamp
    assert isinstance(first["registered"], int)
    assert rehearsing.ask("missing=dob.date;epoch-dates").status_code == 200


def test_a_share_of_the_users_is_always_the_same_and_leaves_the_others_alone(
    rehearsing: Rehearsing, standin: Standin
) -> None:
    good = standin.ask("seed=a&results=200").text
    plan = "missing=email,users=10"
    wrong = rehearsing.ask(plan, "seed=a&results=200")
    users = wrong.json()["results"]
    spoilt = [n for n, user in enumerate(users) if "email" not in user]
    assert len(spoilt) == 20
    assert rehearsing.ask(plan, "seed=a&results=200").content == wrong.content
    kept = [user for user in re.split(r"(?<=\}),(?=\{\"gender)", good) if user in wrong.text]
    assert len(kept) >= 178  # the first and the last have a bracket of the list beside them
    other = rehearsing.ask(plan, "seed=b&results=200").json()["results"]
    assert spoilt != [n for n, user in enumerate(other) if "email" not in user]


def test_faults_of_users_add_up(rehearsing: Rehearsing) -> None:
    users = rehearsing.ask("missing=email;missing=phone;echo=seed").json()
    assert users["info"]["seed"].endswith("x")
    assert all({"email", "phone"}.isdisjoint(user) for user in users["results"])


# ---- when --------------------------------------------------------------------------------


def test_without_conditions_it_is_for_ever(rehearsing: Rehearsing) -> None:
    assert rehearsing.statuses("status=503", 4) == [503] * 4


def test_times_is_once_and_then_recovers(rehearsing: Rehearsing) -> None:
    plan = "status=503,times=2;status=429,times=1"
    assert rehearsing.statuses(plan, 5) == [503, 503, 429, 200, 200]


def test_pages_and_requests(rehearsing: Rehearsing) -> None:
    plan = "status=503,pages=2-3;status=500,requests=6-"
    by_page = [rehearsing.ask(plan, f"{QUERY}&page={n}").status_code for n in (1, 2, 3, 4)]
    assert by_page == [200, 503, 503, 200]
    assert rehearsing.statuses(plan, 3) == [200, 500, 500]


def test_seconds_since_the_first_request(rehearsing: Rehearsing) -> None:
    plan = "status=503,seconds=1-"
    assert rehearsing.statuses(plan, 1) == [200]
    until(lambda: rehearsing.statuses(plan, 1) == [503], "a second has passed")
    assert rehearsing.statuses(plan, 2) == [503, 503]


def test_chance_is_drawn_alike_every_night_in_whatever_order(
    rehearsing: Rehearsing,
) -> None:
    def night(pages: list[int]) -> dict[int, int]:
        rehearsing.control("PUT", "status=500, chance=30")
        return {n: rehearsing.ask(query=f"seed=a&page={n}&results=1").status_code for n in pages}

    first = night(list(range(1, 201)))
    assert 40 <= list(first.values()).count(500) <= 80
    assert night(list(range(200, 0, -1))) == first
    # a page that failed is drawn anew when it is asked again
    unlucky = [n for n, status in first.items() if status == 500]
    again = [rehearsing.ask(query=f"seed=a&page={n}&results=1").status_code for n in unlucky]
    assert {200, 500} == set(again)


def test_requests_at_once_are_counted_once_each(rehearsing: Rehearsing) -> None:
    url = rehearsing.ask("status=503,times=3").url
    with ThreadPoolExecutor(8) as executor:
        statuses = list(executor.map(lambda _: requests.get(url, timeout=20).status_code, range(8)))
    assert statuses.count(503) == 2
    assert rehearsing.control("GET").json()["requests"] == 9


# ---- rehearsals --------------------------------------------------------------------------


def test_a_plan_is_put_read_begun_anew_and_forgotten(rehearsing: Rehearsing) -> None:
    assert rehearsing.ask().reason.startswith("no rehearsal")
    plan = "# a bad night\nstatus=503, times=1   # at first\n\nhang, pages=9\n"
    assert rehearsing.control("PUT", plan).status_code == 200
    assert [rehearsing.ask().status_code for _ in range(2)] == [503, 200]
    given = {"status=503, times=1": 1, "hang, pages=9": 0}
    assert rehearsing.control("GET").json() == {
        "requests": 2,
        "steps": [{"step": step, "given": times} for step, times in given.items()],
    }
    rehearsing.control("PUT", plan)
    assert rehearsing.ask().status_code == 503
    assert rehearsing.control("DELETE").status_code == 200
    assert rehearsing.control("GET").status_code == 404
    assert rehearsing.control("DELETE").status_code == 404


def test_rehearsals_do_not_disturb_each_other(rehearsing: Rehearsing, standin: Standin) -> None:
    other = Rehearsing(standin, f"{rehearsing.name}-2")
    plan = "status=503,times=1"
    assert rehearsing.statuses(plan, 2) == [503, 200]
    assert other.statuses(plan, 2) == [503, 200]
    assert standin.ask(QUERY).status_code == 200
    # another plan under the same name is a new rehearsal
    assert rehearsing.statuses("status=500,times=1", 2) == [500, 200]


BAD_PLANS = {
    "bogus": r"Fault 'bogus' in 'bogus' is unknown; known are body, ",
    "status=200": r"status=200 in 'status=200' must be a status from 400 to 599\.",
    "status": "must be a status",
    "hang=3": "takes no value",
    "delay=x": "must be a number of seconds",
    "echo=x": "must be one of seed, page, version, results",
    "missing=a%20b": "must be a field like email or login.uuid",
    "user=x": "must be JSON",
    "set=email": "must be like email:17",
    "huge=0": "must be a whole number from 1",
    "hang,when=3": "when=3 in 'hang,when=3' is unknown; known are chance, ",
    "hang,times=0": "must be a whole number from 1",
    "hang,pages=5-3": "must not end before it begins",
    "hang,pages=x": "must be like 3, 3-5 or 3-",
    "hang,chance=101": "must be a percentage",
    "hang,users=3": "users belongs to faults of users, not to hang",
    "hang,retry-after=3": "retry-after belongs to status, not to hang",
}


@pytest.mark.parametrize("plan", BAD_PLANS)
def test_a_bad_plan_is_refused_with_a_sentence(rehearsing: Rehearsing, plan: str) -> None:
    in_path, put = rehearsing.ask(plan), rehearsing.control("PUT", plan)
    for answer in (in_path, put):
        assert answer.status_code == 400
        assert re.search(BAD_PLANS[plan], answer.text)
        assert answer.reason == answer.text.strip()  # what the pipeline shows


def test_the_limit_and_unknown_versions_come_before_faults(start: Start) -> None:
    standin = start("--users-per-window", "30", "--window-seconds", "3600")
    rehearsing = Rehearsing(standin, "limited")
    assert rehearsing.statuses("status=503", 3) == [503, 503, 429]
    assert rehearsing.control("GET").json()["requests"] == 2
    assert standin.ask(path="/faults/limited/hang/elsewhere").status_code == 404


def test_every_fault_and_condition_is_documented() -> None:
    documented = set(
        re.findall(r"^\| `([a-z0-9-]+)", TEXT.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert documented == {*RESPONSE_FAULTS, *USER_FAULTS, *CONDITIONS}


def test_the_documented_night_is_a_plan(rehearsing: Rehearsing) -> None:
    plans = re.findall(
        r"^```text\n(.*?)^```", TEXT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert plans
    for plan in plans:
        answer = rehearsing.control("PUT", plan)
        assert answer.status_code == 200, answer.text
        assert json.loads(answer.text)["steps"]
