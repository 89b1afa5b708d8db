"""The rule `utc`: a local time of a zone as an instant."""

import datetime
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator
from sqlglot import exp

from transhume import operations as op
from transhume.facts import Need
from transhume.rules import trees
from transhume.rules.rule import (
    Argument,
    ColumnRef,
    Outcome,
    PythonScope,
    Reason,
    Rule,
    RuleProblem,
    Sql,
    SqlScope,
    TypeScope,
    label,
    parse_argument,
)
from transhume.rules.zone_years import CHANGES_MAX, zone_info, zone_names
from transhume.schema import TEXT, TIMESTAMP, TIMESTAMPTZ, Kind, LogicalType


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
        if name not in zone_names():
            message = f"'{name}' is not an IANA time zone, such as America/New_York"
            raise ValueError(message)
        return str(name)

    @field_validator("zero_date", mode="before")
    @classmethod
    def _zero_date(cls, node: Any, info: ValidationInfo) -> Any:
        if isinstance(node, str) and node in {"reject", "null"}:
            return str(node)
        return parse_argument(node, info)
