"""The rule `epoch`: an instant out of a count of seconds since 1970."""

import datetime as dt
from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field
from sqlglot import exp

from transhume import operations as op
from transhume.rules import trees
from transhume.rules.rule import (
    Argument,
    Outcome,
    PythonScope,
    Reason,
    Rule,
    RuleProblem,
    Sql,
    SqlScope,
    TypeScope,
    label,
)
from transhume.schema import BIGINT, TEXT, TIMESTAMPTZ, Kind, LogicalType

_MICROS = {"s": 1_000_000, "ms": 1_000, "us": 1}
_TAKEN = frozenset({Kind.INT, Kind.BIGINT, Kind.TEXT, Kind.DECIMAL, Kind.DOUBLE})
_START = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Epoch(Rule):
    """The instant that lies so many `unit` (s, ms, us) after 1970-01-01T00:00:00Z, leap seconds not counted.

    Takes whole numbers and texts of whole numbers; a fraction is `inexact`. Outside of the years 0001-9999 it is
    `bad_epoch`. Into a text column: `YYYY-MM-DDTHH:MM:SSZ`, with `.ffffff` where microseconds are not 0.
    """

    verb: ClassVar[str] = "epoch"
    column: Argument = Field(alias="epoch")
    unit: Literal["s", "ms", "us"]

    def arguments(self) -> Iterator[Argument]:
        """Yield the column."""
        yield self.column

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:
        """Return timestamptz, or text where text is wanted. Raises: RuleProblem for what is no number or text."""
        given = scope.argument(self.column)
        if given.kind not in _TAKEN:
            message = f"'{label(self)}' is {given}, and a count of {self.unit} is a whole number or its text"
            cure = "write {utc: column}" if given.kind is Kind.TIMESTAMP else "name a column of numbers"
            raise RuleProblem(message, cure)
        return TEXT if wanted is not None and wanted.kind is Kind.TEXT else TIMESTAMPTZ

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:
        """Return the instant of the microseconds; NULL from either operation is out of range."""
        count = trees.named(scope, scope.argument(self.column, BIGINT))
        factor = exp.Literal.number(_MICROS[self.unit])
        micros = count.value.copy() if self.unit == "us" else op.IntegerProduct(this=count.value, expression=factor)
        instant = scope.bind(op.InstantFromMicros(this=micros))
        outside = trees.every([trees.is_present(count.value), trees.is_null(instant)])
        reasons = (*count.reasons, Reason(outside, f"bad_epoch:{label(self)}"))
        if wanted.kind is Kind.TEXT:
            return Sql(op.InstantText(this=instant.copy()), TEXT, reasons)
        return Sql(instant, TIMESTAMPTZ, reasons)

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:
        """Return the start of 1970 plus a timedelta."""
        count = scope.argument(self.column, BIGINT)
        if count.value is None:
            return count
        seconds, micros = divmod(count.value * _MICROS[self.unit], 1_000_000)
        try:
            instant = _START + dt.timedelta(seconds=seconds, microseconds=micros)
        except OverflowError:
            return Outcome(None, (f"bad_epoch:{label(self)}",))
        if wanted.kind is not Kind.TEXT:
            return Outcome(instant)
        return Outcome(instant.replace(tzinfo=None).isoformat() + "Z")
