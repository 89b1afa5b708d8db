"""The rule `names`: the canonical name for any known spelling of it."""

import functools
import sys
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from transhume.facts import Need
from transhume.rules import trees
from transhume.rules.rule import (
    Argument,
    ColumnRef,
    Constant,
    Otherwise,
    OtherwiseField,
    Outcome,
    PythonScope,
    Reason,
    Rule,
    Sql,
    SqlScope,
    TypeScope,
    label,
)
from transhume.schema import TEXT, LogicalType

_MEANINGFUL = "#%&*@"
"""Punctuation that tells names apart: C# is not C, AT&T is not AT T."""


class Names(Rule):
    """The canonical name whose spellings, its own among them, hold the value: exactly, or else folded.

    Folded: compatibility form (NFKC), case folded, each run of white space and punctuation one space, none at
    the ends; `# % & * @` count as letters (C# is not C). A value that is no known spelling is `unmapped` by
    `else`; NULL gives NULL.
    """

    verb: ClassVar[str] = "names"
    column: Argument = Field(alias="names")
    name: str = Field(alias="in")
    otherwise: OtherwiseField = Field(Otherwise("reject"), alias="else")

    def arguments(self) -> Iterator[Argument]:
        """Yield the column."""
        yield self.column

    def needs(self) -> Iterator[Need]:
        """Yield what the argument needs, and the map of its values to canonical names."""
        yield from super().needs()
        yield self.need()

    def need(self) -> Need:
        """Return the map of this argument's distinct texts (`raw`) to `canonical`, as `resolve` makes it."""
        return Need("names", self.name, argument_text(self.column))

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:  # noqa: ARG002
        """Return text."""
        scope.argument(self.column, TEXT)
        return TEXT

    def way(self, scope: PythonScope) -> str:
        """Return the canonical name, and whether the spelling had to be folded; or `else`."""
        raw = scope.as_text(self.column).value
        if raw is None:
            return ""
        names = scope.canonical_names(self.name)
        canonical = _canonical(raw, names)
        if canonical is None:
            return "else"
        return f"name {canonical}" if raw in {canonical, *names[canonical]} else f"name {canonical} (folded)"

    def ways(self, names: Mapping[str, Collection[str]]) -> tuple[str, ...]:
        """Return every canonical name."""
        return tuple(f"name {canonical}" for canonical in names[self.name])

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return the joined canonical name."""
        raw = trees.named(scope, scope.as_text(self.column))
        entry = scope.join(self.need(), {"raw": raw.value.copy()})
        if self.otherwise.action == "null":
            return Sql(entry("canonical"), TEXT, raw.reasons)
        if self.otherwise.action == "reject":
            unknown = trees.every([trees.is_present(raw.value), trees.is_null(entry("canonical"))])
            return Sql(entry("canonical"), TEXT, (*raw.reasons, Reason(unknown, f"unmapped:{label(self)}")))
        fallback = raw.value if self.otherwise.action == "keep" else trees.text(self.otherwise.text)
        branches = [
            (trees.is_present(entry("canonical")), entry("canonical")),
            (trees.is_present(raw.value), fallback),
        ]
        return Sql(trees.case(branches, trees.null()), TEXT, raw.reasons)

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return the canonical name by this twin's own folding."""
        raw = scope.as_text(self.column)
        if raw.value is None:
            return raw
        canonical = _canonical(raw.value, scope.canonical_names(self.name))
        if canonical is not None:
            return Outcome(canonical)
        match self.otherwise.action:
            case "null":
                return Outcome(None)
            case "keep":
                return raw
            case "literal":
                return Outcome(self.otherwise.text)
        return Outcome(None, (f"unmapped:{label(self)}",))


def resolve(values: Iterable[str], names: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Map each value that is a known spelling to its canonical name; other values are left out.

    `names` gives each canonical name its other spellings. Exact spellings come first, folded ones after.
    """
    exact = {spelling: canonical for canonical, others in names.items() for spelling in (canonical, *others)}
    folded = {fold(spelling): canonical for spelling, canonical in exact.items()}
    folded.pop("", None)
    result: dict[str, str] = {}
    for value in values:
        canonical = exact.get(value, folded.get(fold(value)))
        if canonical is not None:
            result[value] = canonical
    return result


def conflicts(names: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str, str]]:
    """Return (spelling, canonical, other canonical) for each spelling that folds to two canonical names.

    None may be left when a run begins: `resolve` and the Python twin expect that there is none.
    """
    owners: dict[str, str] = {}
    found = []
    for canonical, others in names.items():
        for spelling in (canonical, *others):
            owner = owners.setdefault(fold(spelling) or spelling, canonical)
            if owner != canonical:
                found.append((spelling, owner, canonical))
    return found


def fold(text: str) -> str:
    """Return the form in which spellings are compared when they are not equal as they stand."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    result = ""
    for sign in folded:
        if sign.isspace() or (unicodedata.category(sign).startswith("P") and sign not in _MEANINGFUL):
            result += " " if result and not result.endswith(" ") else ""
        else:
            result += sign
    return result.rstrip(" ")


def argument_text(argument: Argument) -> str:
    """Return a text that tells arguments apart: a column's name, or a rule with all its parameters."""
    if isinstance(argument, ColumnRef):
        return argument.name
    return repr(argument.text) if isinstance(argument, Constant) else repr(argument)


def _canonical(value: str, names: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return the name whose spellings hold a value, exactly or else folded; the Python twin's own."""
    for canonical, spellings in names.items():
        if value == canonical or value in spellings:
            return canonical
    folded = _letters(value)
    for canonical, spellings in names.items():
        if folded and any(_letters(spelling) == folded for spelling in (canonical, *spellings)):
            return canonical
    return None


@functools.cache
def _blanks() -> dict[int, str]:
    """Return a translation of every punctuation mark to a space; the Python twin's own."""
    marks = {code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == "P"}
    return dict.fromkeys(marks - {ord(sign) for sign in "#%&*@"}, " ")


def _letters(text: str) -> str:
    """Fold a spelling by translation and splitting; the Python twin's own."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(plain.translate(_blanks()).split())
