"""docs/data.md, the contract for analysts, from the home of columns, rules and statistics.

What belongs to one column, rule or figure is said in spark_apps/users.py; what is true of all of
them is said here.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from spark_apps.documents import EVIDENCE_MAX, MASK, REASONS, Documents
from spark_apps.users import (
    BLANK,
    COLUMNS,
    DIMENSIONS,
    DUPLICATE,
    FIGURES,
    KEY,
    NATIONALITIES,
    SHAPE,
)
from workflow.source.answer import DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX


def page() -> str:
    """The page, as Markdown."""
    return f"""\
# What the data means

The contract for everyone who reads the tables. `workflow data` prints this page, `make data` writes
it from the code (`spark_apps/users.py`, `spark_apps/documents.py`), and tests hold it against the
code and the database. It is complete: whoever applies it to the raw documents, which Cassandra
keeps as they came, gets the three tables.

- `users` holds the clean users of each date, `rejected_users` every other document of the date:
  **documents = users + rejects**.
- `user_statistics` counts the rows of `users`, never the rejects.
- The three tables of a date are replaced together, in one transaction.

## Dates and times

- **`partition_date`** (`stat_date` in the statistics) is the date for which the API was asked. It
  decides which users come, as a part of the request's seed, and the day as of which their `age` is
  computed. It does not say when anything happened to them.
- **`requested_at`**, below, is the start of the extraction: `started_at` of the row of
  `ExtractUsers` in PostgreSQL's `extraction_metadata` that fetched the documents. If an extraction
  was resumed, it is the start of the attempt that completed it. It is no column of `users`.
- **Nobody is born or registers after the request**: `birth_date` is compared with the day of
  `requested_at` in UTC, `registered_at` with `requested_at` itself, and neither with
  `partition_date`.
- **A back-filled date** is one that was asked for later. The API knows no past: whatever the date,
  it gives people who registered at any time. Of 1,000 users of 2016-01-01, 343 registered after
  that day, and of older dates some were born after it. They are clean. Those born after
  `partition_date` have no `age` and are in the age band `not born`. If you want a past day as it
  was, filter `registered_at` and `birth_date`.
- A date that is computed again from its raw documents keeps its `requested_at`, so the same code
  gives the same rows. One that is fetched again (`workflow rerun DATE --from ExtractUsers`) gets a
  new one.
- `registered_at` is an instant with milliseconds, which PostgreSQL shows in the time zone of your
  session. All days are days in UTC.

## `users`

The key is (`partition_date`, `{KEY.name}`). *From* is the leaf of the document, explained below.

{_table(("column", "type", "null", "from", "what it holds, and an example"), _user_rows())}

## From a document to a row

1. **The document** is one element of the API's list `results`, as text. It must be a JSON object by
   RFC 8259, read as Python's `json` does, but without `NaN` and `Infinity`. If an object has a key
   twice, the last value counts. What no leaf needs is not looked at, whatever it holds.
2. **A leaf** is found by its path: `name.first` is the value of `first` in the object `name`. It is
   *missing* if a key on the path is absent or its value is null.
3. **A leaf is text.** Only these may be a number, too:
   {_names(SHAPE.numbers, indent=3)}
   A number is never converted: it counts as the text that was sent (`123.10` stays `123.10`, `1e5`
   stays `1e5`). Anything else in the place of a leaf, or anything but an object or null on its
   path, is a `wrong_structure`.
4. **Text is trimmed** at both ends, of these characters only:
   {_filled(_code_points(BLANK), indent=3)}.
   If nothing is left, the leaf is missing. Within the text nothing changes: no case, no accent, no
   space.
5. **The rules** of the columns look at the trimmed text. Its length is in characters (code points).
   Where a column has a pattern below, the whole text must match (`re.fullmatch`), and nothing in it
   the pattern `not_in_…` (`re.search`). Dates must be in the calendar, too: Gregorian at any time,
   years 0000 to 9999, and 0000 is a leap year.
6. **A user without a broken rule is clean**, and each column holds the text, or what the text
   stands for. A leaf that is missing gives null.

```python
{_patterns()}

nationality = \"\"\"
{textwrap.fill(" ".join(NATIONALITIES), 96)}
\"\"\".split()
```

## `rejected_users`

The key is (`partition_date`, `position`): one row per rejected document, with all its reasons.

{_table(("column", "type", "null", "what it holds"), _reject_rows())}

### Reasons of a document

They come first. `wrong_structure`, `nul_character` and `lone_surrogate` are each about one leaf;
all others come alone.

{_table(("reason", "what is wrong"), ((f"`{name}`", text) for name, text in REASONS.items()))}

- A document is not stored if it has more than {DOCUMENT_BYTES_MAX:,} bytes; else if more than
  {DOCUMENT_DEPTH_MAX} objects and lists are within one another (the document itself counts,
  brackets in strings do not); else if it is not UTF-8. In Cassandra, `raw_users.unstorable` then
  holds the reason, the size and the SHA-256.
- A text with both U+0000 and half a pair has the reason `nul_character` only. Where no column needs
  them, neither is a reason.
- The rules of a leaf with such a reason are not applied; those of all other leaves are. For
  `registered_before_birth`, such a `dob.date` is missing.
- Several such reasons come in this order of their leaves:
  {_names(Documents(SHAPE).paths, indent=2)}

### Reasons of the columns

They follow, in this order.

{_table(("reason", "from", "what is wrong"), _rule_rows())}

- A missing leaf breaks the first rule of a column that is never null, and no other rule.
- A rule that compares a value (`…_in_future`, `…_before_birth`, `age_over_120`) is not broken where
  there is no such value.

### Repeated users

`{DUPLICATE.reason}`: {DUPLICATE.meaning}

The first clean copy of a user stays, and each later clean copy is a reject with this reason alone.
A copy with reasons of its own keeps those, and no other copy is rejected because of it. Two rows
are the same user if `{KEY.name}` is the same, in whatever case it was sent. `offending` of such a
reject holds `{KEY.leaf}` as it was sent.

### What `offending` shows

For each reason with a leaf, its path and what was sent there, as text:
`{{"email": "nobody", "nat": null}}`.

- A broken rule shows the leaf as it was sent, not trimmed; null where there is none.
- `wrong_structure` shows as JSON what stood in the place of the leaf or of an object on its path,
  like `{{"a": [1.50, true]}}`: a space after `:` and `,`, numbers as they were sent, characters
  beyond ASCII as they are.
{_secrets()}
- U+0000 and half of a pair are shown as six characters each: `\\u0000`, `\\ud800`.
- What is then longer than {EVIDENCE_MAX} characters is cut to {EVIDENCE_MAX}, followed by `…`.
- Of a document that was not stored: `{{"document": "70,000 bytes, sha256 …"}}`, with 64 digits in
  the place of `…`. Of `invalid_json` and `not_an_object`: `{{}}`.

## `user_statistics`

The key is (`stat_date`, `dimension`, `member`). Every user is in one member of each dimension.

{_table(("column", "type", "null", "what it holds"), _figure_rows())}

{_table(("dimension", "members"), ((f"`{one.name}`", one.meaning) for one in DIMENSIONS))}

- Users without an `age` count in `users` and `share`, and in no figure of ages.
- Figures are rounded once, from whole numbers: a half goes up, never to the even neighbour. So the
  shares of a dimension may add up to a little more or less than 1.
- A member that nobody belongs to has no row. Only **an empty day**, one without clean users, has
  one: `all`, with 0 users. Such a day is published only if `[rules] rejected_percent_max` is 100; a
  day with more rejects than that setting allows (5 % by default) fails.
- The view `user_statistics_daily` has a row per `stat_date`: `total_users`, `male_count` and
  `female_count` are the `users` of these members, and `avg_age` is the `age_avg` of `all`.
"""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _filled(text: str, *, indent: int) -> str:
    lines = textwrap.wrap(text, 100 - indent, break_on_hyphens=False)
    return f"\n{' ' * indent}".join(lines)


def _names(names: Iterable[str], *, indent: int) -> str:
    return _filled(", ".join(f"`{name}`" for name in names) + ".", indent=indent)


# ---- rows of the tables --------------------------------------------------------------------


def _user_rows() -> Iterator[tuple[str, ...]]:
    yield "`partition_date`", "date", "never", "", "the date for which the API was asked"
    for column in COLUMNS:
        yield (
            f"`{column.name}`",
            column.type,
            column.null or "never",
            f"`{column.leaf}`",
            f"{column.meaning}: `{column.example}`",
        )
    yield "`position`", "integer", "never", "", "place among the documents of the date, from 0"


def _reject_rows() -> Iterator[tuple[str, ...]]:
    yield "`partition_date`", "date", "never", "as in `users`"
    yield "`position`", "integer", "never", "as in `users`"
    yield f"`{KEY.name}`", KEY.type, "it has no valid one", "as in `users`"
    yield "`reasons`", "jsonb", "never", "a list of names in the order below, each once"
    yield "`offending`", "jsonb", "never", "an object: what was sent, by leaf"


def _rule_rows() -> Iterator[tuple[str, ...]]:
    for column in COLUMNS:
        for rule in column.rules:
            yield f"`{rule.reason}`", f"`{column.leaf}`", rule.meaning


def _figure_rows() -> Iterator[tuple[str, ...]]:
    yield "`stat_date`", "date", "never", "the `partition_date` of the users"
    yield "`dimension`", "text", "never", "what users are counted by"
    yield "`member`", "text", "never", "which of them"
    for figure in FIGURES:
        yield f"`{figure.name}`", figure.type, figure.null or "never", figure.meaning


# ---- characters and patterns ---------------------------------------------------------------


def _runs(characters: str) -> Iterator[tuple[int, int]]:
    """The first and last code point of each run of neighbours."""
    first = last = ord(characters[0])
    for code in map(ord, characters[1:]):
        if code != last + 1:
            yield first, last
            first = code
        last = code
    yield first, last


def _code_points(characters: str) -> str:
    ordered = "".join(sorted(characters))
    return ", ".join(
        f"U+{first:04X}" if first == last else f"U+{first:04X} to U+{last:04X}"
        for first, last in _runs(ordered)
    )


def _as_python(pattern: str) -> str:
    """A pattern of users.py as Python's `re` takes it, in ASCII."""
    in_regex = pattern.replace(r"\\", "\\")  # an SQL string literal halves the backslashes
    in_regex = in_regex.replace(r"\z", r"\Z")
    return re.sub(r"[^\x00-\x7f]+", lambda match: _class_of(match[0]), in_regex)


def _class_of(characters: str) -> str:
    return "".join(
        f"\\u{first:04x}" if first == last else f"\\u{first:04x}-\\u{last:04x}"
        for first, last in _runs(characters)
    )


def _patterns() -> str:
    """An assignment for each leaf with a pattern, as ruff formats it; long ones class by class."""
    by_leaf = {column.leaf: column for column in reversed(COLUMNS)}  # the first column of a leaf
    return "\n".join(
        _assignment(name, _as_python(found[1]))
        for column in reversed(by_leaf.values())
        for name, sql in (
            (column.name, r" {} rlike '\^(.*?)\\\\z' THEN"),
            (f"not_in_{column.name}", r"NOT {} rlike '(.*?)' THEN"),
        )
        if (found := re.search(sql, column.value))
    )


def _assignment(name: str, pattern: str) -> str:
    line = f"{name} = {_quoted(pattern)}"
    if len(line) <= 100:
        return line
    parts = [_quoted(part) for part in re.split(r"(?=\[\^)", pattern) if part]
    return f"{name} = (\n" + "".join(f"    {part}\n" for part in parts) + ")"


def _quoted(pattern: str) -> str:
    quote = "'" if '"' in pattern else '"'
    return f"r{quote}{pattern}{quote}"


def _secrets() -> str:
    keys = ", ".join(f"`{key}`" for key in SHAPE.secret_keys)
    objects = "; ".join(
        f"of an object `{name}` all but {' and '.join(f'`{key}`' for key in keys)}"
        for name, keys in SHAPE.open_keys.items()
    )
    names = " or ".join(f"`{name}`" for name in SHAPE.open_keys)
    return "- " + _filled(
        f"Secrets in it are `{MASK}`: what has a key {keys}; {objects}; and all that has a "
        f"key {names} and is no object. These keys count in any case, and with space around them; "
        "those of what is shown, only as written here.",
        indent=2,
    )
