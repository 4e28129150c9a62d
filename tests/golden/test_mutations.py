"""The golden documents are rich enough: a change of anything in users.py changes a digest.

A mutation is tried as a twin beside the column, dimension or figure that it changes, because a
query for each would take minutes. It is seen when the twin's values or reasons differ from the
original's in a row, for both stand in the rows that are digested. One that is not seen wants a
document that shows it; where it means the same, TWEAKS should leave it out.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import click
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from spark_apps import compute_statistics, transform_users
from spark_apps.cassandra_source import SCHEMA, Documents, errors_as_json
from spark_apps.users import COLUMNS, DIMENSIONS, FIGURES, LEAVES, Rule
from tests.golden.conftest import clean_users, rows_of
from tests.golden.documents import DATE, documents
from tests.golden.record import digest

BATCH = 40  # twins a query

#: Small changes of SQL, but for those that mean the same: what is found, what it becomes.
TWEAKS: list[tuple[str, Callable[["re.Match[str]"], str]]] = [
    (r"(?<!\d)(?<!\+ )(?!10\) >=|0\))\d+", lambda m: f"{int(m[0]) + 1:0{len(m[0])}}"),
    (r"(?<!\d)(?<!\+ )(?!0\b|0B|1, ?10[)}])\d+", lambda m: f"{int(m[0]) - 1:0{len(m[0])}}"),
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
    (r"\bas (date|timestamp)\b", lambda _: "as string"),
    (r"\blower\b", lambda _: "upper"),
]


class Mutation(NamedTuple):
    """A column, or the name and SQL of a dimension or figure, as it is and mutated."""

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
                    yield sql[: piece.start()] + tweaked + sql[piece.end() :]


def of_columns() -> Iterator[Mutation]:
    """The mutations of COLUMNS."""
    tweaked = set[str]()
    for one in COLUMNS:
        yield Mutation("leaf", one, one._replace(leaf=f"{one.leaf}_"))
        yield Mutation("value", one, one._replace(value=f"reverse(cast({one.value} as string))"))
        if one.value == "{}" and one.rules[0].reason.endswith("_missing"):
            for value in ("trim({})", "lower({})", "upper({})", "left({}, 255)"):
                yield Mutation("value", one, one._replace(value=value))
        pattern = re.fullmatch("CASE WHEN {} rlike '.*' THEN (.*) END", one.value)
        if pattern and one.name != "age":  # where that lets more through, birth_date does not
            yield Mutation("pattern dropped", one, one._replace(value=pattern[1]))
        for value in tweaks(one.value, tweaked):
            yield Mutation("SQL", one, one._replace(value=value))
        for n, rule in enumerate(one.rules):
            conditions = [("rule negated", f"NOT ({rule.condition})")]
            conditions += [("SQL", tweak) for tweak in tweaks(rule.condition, tweaked)]
            mutated = [(kind, (Rule(rule.reason, sql),)) for kind, sql in conditions]
            mutated.append(("reason", (Rule(f"{rule.reason}_", rule.condition),)))
            for kind, rules in [("rule dropped", ()), *mutated]:
                changed = (*one.rules[:n], *rules, *one.rules[n + 1 :])
                yield Mutation(kind, one, one._replace(rules=changed))


def of_statistics() -> Iterator[Mutation]:
    """The mutations of DIMENSIONS and FIGURES."""
    for kind, home in (("dimension", DIMENSIONS), ("figure", FIGURES)):
        tweaked = set[str]()
        for name, sql in home:
            whole = f"reverse({sql})" if kind == "dimension" else f"({sql}) + 1"
            yield Mutation(kind, (name, sql), (name, whole))
            for tweak in tweaks(sql, tweaked):
                yield Mutation(f"SQL of {kind}s", (name, sql), (name, tweak))


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
            Rule(f"{reason}#{number}", re.sub(rf"\b{was.name}\b", name, condition))
            for reason, condition in now.rules
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
        return transform_users.transform(frame, DATE)


def look_at_statistics(clean: DataFrame, batch: list[Mutation]) -> list[Mutation]:
    """The mutations of statistics whose figures, or members, are those of the original."""
    twins = [(f"{m.now[0]}_{n}", m.now[1]) for n, m in enumerate(batch)]
    kinds = ["dimension" in mutation.kind for mutation in batch]
    with pytest.MonkeyPatch.context() as patch:
        more = [twin for twin, is_dimension in zip(twins, kinds, strict=True) if is_dimension]
        patch.setattr(compute_statistics, "DIMENSIONS", (*DIMENSIONS, *more))
        more = [twin for twin in twins if twin not in more]
        patch.setattr(compute_statistics, "FIGURES", (*FIGURES, *more))
        table = compute_statistics.compute(clean).toArrow()
    members = defaultdict[str, list[Any]](list)
    for row in table.sort_by("member").to_pylist():
        members[row["dimension"]].append([row["member"], *(row[name] for name, _ in FIGURES)])
    return [
        mutation
        for mutation, (twin, _), is_dimension in zip(batch, twins, kinds, strict=True)
        if (
            members[twin] == members[mutation.was[0]]
            if is_dimension
            else table[twin].equals(table[mutation.was[0]])
        )
    ]


def report(mutations: list[Mutation], left: list[Mutation]) -> None:
    """Print the counts; nothing may be left."""
    click.echo(dict(Counter(mutation.kind for mutation in mutations)))
    click.echo(f"{len(mutations)} mutations, {len(mutations) - len(left)} seen")
    assert not left, "\n".join(f"{m.kind} of {m.was[0]}: {m.now}" for m in left)


def raw(spark: SparkSession, leaves: Sequence[str]) -> DataFrame:
    """The golden documents cut down to some leaves."""
    checked = [Documents(leaves).check(text) for text in documents()]
    rows = [(n, text, errors_as_json(errors)) for n, (text, errors) in enumerate(checked)]
    return spark.createDataFrame(rows, SCHEMA)


@pytest.mark.parametrize("spark", ["sail"], indirect=True)
def test_every_mutation_of_a_column_changes_a_row(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaves = (*LEAVES, *(f"{leaf}_" for leaf in LEAVES))
    monkeypatch.setattr(transform_users, "LEAVES", leaves)
    frame = raw(spark, leaves)
    mutations = list(of_columns())
    of_rules = [mutation for mutation in mutations if mutation.now.rules != mutation.was.rules]
    of_values = [mutation for mutation in mutations if mutation.now.rules == mutation.was.rules]
    left = of_rules + unseen(partial(look_at_values, frame), of_values)
    report(mutations, unseen(partial(look_at_reasons, frame), left))


@pytest.mark.parametrize("spark", ["sail"], indirect=True)
def test_every_mutation_of_a_statistic_changes_a_row(spark: SparkSession) -> None:
    clean = clean_users(with_columns(raw(spark, LEAVES)))
    mutations = list(of_statistics())
    report(mutations, unseen(partial(look_at_statistics, clean), mutations))


@pytest.mark.parametrize("spark", ["sail"], indirect=True)
def test_the_reason_of_repeated_users_and_the_order_of_leaves_change_a_row(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = [digest(rows_of(with_columns(raw(spark, LEAVES))))]
    digests.append(digest(rows_of(with_columns(raw(spark, LEAVES[::-1])))))
    monkeypatch.setattr(transform_users, "DUPLICATE", "repeated")
    digests.append(digest(rows_of(with_columns(raw(spark, LEAVES)))))
    assert len(set(digests)) == 3
