"""Request and answer, row by row of what is known of the API 1.4."""

import gzip
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.standin.conftest import Standin

FIELDS = [
    *("gender", "name", "location", "email", "login", "dob"),
    *("registered", "phone", "cell", "id", "picture", "nat"),
]
NATS = {
    *("AU", "BR", "CA", "CH", "DE", "DK", "ES", "FI", "FR", "GB", "IE"),
    *("IN", "IR", "MX", "NL", "NO", "NZ", "RS", "TR", "UA", "US"),
}
SEEDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=24)


def without_ages(users: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Users as they are on any day."""
    for user in users:
        del user["dob"]["age"], user["registered"]["age"]
    return users


# ---- paths, methods, headers


@pytest.mark.parametrize("path", ["/api/1.4/", "/api/1.4", "/api/", "/api", "/API/1.4/"])
def test_paths_of_version_1_4(standin: Standin, path: str) -> None:
    assert standin.ask("seed=a", path=path).json()["info"]["version"] == "1.4"


@pytest.mark.parametrize(
    "path",
    ["/api/9.9/", "/api/1.3/", "/api/1.0/", "/api/0.8/", "/api/v1.4/", "/api/1.4/x", "/", "/x"],
)
def test_any_other_path_is_not_found(standin: Standin, path: str) -> None:
    answer = standin.ask(path=path)
    assert (answer.status_code, answer.text) == (404, "Not Found")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_methods_that_write_are_not_found(standin: Standin, method: str) -> None:
    assert standin.ask("results=1", method=method).status_code == 404


def test_options(standin: Standin) -> None:
    answer = standin.ask(method="OPTIONS")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_head_is_get_without_a_body(standin: Standin) -> None:
    head = standin.ask("seed=a&results=5", method="HEAD", Accept_Encoding="identity")
    get = standin.ask("seed=a&results=5", Accept_Encoding="identity")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(get.content))
    assert head.headers["ETag"] == get.headers["ETag"]


def test_headers_of_an_answer(standin: Standin) -> None:
    headers = standin.ask("seed=a").headers
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Vary"] == "Accept-Encoding"
    assert headers["Server"] == "randomuser-standin"


def test_gzip_on_request_then_chunked(standin: Standin) -> None:
    plain = standin.ask("seed=a&results=100", Accept_Encoding="identity")
    packed = standin.session.get(
        standin.url + "?seed=a&results=100",
        headers={"Accept-Encoding": "gzip"},
        stream=True,
        timeout=20,
    )
    assert "Content-Encoding" not in plain.headers
    assert plain.headers["Content-Length"] == str(len(plain.content))
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in packed.headers
    raw = packed.raw.read(decode_content=False)
    assert len(raw) < len(plain.content) / 2
    assert gzip.decompress(raw) == plain.content


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_known_etag_is_not_modified(standin: Standin, encoding: str) -> None:
    query = "seed=a&results=100&exc=dob,registered"  # no age, no birthday in between
    etag = standin.ask(query, Accept_Encoding=encoding).headers["ETag"]
    assert etag.startswith('W/"')
    again = standin.ask(query, Accept_Encoding=encoding, If_None_Match=etag)
    other = standin.ask(query + "&page=2", Accept_Encoding=encoding, If_None_Match=etag)
    assert (again.status_code, again.content) == (304, b"")
    assert other.status_code == 200


# ---- parameters


@pytest.mark.parametrize(
    ("text", "count"),
    [
        *(("1", 1), ("2", 2), ("5000", 5000), ("1e3", 1000), ("0x10", 16), ("0b11", 3)),
        *(("%2010%20", 10), ("2.0", 2), ("%2B3", 3), ("0", 1), ("-5", 1), ("5001", 1)),
        *(("10.5", 1), ("abc", 1), ("", 1), ("1_000", 1), ("5&results=5", 1), ("1e999", 1)),
        *(("Infinity", 1), ("NaN", 1), ("0x" + "f" * 400, 1), ("%D9%A3", 1), ("9" * 5000, 1)),
    ],
)
def test_results(standin: Standin, text: str, count: int) -> None:
    document = standin.json(f"seed=a&results={text}&inc=nat")
    assert len(document["results"]) == document["info"]["results"] == count


@pytest.mark.parametrize(
    ("text", "page"),
    [
        *(("1", 1), ("7", 7), ("10000", 10000), ("1e3", 1000), ("0x10", 16), ("1.5", 1.5)),
        *(("2.0", 2), ("0", 1), ("-1", 1), ("10001", 1), ("abc", 1), ("", 1), ("0.5", 1)),
        *(("2&page=3", 1), ("NaN", 1)),
    ],
)
def test_page(standin: Standin, text: str, page: float) -> None:
    echoed = standin.json(f"seed=a&page={text}")["info"]["page"]
    assert (echoed, type(echoed)) == (page, type(page))


@pytest.mark.parametrize(
    ("query", "nats"),
    [
        ("nat=us", {"US"}),
        ("nat=US,gB", {"US", "GB"}),
        ("nationality=fr", {"FR"}),
        ("nat=us,xx", NATS),
        ("nat=us,%20gb", NATS),
        ("nat=lego", NATS),
        ("nat=", NATS),
        ("", NATS),
    ],
)
def test_nat(standin: Standin, query: str, nats: set[str]) -> None:
    assert {user["nat"] for user in standin.users(f"seed=a&results=500&{query}")} == nats


def test_a_repeated_nat_has_more_weight(standin: Standin) -> None:
    users = standin.users("seed=a&results=3000&nat=us,us,gb&inc=nat")
    assert 1800 < sum(user["nat"] == "US" for user in users) < 2200


@pytest.mark.parametrize(
    ("query", "genders"),
    [
        ("gender=female", {"female"}),
        ("gender=male", {"male"}),
        ("gender=Female", {"male", "female"}),
        ("gender=x", {"male", "female"}),
        ("gender=female&seed=a", {"male", "female"}),
        ("gender=female&seed=", {"female"}),
    ],
)
def test_gender(standin: Standin, query: str, genders: set[str]) -> None:
    assert {user["gender"] for user in standin.users(f"results=200&{query}")} == genders


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", FIELDS),
        ("inc=nat,name", ["name", "nat"]),
        ("inc=%20Nat%20,NAME,foo", ["name", "nat"]),
        ("inc=", FIELDS),
        ("exc=login", [f for f in FIELDS if f != "login"]),
        ("inc=name,id&exc=id", ["name"]),
        ("inc=foo", []),
        ("inc=login.uuid", []),
        ("exc=login.uuid", FIELDS),
        ("exc=" + ",".join(FIELDS), []),
    ],
)
def test_inc_and_exc(standin: Standin, query: str, fields: list[str]) -> None:
    full = without_ages(standin.users("seed=a&results=20"))
    users = standin.users(f"seed=a&results=20&{query}")
    for user, whole in zip(users, full, strict=True):
        assert list(user) == fields
        assert {k: v for k, v in user.items() if k not in ("dob", "registered")} == {
            k: whole[k] for k in fields if k not in ("dob", "registered")
        }


def test_noinfo(standin: Standin) -> None:
    assert list(standin.json("seed=a&noinfo")) == ["results"]


@pytest.mark.parametrize(
    ("query", "indented"),
    [
        ("format=pretty", True),
        ("fmt=PrettyJSON", True),
        ("format=json&fmt=pretty", False),
        ("format=xml", False),
        ("format=JSON", False),
    ],
)
def test_format(standin: Standin, query: str, indented: bool) -> None:
    body = standin.ask(f"seed=a&exc=dob,registered&{query}").text
    plain = standin.ask("seed=a&exc=dob,registered").text
    assert json.loads(body) == json.loads(plain)
    assert (body != plain) == indented == ("\n" in body)


def test_info(standin: Standin) -> None:
    text = standin.ask("seed=a%22%C3%A9&results=2&page=3&inc=nat").text
    assert text.endswith('"info":{"seed":"a\\"é","results":2,"page":3,"version":"1.4"}}')


def test_without_a_seed_a_random_one_is_echoed(standin: Standin) -> None:
    one, two = standin.json("results=3"), standin.json("results=3&seed=")
    for document in (one, two):
        assert re.fullmatch("[0-9a-f]{16}", document["info"]["seed"])
    assert one["info"]["seed"] != two["info"]["seed"]
    again = standin.users(f"results=3&seed={one['info']['seed']}")
    assert without_ages(again) == without_ages(one["results"])


# ---- determinism


@given(seed=SEEDS, few=st.integers(1, 40), more=st.integers(0, 60))
@settings(max_examples=25, deadline=None)
def test_few_results_are_a_prefix_of_more(standin: Standin, seed: str, few: int, more: int) -> None:
    def users(count: int) -> list[dict[str, Any]]:
        params: dict[str, str | int] = {"seed": seed, "results": count}
        document = standin.session.get(standin.url, params=params, timeout=20).json()
        assert document["info"]["seed"] == seed
        return without_ages(document["results"])

    assert users(few + more)[:few] == users(few)


@pytest.mark.parametrize("nat", ["", "&nat=ir,ua"])
def test_prefix_of_the_largest_page(standin: Standin, nat: str) -> None:
    few, all_ = (standin.users(f"seed=a&results={n}{nat}") for n in (1000, 5000))
    assert without_ages(all_)[:1000] == without_ages(few)


@given(seed=SEEDS, page=st.integers(2, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_page_is_glued_to_the_seed(standin: Standin, seed: str, page: int) -> None:
    def users(seed: str, page: int) -> list[dict[str, Any]]:
        params: dict[str, str | int] = {"seed": seed, "page": page, "results": 2}
        answer = standin.session.get(standin.url, params=params, timeout=20)
        return without_ages(answer.json()["results"])

    assert users(seed, page) == users(f"{seed}{page}", 1)


def test_glue_as_the_api_is_known_for(standin: Standin) -> None:
    three = [
        without_ages(standin.users(f"results=50&{query}"))
        for query in ("seed=abc&page=12", "seed=abc1&page=2", "seed=abc12")
    ]
    assert three[0] == three[1] == three[2]
    assert without_ages(standin.users("results=50&seed=abc&page=1")) != three[0]


def test_pages_are_streams_of_their_own(standin: Standin) -> None:
    def uuids(page: int, results: int) -> list[str]:
        users = standin.users(f"seed=batch-20260101-users&page={page}&results={results}")
        return [user["login"]["uuid"] for user in users]

    whole = [uuids(page, 1000) for page in (1, 2, 3)]
    assert len(set().union(*whole)) == 3000
    assert uuids(2, 10) == whole[1][:10]  # and not users 11 to 20 of page 1


def test_uuid_and_coordinates_do_not_depend_on_nat(standin: Standin) -> None:
    us, gb = (standin.users(f"seed=abc&results=200&nat={nat}") for nat in ("us", "gb"))
    for one, other in zip(us, gb, strict=True):
        assert one["login"]["uuid"] == other["login"]["uuid"]
        assert one["location"]["coordinates"] == other["location"]["coordinates"]
        assert one["nat"] != other["nat"]
