"""The golden documents are rich enough: a change of anything in users.py changes a digest.

A mutation is tried as a twin beside the column, dimension or figure that it changes, because a
query for each would take minutes. It is seen when the twin's values or reasons differ from the
original's in a row, for both stand in the rows that are digested. One that is not seen wants a
document that shows it; where it means the same, TWEAKS should leave it out.
"""

import difflib
import itertools
import json
import operator
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial, reduce
from typing import Any, NamedTuple

import click
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from spark_apps import compute_statistics, transform_users
from spark_apps.cassandra_source import SCHEMA
from spark_apps.documents import Documents, JsonError, Shape, errors_as_json
from spark_apps.users import (
    BLANK,
    COLUMNS,
    DIMENSIONS,
    DUPLICATE,
    FIGURES,
    SHAPE,
    Column,
    Rule,
    leaf_sql,
)
from tests.golden.conftest import clean_users, rows_of
from tests.golden.documents import DATE, REQUESTED_AT, documents
from tests.golden.record import digest

# no server, but a minute: not of the fast tier
pytestmark = pytest.mark.usefixtures("services")

BATCH = 40  # twins a query

#: Small changes of SQL, but for those that mean the same: what is found, what it becomes.
TWEAKS: list[tuple[str, Callable[["re.Match[str]"], str]]] = [
    (
        r"(?<!\d)(?<!\+ )(?!10\) >=|0\)|00-|38, 30|30\)\) as)\d+",
        lambda m: f"{int(m[0]) + 1:0{len(m[0])}}",
    ),
    (
        r"(?<!\d)(?<!\+ )(?!0\b|0B|1, ?10[)}]|1, length|38, 30|30\)\) as)\d+",
        lambda m: f"{int(m[0]) - 1:0{len(m[0])}}",
    ),
    (r"[A-Za-z](?=-[A-Za-z])|(?<=[A-Za-z]-)[A-Ya-y]", lambda m: chr(ord(m[0]) + 1)),
    (r"[A-Za-z](?=-[A-Za-z])|(?<=[A-Za-z]-)[A-Za-z]", lambda m: chr(ord(m[0]) - 1)),
    (r"(?<=')\^|(?<=\[)\^|\\\\[a-zA-Z](0B)?|(?<=[\])-])\?|[^\x00-\x7f]|(?<=[\^@]) ", lambda _: ""),
    (r"(?<=[<>])=|-(?=\d+ and)", lambda _: ""),
    (r"(?<=[<>]) ", lambda _: "= "),
    (r"\bis null or\b", lambda _: "is null and"),
    (r"\bis not null\b", lambda _: "is null"),
    (r"'[a-z]+'", lambda m: m[0].upper()),
    (r"\bas int(?=\) END)", lambda _: "as bigint"),
    (r"\bas smallint\b", lambda _: "as int"),
    (r"\bas (date|timestamp)\b(?!\) <=)", lambda _: "as string"),
    (r"\blower\b", lambda _: "upper"),
]


class Mutation(NamedTuple):
    """A column, dimension or figure, as it is and mutated."""

    kind: str
    was: Any
    now: Any


def tweaks(sql: str, done: set[str]) -> Iterator[str]:
    """The SQL with one of TWEAKS at one place; pieces of it that are in `done` are left out."""
    for piece in re.finditer(r"'[^']*'|[^']+", sql):
        if piece[0] not in done:
            done.add(piece[0])
            for pattern, change in TWEAKS:
                for at in re.finditer(pattern, piece[0]):
                    tweaked = piece[0][: at.start()] + change(at) + piece[0][at.end() :]
                    if _is_a_pattern(tweaked):
                        yield sql[: piece.start()] + tweaked + sql[piece.end() :]


def _is_a_pattern(piece: str) -> bool:
    """Whether an SQL literal may be a pattern: no engine takes one that is none."""
    try:
        re.compile(piece.replace(r"\\", "\\").replace(r"\z", r"\Z"))
    except re.error:
        return not piece.startswith("'^")
    return True


def of_columns() -> Iterator[Mutation]:
    """The mutations of COLUMNS."""
    tweaked = {f"'{BLANK}'"}  # of username only
    for one in COLUMNS:
        yield Mutation("leaf", one, one._replace(leaf=f"{one.leaf}_"))
        yield Mutation("value", one, one._replace(value=f"reverse(cast({one.value} as string))"))
        if one.name == "username":
            for character in BLANK:
                fewer = leaf_sql(one.leaf).replace(BLANK, BLANK.replace(character, ""))
                yield Mutation("blank", one, one._replace(value=fewer))
        if one.value == "{}" and one.rules[-1].reason.endswith("_too_long"):
            for value in ("lower({})", "upper({})", "left({}, 199)"):
                yield Mutation("value", one, one._replace(value=value))
        pattern = re.fullmatch("CASE WHEN {} rlike '.*' THEN (.*) END", one.value)
        if pattern and one.name != "age":  # where that lets more through, birth_date does not
            yield Mutation("pattern dropped", one, one._replace(value=pattern[1]))
        for value in tweaks(one.value, tweaked):
            yield Mutation("SQL", one, one._replace(value=value))
        for n, rule in enumerate(one.rules):
            conditions = [("rule negated", f"NOT ({rule.condition})")]
            conditions += [("SQL", tweak) for tweak in tweaks(rule.condition, tweaked)]
            mutated = [(kind, (rule._replace(condition=sql),)) for kind, sql in conditions]
            mutated.append(("reason", (rule._replace(reason=f"{rule.reason}_"),)))
            for kind, rules in [("rule dropped", ()), *mutated]:
                changed = (*one.rules[:n], *rules, *one.rules[n + 1 :])
                yield Mutation(kind, one, one._replace(rules=changed))


def of_statistics() -> Iterator[Mutation]:
    """The mutations of DIMENSIONS and FIGURES."""
    for kind, home in (("dimension", DIMENSIONS), ("figure", FIGURES)):
        tweaked = set[str]()
        for one in home:
            sql = one.value
            whole = f"reverse({sql})" if kind == "dimension" else f"({sql}) + 1"
            yield Mutation(kind, one, one._replace(value=whole))
            for tweak in tweaks(sql, tweaked):
                yield Mutation(f"SQL of {kind}s", one, one._replace(value=tweak))


def unseen(
    look: Callable[[list[Mutation]], list[Mutation]], mutations: list[Mutation]
) -> list[Mutation]:
    """The mutations that change no row. Where one ends in an error, there are no rows at all."""
    if len(mutations) > BATCH:
        return unseen(look, mutations[:BATCH]) + unseen(look, mutations[BATCH:])
    try:
        return look(mutations)
    except PySparkException:
        half = len(mutations) // 2
        return unseen(look, mutations[:half]) + unseen(look, mutations[half:]) if half else []


def look_at_reasons(frame: DataFrame, batch: list[Mutation]) -> list[Mutation]:
    """The mutations of columns whose reasons are those of the original in every row."""
    twins = []
    for number, (_, was, now) in enumerate(batch):
        name = f"{was.name}_{number}"
        rules = [
            Rule(f"{rule.reason}#{number}", re.sub(rf"\b{was.name}\b", name, rule.condition), "")
            for rule in now.rules
        ]
        twins.append(now._replace(name=name, rules=rules))
    rows = with_columns(frame, *twins).select("position", "reasons").toArrow().to_pylist()
    found = defaultdict[str, set[Any]](set)  # by the number of the twin, '' for the originals
    for row in rows:
        for reason in row["reasons"] or []:
            name, _, number = reason["reason"].partition("#")
            found[number].add((row["position"], name))
    own = [{rule.reason for rule in mutation.was.rules} for mutation in batch]
    return [
        mutation
        for number, (mutation, names) in enumerate(zip(batch, own, strict=True))
        if found[str(number)] == {one for one in found[""] if one[1] in names}
    ]


def look_at_values(frame: DataFrame, batch: list[Mutation]) -> list[Mutation]:
    """The mutations of columns whose type and values are the original's in every clean row."""
    twins = [m.now._replace(name=f"{m.was.name}_{n}", rules=()) for n, m in enumerate(batch)]
    table = with_columns(frame, *twins).where("outcome = 'clean'").toArrow()
    return [
        mutation
        for mutation, twin in zip(batch, twins, strict=True)
        if table[twin.name].equals(table[mutation.was.name])
    ]


def with_columns(frame: DataFrame, *twins: Any) -> DataFrame:
    """What TransformUsers makes of a frame with some columns more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transform_users, "COLUMNS", (*COLUMNS, *twins))
        return transform_users.transform(frame, DATE, REQUESTED_AT)


def look_at_statistics(clean: DataFrame, batch: list[Mutation]) -> list[Mutation]:
    """The mutations of statistics whose figures, or members, are those of the original."""
    twins = [m.now._replace(name=f"{m.now.name}_{n}") for n, m in enumerate(batch)]
    kinds = ["dimension" in mutation.kind for mutation in batch]
    with pytest.MonkeyPatch.context() as patch:
        more = [twin for twin, is_dimension in zip(twins, kinds, strict=True) if is_dimension]
        patch.setattr(compute_statistics, "DIMENSIONS", (*DIMENSIONS, *more))
        more = [twin for twin in twins if twin not in more]
        patch.setattr(compute_statistics, "FIGURES", (*FIGURES, *more))
        table = compute_statistics.compute(clean).toArrow()
    members = defaultdict[str, list[Any]](list)
    for row in table.sort_by("member").to_pylist():
        members[row["dimension"]].append([row["member"], *(row[figure.name] for figure in FIGURES)])
    return [
        mutation
        for mutation, twin, is_dimension in zip(batch, twins, kinds, strict=True)
        if (
            members[twin.name] == members[mutation.was.name]
            if is_dimension
            else table[twin.name].equals(table[mutation.was.name])
        )
    ]


def report(mutations: list[Mutation], left: list[Mutation]) -> None:
    """Print the counts; nothing may be left."""
    click.echo(dict(Counter(mutation.kind for mutation in mutations)))
    click.echo(f"{len(mutations)} mutations, {len(mutations) - len(left)} seen")
    assert not left, "\n".join(f"{m.kind} of {m.was.name}: {changed(m)}" for m in left)


def changed(mutation: Mutation) -> list[str]:
    """What differs between the two, with some characters before and after."""
    was, now = (str(one) for one in (mutation.was, mutation.now))
    parts = difflib.SequenceMatcher(None, was, now, autojunk=False).get_opcodes()
    return [
        f"{was[max(0, a - 20) : a]}[{was[a:b]} → {now[c:d]}]{was[b : b + 20]}"
        for kind, a, b, c, d in parts
        if kind != "equal"
    ]


#: What is taken from a document, and why it is unfit.
Checked = tuple[str | None, list[JsonError]]


def checked_by(shape: Shape) -> list[Checked]:
    """What a shape takes from each of the golden documents."""
    reduced = Documents(shape)
    return [reduced.check(text) for text in documents()]


def raw(spark: SparkSession, checked: list[Checked]) -> DataFrame:
    """Documents as TransformUsers reads them."""
    rows = [(n, text, errors_as_json(errors)) for n, (text, errors) in enumerate(checked)]
    return spark.createDataFrame(rows, SCHEMA)


def different(checked: list[Checked], column: Column) -> list[Checked]:
    """A document for each value of a column's leaf, of the day of birth, and for what is unfit.

    The others would only repeat what these show.
    """

    def leaf(text: str | None, path: str) -> Any:
        return reduce(operator.getitem, path.split("."), json.loads(text)) if text else 0

    found = {
        (leaf(text, column.leaf), leaf(text, "dob.date"), str(errors)): (text, errors)
        for text, errors in checked
    }
    return list(found.values())


@pytest.mark.parametrize("spark", ["sail"], indirect=True)
def test_every_mutation_of_a_column_changes_a_row(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = SHAPE._replace(leaves=[*SHAPE.leaves, *(f"{leaf}_" for leaf in SHAPE.leaves)])
    monkeypatch.setattr(transform_users, "SHAPE", shape)
    checked = checked_by(shape)
    mutations = list(of_columns())
    left = []
    for column, group in itertools.groupby(mutations, lambda mutation: mutation.was):
        frame = raw(spark, different(checked, column))
        by_rules: dict[bool, list[Mutation]] = {True: [], False: []}
        for mutation in group:
            by_rules[mutation.now.rules != column.rules].append(mutation)
        unlike = by_rules[True] + unseen(partial(look_at_values, frame), by_rules[False])
        left += unseen(partial(look_at_reasons, frame), unlike)
    report(mutations, left)


@pytest.mark.parametrize("spark", ["sail"], indirect=True)
def test_every_mutation_of_a_statistic_changes_a_row(spark: SparkSession) -> None:
    clean = clean_users(with_columns(raw(spark, checked_by(SHAPE))))
    mutations = list(of_statistics())
    report(mutations, unseen(partial(look_at_statistics, clean), mutations))


@pytest.mark.parametrize("spark", ["sail"], indirect=True)
def test_the_reason_of_repeated_users_and_the_order_of_leaves_change_a_row(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    backwards = SHAPE._replace(leaves=SHAPE.leaves[::-1])
    frame = raw(spark, checked_by(SHAPE))
    frames = [frame, raw(spark, checked_by(backwards))]
    digests = [digest(rows_of(with_columns(one))) for one in frames]
    monkeypatch.setattr(transform_users, "DUPLICATE", DUPLICATE._replace(reason="repeated"))
    digests.append(digest(rows_of(with_columns(frame))))
    assert len(set(digests)) == 3


def test_every_mutation_of_the_shape_changes_a_document() -> None:
    original = checked_by(SHAPE)
    other = {
        leaf: SHAPE._replace(numbers=sorted({*SHAPE.numbers} ^ {leaf})) for leaf in SHAPE.leaves
    }
    other |= {
        key: SHAPE._replace(secret_keys=[one for one in SHAPE.secret_keys if one != key])
        for key in SHAPE.secret_keys
    }
    other |= {
        key: SHAPE._replace(
            open_keys={one: SHAPE.open_keys[one] for one in {*SHAPE.open_keys} - {key}}
        )
        for key in SHAPE.open_keys
    }
    assert [what for what, shape in other.items() if checked_by(shape) == original] == []
