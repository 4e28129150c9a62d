"""Whatever a document holds, it ends as one clean row or one reject, and no secret in either."""

import copy
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_apps.users import COLUMNS, SHAPE
from tests.spark_apps.conftest import USER

DOCUMENTS = 1500
SECRET = "5ecret"  # neither a name nor a number that anything else would give
SECRET_NUMBER = 737_737_737_737
SECRET_FIELDS = (
    "login.password",
    "login.salt",
    "login.md5",
    "login.sha1",
    "login.sha256",
    "id.value",
)

# surrogates, NUL and line ends among them
_texts = st.text(st.characters(), max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "0",
        "-0",
        "male",
        "2000-02-29T00:00:00.000Z",
        "0001-01-01T00:00:00.000Z",
        "99999999999",
        "\ud800",
        "\0",
    ]
)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | _texts
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_objects = sorted({leaf.rpartition(".")[0] for leaf in SHAPE.leaves} - {""})
_changes = st.dictionaries(st.sampled_from([*SHAPE.leaves, *_objects]), _values, max_size=4)
_secrets = st.dictionaries(
    st.sampled_from(SECRET_FIELDS),
    st.sampled_from([SECRET, SECRET_NUMBER, [SECRET], {SECRET: SECRET}, f"\0{SECRET}\ud800"]),
)


def _set(document: dict[str, Any], path: str, value: object) -> None:
    *parents, key = path.split(".")
    node = document
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            return  # a change has taken the object away
    node[key] = value


@st.composite
def changed_users(draw: st.DrawFn) -> str:
    """A user of the API, some of whose leaves and objects are something else."""
    user = copy.deepcopy(USER)
    user["login"]["uuid"] = str(draw(st.uuids()))
    for field in SECRET_FIELDS:
        _set(user, field, SECRET)
    for path, value in [*draw(_changes).items(), *draw(_secrets).items()]:
        _set(user, path, value)
    return json.dumps(user)


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """A text with something put into it, or cut off it: seldom JSON."""
    text = draw(changed_users())
    at = draw(st.integers(0, len(text)))
    return (
        draw(
            st.sampled_from(
                [text[:at], text[:at] + draw(st.text(max_size=3)) + text[at:], text + text]
            )
        )
        .encode("utf-8", "ignore")
        .decode()
    )


_documents = changed_users() | spoilt() | _values.map(json.dumps)


@pytest.mark.parametrize("spark", ["sail"], indirect=True)
def test_any_document_ends_as_one_row_without_secrets(
    transform_to: Callable[[Path, list[object], date], pa.Table], tmp_path: Path
) -> None:
    """One Spark action for all examples: one each would take a minute."""
    documents: list[object] = [USER | {"phone": "\0"}, USER | {"phone": "\ud800"}]

    @settings(max_examples=DOCUMENTS, database=None, deadline=None)
    @given(_documents)
    def collect(document: str) -> None:
        documents.append(document)

    collect()
    rows = transform_to(tmp_path / "run", documents, date(2026, 3, 1)).to_pylist()

    assert [row["position"] for row in rows] == list(range(len(documents)))
    outcomes = set()
    for row, document in zip(rows, documents, strict=True):
        clean = row["outcome"] == "clean"
        assert clean or row["outcome"] == "rejected", document
        assert clean == (row["reasons"] is None), document
        required = [column.name for column in COLUMNS if not column.null]
        assert clean == all(row[name] is not None for name in required), document
        assert clean or row["reasons"], document
        shown = repr(row)
        assert SECRET not in shown, document
        assert str(SECRET_NUMBER) not in shown, document
        outcomes |= {"clean"} if clean else {reason["reason"] for reason in row["reasons"]}
    # the examples are worth something: users with and without each kind of trouble
    assert {"clean", "invalid_json", "wrong_structure", "not_an_object"} <= outcomes
    assert {"nul_character", "lone_surrogate", "user_id_invalid", "gender_unknown"} <= outcomes
