"""Raw documents, reduced to the leaves that anything after Cassandra may see.

Whether a document is JSON is decided once, here in Python: engines disagree on trailing
garbage, single quotes, lone surrogates, NaN, 1e400, and on the text of a number (-0, 0.00001,
integers beyond 64 bits). They therefore parse a canonical document, which also keeps passwords
and hashes out of every engine.

This module travels to Spark servers by value, so it must not import anything of this project.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from json.encoder import encode_basestring
from operator import itemgetter
from typing import Any, NamedTuple

#: The DDL for `from_json` of what `errors_as_json` gives.
ERRORS_DDL = "ARRAY<STRUCT<reason: STRING, field: STRING, value: STRING>>"

#: How much of what stood in the place of a leaf is kept as evidence, in characters.
EVIDENCE_MAX = 200

MASK = "•••"

#: The reasons that `Documents.check` gives, with what each means.
REASONS = {
    "invalid_json": "The document is not JSON by RFC 8259.",
    "not_an_object": "The document is JSON, but null, a list or a single value.",
    "wrong_structure": "Something else stands where a text or a number is expected: an object, a "
    "list, true or false, or a number in the place of a text.",
    "nul_character": "The text holds U+0000, which PostgreSQL refuses.",
    "lone_surrogate": "The text holds half of a surrogate pair, which is no character.",
    "document_too_large": "The document has more than 8,192 bytes and was not stored.",
    "document_too_deep": "The document has more than 100 objects and lists within one another and "
    "was not stored.",
    "document_not_utf8": "The document is not encoded in UTF-8 and was not stored.",
}

_NO_OBJECT: dict[str, Any] = {}


class Number(str):
    """A number of a document, as it was written."""

    __slots__ = ()


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


class JsonError(NamedTuple):
    """Why a document is unfit.

    reason  one of REASONS
    field   the leaf that it is about, `document` for one that was not stored, or None
    value   what stood there, at most EVIDENCE_MAX characters of it, without secrets; or None
    """

    reason: str
    field: str | None
    value: str | None


class Shape(NamedTuple):
    """What is taken from a document, and what of it is never shown. Lists, so that JSON holds it.

    leaves       the paths of all that is taken: `name.first`
    numbers      those of them that may be a number; all others must be text
    secret_keys  keys whose values are not shown, wherever they stand
    open_keys    of objects that hold secrets: the only keys whose values are shown
    """

    leaves: Sequence[str]
    numbers: Sequence[str]
    secret_keys: Sequence[str]
    open_keys: Mapping[str, Sequence[str]]

    def masked(self, value: Any, key: str = "") -> Any:
        """A decoded value, found under a key, with MASK in the place of every secret."""
        open_keys = self.open_keys.get(key.strip().lower())
        if isinstance(value, dict):
            return {
                name: MASK
                if self._hides(name) or (open_keys is not None and name not in open_keys)
                else self.masked(inner, name)
                for name, inner in value.items()
            }
        if open_keys is not None or self._hides(key):
            return MASK  # a secret in the place of its object
        if isinstance(value, list):
            return [self.masked(item, key) for item in value]
        return value

    def _hides(self, key: str) -> bool:
        return key.strip().lower() in self.secret_keys


class _WrongStructure(Exception):
    """`value` stands under `key`, where something else is expected."""

    def __init__(self, key: str, value: Any) -> None:
        self.key = key
        self.value = value


def _bad_characters(text: str) -> str | None:
    """Why a text cannot be stored in PostgreSQL."""
    if "\0" in text:
        return "nul_character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "lone_surrogate"
    return None


def _escaped(text: str) -> str:
    return text.replace("\0", r"\u0000").encode(errors="backslashreplace").decode()


class Documents:
    """Documents reduced to the leaves of a shape."""

    def __init__(self, shape: Shape) -> None:
        leaves = shape.leaves
        # the objects of the document, each after the one that it is in; "" is the document
        above = (accumulate(leaf.split(".")[:-1], "{}.{}".format) for leaf in leaves)
        objects = ["", *dict.fromkeys(path for paths in above for path in paths)]
        places = {path: path.rpartition(".") for path in [*leaves, *objects[1:]]}
        keys = {path: [places[x][2] for x in leaves if places[x][0] == path] for path in objects}
        below = {path: [x for x in objects[1:] if places[x][0] == path] for path in objects}

        def template(path: str) -> str:
            parts = [f'"{key}":%s' for key in keys[path]]
            parts += [f'"{places[x][2]}":{template(x)}' for x in below[path]]
            return "{" + ",".join(parts) + "}"

        def ddl(path: str) -> str:
            parts = [f"{key}: STRING" for key in keys[path]]
            parts += [f"{places[x][2]}: {ddl(x)}" for x in below[path]]
            return f"STRUCT<{', '.join(parts)}>"

        #: The DDL for `from_json`; every leaf is STRING, because engines differ in everything else.
        self.ddl = ddl("")
        self._shape = shape
        # here, because a module that travels by value may hold none
        self.decode = json.JSONDecoder(
            parse_float=Number, parse_int=Number, parse_constant=_no_constant
        ).decode
        self._template = template("")
        self._top_keys = keys[""]
        # (index of the parent in this very list, key in the parent, keys of leaves)
        self._below = [(objects.index(places[x][0]), places[x][2], keys[x]) for x in objects[1:]]
        #: The leaves in the order in which `check` gives its reasons, that of the template.
        self.paths = [f"{path}.{key}".removeprefix(".") for path in objects for key in keys[path]]
        self._numbers = frozenset(shape.numbers)
        texts = [n for n, path in enumerate(self.paths) if path not in self._numbers]
        self._texts = itemgetter(*texts, texts[0])  # of two at least, so that it gives a tuple

    def check(self, text: str | None) -> tuple[str | None, list[JsonError]]:
        """Make a raw document fit for the rules: (canonical JSON, why it is unfit).

        Without errors the document is fit. `invalid_json` and `not_an_object` come alone, without
        canonical JSON; the other reasons once for each leaf that they are about, in the leaves'
        order. The canonical JSON holds such a leaf escaped (`\\u0000`, `\\ud800`: six characters
        each), or as null where the structure is wrong. A number is the text that was sent.

        If a key occurs twice, the last value counts. Missing and null are left to the rules, and
        what else the document holds is not looked at.
        """
        if text is None:
            return None, [JsonError("invalid_json", None, None)]
        try:
            document = self.decode(text)
        except (ValueError, RecursionError):
            return None, [JsonError("invalid_json", None, None)]
        if type(document) is not dict:
            return None, [JsonError("not_an_object", None, None)]
        try:
            canonical = self._canonical(document)
        except _WrongStructure:
            return self._repaired(document)
        # only an escape can spell either: raw control characters are no JSON, and what
        # came through UTF-8 holds no surrogates
        if "\\u" in text and _bad_characters(canonical.replace(r"\u0000", "\0")):
            return self._repaired(document)
        return canonical, []

    def _canonical(self, document: dict[str, Any]) -> str:
        objects = [document]
        leaves = [document.get(key) for key in self._top_keys]
        for parent, key, keys in self._below:
            node = objects[parent].get(key)
            if node is None:
                node = _NO_OBJECT
            elif type(node) is not dict:
                raise _WrongStructure(key, node)
            objects.append(node)
            leaves += map(node.get, keys)
        if Number in map(type, self._texts(leaves)):
            raise _WrongStructure("", None)
        return self._rendered(leaves)

    def _repaired(self, document: dict[str, Any]) -> tuple[str, list[JsonError]]:
        """What `check` returns for an unfit object, leaf by leaf: slow, and seldom needed."""
        leaves: list[Any] = []
        errors = []
        for path in self.paths:
            leaf: Any = None
            try:
                leaf = _leaf(document, path, may_be_number=path in self._numbers)
            except _WrongStructure as found:
                errors.append(JsonError("wrong_structure", path, self._evidence(found)))
            if leaf is not None and (reason := _bad_characters(leaf)):
                leaf = type(leaf)(_escaped(leaf))
                errors.append(JsonError(reason, path, _shortened(leaf)))
            leaves.append(leaf)
        return self._rendered(leaves), errors

    def _evidence(self, found: _WrongStructure) -> str:
        """What stood in the place of a leaf, or of an object that it is in, as JSON."""
        try:
            return _shortened(_escaped(as_json(self._shape.masked(found.value, found.key))))
        except RecursionError:
            return "…"

    def _rendered(self, leaves: list[Any]) -> str:
        # a template, because json.dumps of nested dictionaries takes twice as long
        return self._template % tuple(
            [encode_basestring(v) if type(v) is str else _other_leaf(v) for v in leaves]
        )


def _other_leaf(leaf: Any) -> str:
    """A leaf that is no text, as JSON; the engines see a number as text."""
    if leaf is None:
        return "null"
    if type(leaf) is Number:
        return f'"{leaf}"'
    raise _WrongStructure("", leaf)


def _leaf(document: dict[str, Any], path: str, *, may_be_number: bool) -> str | None:
    """The leaf of a document at a path, None when it is missing."""
    node: Any = document
    above = ""
    for key in path.split("."):
        if node is None:
            return None
        if type(node) is not dict:
            raise _WrongStructure(above, node)
        node = node.get(key)
        above = key
    if node is None or type(node) is str or (type(node) is Number and may_be_number):
        return node
    raise _WrongStructure(above, node)


def as_json(value: Any) -> str:
    """A decoded value as JSON again, its numbers as they were sent."""
    if type(value) is Number:
        return str(value)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{as_json(k)}: {as_json(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_json, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _shortened(text: str) -> str:
    return text if len(text) <= EVIDENCE_MAX else f"{text[:EVIDENCE_MAX]}…"


def unstorable(record: str) -> JsonError:
    """The error of a document that was not stored, from the record that was (a JSON object)."""
    kept = json.loads(record)
    evidence = f"{kept['bytes']:,} bytes, sha256 {kept['sha256']}"
    return JsonError(kept["reason"], "document", evidence)


def errors_as_json(errors: Sequence[JsonError]) -> str | None:
    """The errors of a document as the column json_errors holds them."""
    if not errors:
        return None
    return json.dumps([error._asdict() for error in errors], ensure_ascii=False)
