"""The rule `parse`: a date or a time written in a stated format."""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field
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
from transhume.schema import DATE, TEXT, TIME, TIMESTAMP, LogicalType

_DIRECTIVES = {"Y": "([0-9]{4})", "m": "([0-9]{2})", "d": "([0-9]{2})", "H": "([0-9]{2})", "M": "([0-9]{2})"}
_DIRECTIVES |= {"S": "([0-9]{2})", "f": "([0-9]{1,6})"}
_CLOCK = "HMSf"


def _format(text: str) -> str:
    seen = re.findall(r"%(.?)", text, re.DOTALL)
    found = [directive for directive in seen if directive != "%"]
    for directive in found:
        if directive not in _DIRECTIVES:
            message = f"'%{directive}' in format '{text}' is not known; it takes %Y %m %d %H %M %S %f and %%"
            raise ValueError(message)
        if found.count(directive) > 1:
            message = f"'%{directive}' stands twice in format '{text}'"
            raise ValueError(message)
    day = [directive for directive in "Ymd" if directive in found]
    clock = "".join(directive for directive in _CLOCK if directive in found)
    if day and len(day) < len("Ymd"):
        message = f"format '{text}' holds a part of a date; a date needs %Y, %m and %d"
        raise ValueError(message)
    if not _CLOCK.startswith(clock):
        message = f"format '{text}' holds a part of a time; %M needs %H, %S needs %M, %f needs %S"
        raise ValueError(message)
    if not day and not clock:
        message = f"format '{text}' holds no directive; it takes %Y %m %d %H %M %S %f"
        raise ValueError(message)
    return text


def _otherwise(otherwise: Otherwise) -> Otherwise:
    if otherwise.action in {"reject", "null"}:
        return otherwise
    message = "else of the rule 'parse' is reject or null"
    raise ValueError(message)


class Parse(Rule):
    """Text of exactly this format, without ASCII white space around it, as date, time or naive timestamp.

    Directives: %Y (four digits, 0001-9999), %m %d %H %M %S (two digits), %f (one to six), %% a percent sign;
    everything else is literal. What is missing of the time is 0. The calendar is checked; no 24:00, no leap
    second. Another text is `bad_format` by `else`; NULL gives NULL.
    """

    verb: ClassVar[str] = "parse"
    column: Argument = Field(alias="parse")
    format: Annotated[str, AfterValidator(_format)]
    otherwise: Annotated[OtherwiseField, AfterValidator(_otherwise)] = Field(Otherwise("reject"), alias="else")

    def arguments(self) -> Iterator[Argument]:
        """Yield the column."""
        yield self.column

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:  # noqa: ARG002
        """Return date, time or timestamp, as the format says."""
        scope.argument(self.column, TEXT)
        if "%Y" not in self.format.replace("%%", ""):
            return TIME
        return TIMESTAMP if "%H" in self.format.replace("%%", "") else DATE

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return the captured parts put into ISO order and parsed by the closed grammar."""
        raw = trees.named(scope, scope.as_text(self.column))
        text = scope.bind(op.TrimAscii(this=raw.value.copy()))
        pattern, groups = _pattern(self.format)

        def part(directive: str) -> exp.Expression:
            group = groups.get(directive)
            if group is None:
                return trees.text("00")
            number = exp.Literal.number(group)
            return op.RegexCapture(this=text.copy(), pattern=trees.text(pattern), group=number)

        clock = [part("H"), trees.text(":"), part("M"), trees.text(":"), part("S")]
        if "f" in groups:
            clock += [trees.text("."), part("f")]
        day = [part("Y"), trees.text("-"), part("m"), trees.text("-"), part("d")] if "Y" in groups else []
        if day and "H" in groups:
            kind, name = TIMESTAMP, scope.bind(op.ParseTimestamp(this=trees.joined([*day, trees.text(" "), *clock])))
        elif day:
            kind, name = DATE, scope.bind(op.ParseDate(this=trees.joined(day)))
        else:
            kind, name = TIME, scope.bind(op.ParseTime(this=trees.joined(clock)))
        if self.otherwise.action == "null":
            return Sql(name, kind, raw.reasons)
        bad = trees.every([trees.is_present(raw.value), trees.is_null(name)])
        return Sql(name, kind, (*raw.reasons, Reason(bad, f"bad_format:{label(self)}")))

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return what reading the text directive by directive gives."""
        raw = scope.as_text(self.column)
        if raw.value is None:
            return raw
        fields = _read(self.format, raw.value.strip(" \t\n\v\f\r"))
        if fields is not None:
            micros = int(fields["f"].ljust(6, "0")) if "f" in fields else 0
            clock = [int(fields.get(directive, "0")) for directive in "HMS"]
            try:
                if "Y" not in fields:
                    return Outcome(dt.time(clock[0], clock[1], clock[2], micros))
                day = dt.date(int(fields["Y"]), int(fields["m"]), int(fields["d"]))
                if "H" not in fields:
                    return Outcome(day)
                return Outcome(dt.datetime.combine(day, dt.time(clock[0], clock[1], clock[2], micros)))
            except ValueError:
                pass
        return Outcome(None, (f"bad_format:{label(self)}",) if self.otherwise.action == "reject" else ())


def _pattern(text: str) -> tuple[str, dict[str, int]]:
    """Return the pattern in the closed subset of RegexMatches, and the group number of each directive."""
    groups: dict[str, int] = {}
    pattern = ""
    for directive, literal in re.findall(r"%(.)|([^%]+)", text, re.DOTALL):
        if directive and directive != "%":
            groups[directive] = len(groups) + 1
            pattern += _DIRECTIVES[directive]
        else:
            pattern += re.sub(r"([\\.^$|?*+()\[\]{}])", r"\\\1", directive or literal)
    return pattern, groups


def _read(text: str, value: str) -> dict[str, str] | None:
    """Return the digits of each directive; None if the value is not of the format. The Python twin's own.

    Reads left to right, `%f` taking as many of its digits as there are; a format in which fewer would have to
    be taken (`%f` right before digits) is read as the pattern reads it, by trying shorter ones.
    """
    if not text:
        return {} if not value else None
    if text[0] == "%" and text[1] != "%":
        widths = range(6, 0, -1) if text[1] == "f" else [4 if text[1] == "Y" else 2]
        for width in widths:
            digits = value[:width]
            if len(digits) == width and all(digit in "0123456789" for digit in digits):
                rest = _read(text[2:], value[width:])
                if rest is not None:
                    return {text[1]: digits, **rest}
        return None
    size = 2 if text[0] == "%" else 1
    return _read(text[size:], value[1:]) if value[:1] == text[size - 1] else None
