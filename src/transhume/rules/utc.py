"""The rule `utc`: a local time of a zone as an instant."""

import datetime as dt
import functools
import importlib.resources
import re
import zoneinfo
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator
from sqlglot import exp

from transhume import operations as op
from transhume.facts import Need
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
    is_quoted,
    label,
    parse_argument,
)
from transhume.rules.zone_years import CHANGES_MAX, zone_columns, zone_names, zone_years
from transhume.schema import TEXT, TIMESTAMP, TIMESTAMPTZ, Kind, LogicalType

_ZERO_DATE = re.compile(r"0000-00-00([ T]\d\d:\d\d:\d\d(\.\d+)?)?", re.ASCII)


class Utc(Rule):
    """A naive local time in `zone` as a UTC instant, microseconds kept; in a text column `YYYY-MM-DDTHH:MM:SSZ`.

    Zones: IANA names of the pinned tzdata package; without `zone`, the plan's `defaults.time_zone`.
    A time that occurs twice is taken by `on_overlap`, one that does not occur is `dst_gap` by `on_gap` (`shift`
    moves it forward by the length of the gap), `0000-00-00` is `zero_date` by `zero_date` (reject, null, or a
    column that is taken instead). Another text is `bad_timestamp`. NULL gives NULL.
    """

    verb: ClassVar[str] = "utc"
    column: Argument = Field(alias="utc")
    zone: str = Field("", validate_default=True)
    on_overlap: Literal["earlier", "later", "reject"] = "earlier"
    on_gap: Literal["reject", "shift"] = "reject"
    zero_date: Literal["reject", "null"] | Argument = "reject"

    @field_validator("zone", mode="after")
    @classmethod
    def _zone(cls, zone: str, info: ValidationInfo) -> str:
        name = zone or (info.context or {}).get("time_zone") or ""
        if not name:
            message = "no time zone: write zone: here or time_zone: under defaults"
            raise ValueError(message)
        # A plan that people still review may say that its zone is open; no run of such a plan.
        if name not in zone_names() and name != (info.context or {}).get("open_zone"):
            message = f"'{name}' is not an IANA time zone, such as America/New_York"
            raise ValueError(message)
        return str(name)

    @field_validator("zero_date", mode="before")
    @classmethod
    def _zero_date(cls, node: Any, info: ValidationInfo) -> Any:
        if isinstance(node, str) and node in {"reject", "null"} and not is_quoted(node):
            return str(node)
        return parse_argument(node, info)

    def arguments(self) -> Iterator[Argument]:
        """Yield the column, and the one that is taken for a zero date."""
        yield self.column
        if not isinstance(self.zero_date, str):
            yield self.zero_date

    def needs(self) -> Iterator[Need]:
        """Yield what the arguments need, and the zone's local years."""
        yield from super().needs()
        yield Need("zone", self.zone)

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:
        """Return timestamptz, or text where text is wanted. Raises: RuleProblem for what is no local time."""
        for argument in self.arguments():
            kind = scope.argument(argument)
            if kind.kind not in {Kind.TEXT, Kind.TIMESTAMP, Kind.DATE}:
                message = f"'{label(argument)}' is {kind}, which is no local time"
                cure = "copy the column" if kind.kind is Kind.TIMESTAMPTZ else "use a column of local times"
                raise RuleProblem(message, cure)
        return TEXT if wanted is not None and wanted.kind is Kind.TEXT else TIMESTAMPTZ

    def way(self, scope: PythonScope) -> str:
        """Return whether the local time is plain, skipped, repeated, or none at all."""
        try:
            raw = scope.as_text(self.column).value
        except RuleProblem:
            raw = scope.argument(self.column, TIMESTAMP).value
        if raw is None:
            return ""
        if isinstance(raw, str) and _ZERO_DATE.fullmatch(raw.strip(" \t\n\v\f\r")):
            return "zero date"
        local = _local_time(raw) if isinstance(raw, str) else raw
        if local is None:
            return "no time"
        first, second = (local.replace(tzinfo=_zone(self.zone), fold=fold).utcoffset() for fold in (0, 1))
        if first == second:
            return "time"
        return "skipped time" if first is not None and second is not None and first < second else "repeated time"

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:
        """Return local microseconds less the offset that the zone's row of the local year gives."""
        value, reasons, is_zero = self._instant(scope, self.column)
        if self.zero_date == "reject" and is_zero is not None:
            reasons = (*reasons, Reason(is_zero, f"zero_date:{label(self.column)}"))
        elif not isinstance(self.zero_date, str) and is_zero is not None:
            other, others, other_zero = self._instant(scope, self.zero_date)
            if other_zero is not None:
                others = (*others, Reason(other_zero, f"zero_date:{label(self.zero_date)}"))
            needed = trees.is_true(is_zero)
            own = (
                Reason(scope.bind(trees.every([needed, trees.is_true(each.condition)])), each.text) for each in others
            )
            reasons = (*reasons, *own)
            value = scope.bind(trees.case([(needed, other)], value))
        if wanted.kind is Kind.TEXT:
            return Sql(op.InstantText(this=value.copy()), TEXT, reasons)
        return Sql(value, TIMESTAMPTZ, reasons)

    def _instant(
        self, scope: SqlScope, argument: Argument
    ) -> tuple[exp.Expression, tuple[Reason, ...], exp.Expression | None]:
        """Return the instant, its reasons, and the condition that the text is a zero date (None: it cannot be)."""
        column = label(argument)
        is_zero: exp.Expression | None = None
        try:
            raw = trees.named(scope, scope.as_text(argument))
        except RuleProblem:  # a timestamp or a date that is carried as such: no text, so no zero date
            raw = trees.named(scope, scope.argument(argument, TIMESTAMP))
            local: exp.Expression = raw.value
        else:
            is_zero = scope.bind(op.IsZeroDate(this=raw.value.copy()))
            local = scope.bind(op.ParseTimestamp(this=raw.value.copy()))
        micros = scope.bind(op.LocalMicros(this=local.copy()))
        year = scope.join(Need("zone", self.zone), {"year": op.LocalYear(this=local.copy())})
        changes = range(CHANGES_MAX, 0, -1)
        earlier = [(trees.compared(exp.GTE, micros, year(f"until_{n}")), year(f"offset_{n}")) for n in changes]
        later = [(trees.compared(exp.GTE, micros, year(f"from_{n}")), year(f"offset_{n}")) for n in changes]
        before = scope.bind(trees.case(earlier, year("offset_0")))
        after = scope.bind(trees.case(later, year("offset_0")))
        is_gap, is_overlap = trees.compared(exp.LT, before, after), trees.compared(exp.GT, before, after)
        offset = trees.case([(is_overlap, after)], before) if self.on_overlap == "later" else before
        instant = scope.bind(op.InstantFromMicros(this=exp.Sub(this=micros.copy(), expression=exp.Paren(this=offset))))
        bad = [trees.is_present(raw.value), trees.is_null(instant)]
        if is_zero is not None:
            bad.append(trees.negated(is_zero))
        reasons = [*raw.reasons, Reason(trees.every(bad), f"bad_timestamp:{column}")]
        refused = []
        if self.on_gap == "reject":
            refused.append(Reason(is_gap, f"dst_gap:{column}"))
        if self.on_overlap == "reject":
            refused.append(Reason(is_overlap, f"dst_overlap:{column}"))
        value = scope.bind(trees.value_where_sound(refused, instant)) if refused else instant
        return value, (*reasons, *refused), is_zero

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:
        """Return the instant by zoneinfo's own arithmetic."""
        outcome = self._python_instant(scope, self.column)
        if outcome.reasons and outcome.reasons == (f"zero_date:{label(self.column)}",):
            if self.zero_date == "null":
                return Outcome(None)
            if not isinstance(self.zero_date, str):
                outcome = self._python_instant(scope, self.zero_date)
        if outcome.value is None or wanted.kind is not Kind.TEXT:
            return outcome
        text = outcome.value.replace(tzinfo=None).isoformat(timespec="auto")
        return Outcome(f"{text}Z", outcome.reasons)

    def _python_instant(self, scope: PythonScope, argument: Argument) -> Outcome:
        column = label(argument)
        try:
            raw = scope.as_text(argument)
        except RuleProblem:
            raw = scope.argument(argument, TIMESTAMP)
        if raw.value is None:
            return raw
        local: dt.datetime | None = _local_time(raw.value) if isinstance(raw.value, str) else raw.value
        if local is None:
            is_zero = _ZERO_DATE.fullmatch(raw.value.strip(" \t\n\v\f\r"))
            return Outcome(None, (f"zero_date:{column}" if is_zero else f"bad_timestamp:{column}",))
        zone = _zone(self.zone)
        first, second = zone.utcoffset(local), zone.utcoffset(local.replace(fold=1))
        assert first is not None
        assert second is not None
        offset = first
        if first != second:
            if (self.on_gap if first < second else self.on_overlap) == "reject":
                return Outcome(None, (f"dst_gap:{column}" if first < second else f"dst_overlap:{column}",))
            offset = second if first > second and self.on_overlap == "later" else first
        try:
            instant = local - offset
        except OverflowError:
            return Outcome(None, (f"bad_timestamp:{column}",))
        return Outcome(dt.datetime.combine(instant, instant.time(), dt.UTC))


@functools.cache
def _zone(name: str) -> zoneinfo.ZoneInfo:
    """Return the zone of the pinned package; `ZoneInfo(name)` would prefer whatever the machine has."""
    with importlib.resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return zoneinfo.ZoneInfo.from_file(file, key=name)


_LOCAL = re.compile(
    r"[ \t\n\v\f\r]*([0-9]{4}-[0-9]{2}-[0-9]{2}[ T](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(?:\.[0-9]{1,6}0*)?)[ \t\n\v\f\r]*"
)


def _local_time(text: str) -> dt.datetime | None:
    match = _LOCAL.fullmatch(text)
    try:
        # The clock's form is settled by the pattern, so that what is left to refuse are days that no calendar has.
        return dt.datetime.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


__all__ = ["Utc", "zone_columns", "zone_names", "zone_years"]
