"""The rule `path`: a storage path of one form rewritten to another, by templates with named captures."""

import functools
import re
import string
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlglot import exp

from transhume import operations as op
from transhume.rules import trees
from transhume.rules.rule import (
    Argument,
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

_PIECE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|([{}])|([^{}]+)")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A literal text of a template, or the name of a capture."""

    text: str
    capture: bool


def _pieces(template: str) -> list[_Piece]:
    """Split a template into literals and captures; `{{` and `}}` are literal braces.

    Raises: ValueError for a brace that is neither.
    """
    pieces: list[_Piece] = []
    for match in _PIECE.finditer(template):
        if match[2]:
            message = f"the brace at character {match.start() + 1} of '{template}' opens no {{name}}; write it twice"
            raise ValueError(message)
        if match[1]:
            pieces.append(_Piece(match[1], capture=True))
            continue
        literal = match[3] or match[0][0]
        if pieces and not pieces[-1].capture:
            pieces[-1] = _Piece(pieces[-1].text + literal, capture=False)
        else:
            pieces.append(_Piece(literal, capture=False))
    return pieces


class Form(BaseModel):
    """One pair: the form `like` that the whole value must have, and the text `to` that is made of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    like: str
    to: str

    @model_validator(mode="after")
    def _check(self) -> "Form":
        pieces = _pieces(self.like)
        if not pieces:
            message = "'like' is empty"
            raise ValueError(message)
        names = [piece.text for piece in pieces if piece.capture]
        for name in names:
            if names.count(name) > 1:
                message = f"'{{{name}}}' stands twice in like '{self.like}'; give the captures different names"
                raise ValueError(message)
        for left, right in pairwise(pieces):
            if left.capture and right.capture:
                message = f"'{{{left.text}}}{{{right.text}}}' in like '{self.like}' have nothing between them"
                raise ValueError(message)
        for piece in _pieces(self.to):
            if piece.capture and piece.text not in names:
                known = ", ".join(f"{{{name}}}" for name in names) or "nothing"
                message = f"'{{{piece.text}}}' in to '{self.to}' is not captured; like '{self.like}' captures {known}"
                raise ValueError(message)
        return self


class Path(Rule):
    """A path of the form `like`, written as `to`; `any` holds several pairs, tried in order.

    `{name}` captures one segment, at least one character without `/`; a capture right after a dot (`.{ext}`)
    holds no dot. Where that leaves a choice, an earlier capture takes as much as it can. Everything else is
    literal and the whole value must match; else it is `path_no_match` by `else`. NULL gives NULL.
    """

    verb: ClassVar[str] = "path"
    column: Argument = Field(alias="path")
    like: str | None = None
    to: str | None = None
    any_of: tuple[Form, ...] = Field((), alias="any")
    otherwise: OtherwiseField = Field(Otherwise("reject"), alias="else")

    @model_validator(mode="before")
    @classmethod
    def _pairs(cls, node: Any) -> Any:
        if "any" in node and ("like" in node or "to" in node):
            message = "the rule 'path' takes like and to, or any, not both"
            raise ValueError(message)
        if "any" not in node and not ("like" in node and "to" in node):
            message = "the rule 'path' needs like and to, or any with a list of such pairs"
            raise ValueError(message)
        return node

    @model_validator(mode="after")
    def _form(self) -> "Path":
        if not self.forms():
            message = "'any' holds no pair of like and to"
            raise ValueError(message)
        return self

    def forms(self) -> tuple[Form, ...]:
        """Return the pairs in the order in which they are tried. Raises: ValueError for a wrong template."""
        if self.like is not None and self.to is not None:
            return (_one_form(self.like, self.to),)
        return self.any_of

    def arguments(self) -> Iterator[Argument]:
        """Yield the column."""
        yield self.column

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:  # noqa: ARG002
        """Return text."""
        scope.argument(self.column, TEXT)
        return TEXT

    def way(self, scope: PythonScope) -> str:
        """Return the number of the form that matches, or `else`."""
        raw = scope.as_text(self.column).value
        if raw is None:
            return ""
        matching = (place for place, form in enumerate(self.forms(), 1) if _captures(form.like, raw) is not None)
        place = next(matching, None)
        return "else" if place is None else f"form {place}"

    def ways(self, names: Mapping[str, Collection[str]]) -> tuple[str, ...]:  # noqa: ARG002
        """Return every form."""
        return tuple(f"form {place}" for place in range(1, len(self.forms()) + 1))

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return a CASE over the forms' patterns."""
        raw = trees.named(scope, scope.as_text(self.column))
        branches: list[tuple[exp.Expression, exp.Expression]] = []
        for form in self.forms():
            captured, matches = _found(scope, raw.value, form)
            parts = [captured[piece.text] if piece.capture else trees.text(piece.text) for piece in _pieces(form.to)]
            branches.append((matches, trees.joined(parts or [trees.text("")])))
        no_match = trees.every(
            [trees.is_present(raw.value), *(trees.negated(trees.is_true(matches)) for matches, _ in branches)]
        )
        if self.otherwise.action in {"keep", "literal"}:
            fallback = raw.value if self.otherwise.action == "keep" else trees.text(self.otherwise.text)
            branches.append((trees.is_present(raw.value), fallback))
        value = trees.case(branches, trees.null())
        if self.otherwise.action != "reject":
            return Sql(value, TEXT, raw.reasons)
        return Sql(value, TEXT, (*raw.reasons, Reason(no_match, f"path_no_match:{label(self)}")))

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return what a named-group pattern of Python's own makes of the value."""
        raw = scope.as_text(self.column)
        if raw.value is None:
            return raw
        for form in self.forms():
            captured = _captures(form.like, raw.value)
            if captured is not None:
                return Outcome(form.to.format_map(captured))
        match self.otherwise.action:
            case "null":
                return Outcome(None)
            case "keep":
                return raw
            case "literal":
                return Outcome(self.otherwise.text)
        return Outcome(None, (f"path_no_match:{label(self)}",))


@functools.lru_cache(maxsize=1024)
def _one_form(like: str, to: str) -> Form:
    """Return the pair of a rule that has one only; the oracle asks for it once a row."""
    return Form(like=like, to=to)


def _found(scope: SqlScope, value: exp.Expression, form: Form) -> tuple[dict[str, exp.Expression], exp.Expression]:
    """Return the captures that `to` names, bound, and the condition that the value has the form.

    Bound, because inside a CASE an engine searches once per capture, and beside one another once in all.
    Where a file's name is cut at its last dot, the search takes the whole name and the cut is made in it: a search
    that cannot know where a capture ends costs three times as much. A capture holds at least one character, so
    where there is one, it says whether the value has the form.
    """
    pieces = _pieces(form.like)
    wanted = {piece.text for piece in _pieces(form.to) if piece.capture}
    file = _file_captures(pieces)
    pattern, groups = _pattern(pieces[:-2] if file else pieces)
    asked = [name for name in groups if name in wanted or (file and name == file[0])]
    found: dict[str, exp.Expression] = {
        name: scope.bind(
            op.RegexCapture(this=value.copy(), pattern=trees.text(pattern), group=exp.Literal.number(groups[name]))
        )
        for name in asked
    }
    if not file:
        matches = (
            trees.is_present(next(iter(found.values())))
            if found
            else op.RegexMatches(this=value.copy(), pattern=trees.text(pattern))
        )
        return found, scope.bind(matches)
    whole, dot = found[file[0]], trees.text(".")
    for name, cut in zip(file, (op.TextBeforeLast, op.TextAfterLast), strict=True):
        found[name] = scope.bind(cut(this=whole.copy(), find=dot.copy()))
    return found, scope.bind(trees.every(trees.is_present(found[name]) for name in file))


def _file_captures(pieces: Sequence[_Piece]) -> tuple[str, str] | None:
    """Return the names of the two captures that a template ends with if a dot, and nothing else, parts them.

    Only where the first begins at a known place: at the value's first capture, or after a literal with a slash,
    which no capture before it can reach over. Then both ways of cutting are the same.
    """
    # Behind a dot alone that follows a capture there is a capture, too: literals beside one another are one.
    if len(pieces) < 3 or not pieces[-3].capture or pieces[-2].text != ".":  # noqa: PLR2004
        return None
    before = pieces[-4].text if len(pieces) > 3 else ""  # noqa: PLR2004 - two captures, a dot, and one more
    captured_before = any(piece.capture for piece in pieces[:-4])
    if before.endswith(".") or (captured_before and "/" not in before):
        return None
    return pieces[-3].text, pieces[-1].text


def _pattern(pieces: Sequence[_Piece]) -> tuple[str, dict[str, int]]:
    """Return the pattern in the closed subset of RegexMatches, and the group number of each capture."""
    groups: dict[str, int] = {}
    pattern, before = "", ""
    for piece in pieces:
        if piece.capture:
            groups[piece.text] = len(groups) + 1
            pattern += "([^/.]+)" if before.endswith(".") else "([^/]+)"
        else:
            pattern += re.sub(r"([\\.^$|?*+()\[\]{}])", r"\\\1", piece.text)
        before = piece.text if not piece.capture else ""
    return pattern, groups


def _captures(like: str, value: str) -> dict[str, str] | None:
    """Return what each capture of a template holds in a value, None if it does not match; the Python twin's own."""
    match = _named_pattern(like).fullmatch(value)
    return None if match is None else match.groupdict()


@functools.lru_cache(maxsize=1024)
def _named_pattern(like: str) -> re.Pattern[str]:
    """Return a template as a pattern with named groups; the Python twin's own."""
    pattern = ""
    for literal, name, _, _ in string.Formatter().parse(like):
        pattern += re.escape(literal)
        if name is not None:
            dotless = pattern.endswith(".")
            pattern += f"(?P<{name}>[^/.]+)" if dotless else f"(?P<{name}>[^/]+)"
    return re.compile(pattern, re.ASCII)
