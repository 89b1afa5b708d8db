"""The plan as typed data: what `transhume.yaml` says, nothing about how it was read or what is wrong with it."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from transhume.rules import Rule, parse_rule
from transhume.rules.rule import ColumnRef
from transhume.schema import LogicalType

_STRICT = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, populate_by_name=True)


class ColumnSpec(BaseModel):
    """One entry of `types:`: a type and the constraints that stand behind it."""

    model_config = _STRICT
    type: LogicalType
    primary_key: bool = False
    not_null: bool = False
    unique: bool = False
    references: str | None = None
    """Table mapping (its target table's primary key) that the column references."""


class FileLookup(BaseModel):
    """A lookup from a CSV file of the project, or from a table of another system."""

    model_config = _STRICT
    file: str | None = None
    system: str | None = None
    table: str | None = None
    key: str
    value: str


class NamesLookup(BaseModel):
    """Canonical names and their other spellings."""

    model_config = _STRICT
    names: dict[str, tuple[str, ...]]


Lookup = FileLookup | NamesLookup


class Join(BaseModel):
    """At most one row of another source table per row, under an alias."""

    model_config = _STRICT
    from_: str = Field(alias="from")
    on: dict[str, str]
    """Column of the joined table to own column or earlier alias.column."""
    where: str | None = None
    first: dict[str, tuple[str, ...]] | None = None
    latest: str | None = None
    none: Literal["null", "reject"] = "null"
    many: Literal["reject"] = "reject"


class RowCheck(BaseModel):
    """A condition on the target row, in the portable expression language; NULL counts as passed."""

    model_config = _STRICT
    name: str
    sql: str
    then: Literal["reject", "stop", "warn"] = "reject"


class RejectLimit(BaseModel):
    """How many rejects are allowed: a count, a share of the rows read, or limits by reason kind."""

    model_config = _STRICT
    count: int | None = None
    share: float | None = None
    by_reason: dict[str, "RejectLimit"] | None = None


def _parse_field(node: Any, info: ValidationInfo) -> Any:
    return parse_rule(node, info.context or {})


FieldRule = Annotated[Rule, BeforeValidator(_parse_field)]


class TableMapping(BaseModel):
    """One target table and where each of its columns comes from."""

    model_config = _STRICT
    name: str
    into: str | None = None
    from_: str = Field(alias="from")
    key: tuple[str, ...]
    where: str | None = None
    create: bool = False
    types: dict[str, ColumnSpec] = {}
    join: dict[str, Join] = {}
    columns: dict[str, FieldRule]
    drop: tuple[str, ...] = ()
    checks: tuple[RowCheck, ...] = ()
    max_rejects: RejectLimit | None = None
    on_conflict: Literal["error"] = "error"

    @property
    def target_table(self) -> str:
        """The target table's name."""
        return self.into or self.name

    def parents(self) -> Iterator[str]:
        """Yield the table mappings that this one references, itself included where it does."""
        seen = set()
        for rule in self.columns.values():
            for need in rule.needs():
                if need.kind == "parents" and need.subject not in seen:
                    seen.add(need.subject)
                    yield need.subject


class Defaults(BaseModel):
    """What holds where a table mapping or a rule says nothing."""

    model_config = _STRICT
    time_zone: str | None = None
    max_rejects: RejectLimit = RejectLimit(count=0)


class Plan(BaseModel):
    """A whole plan. `tables` keeps the file's order."""

    model_config = _STRICT
    version: Literal["1"] = Field(alias="transhume")
    name: str
    namespace: str
    source: str
    target: str
    description: str = ""
    goal: str = ""
    scope: str = ""
    defaults: Defaults = Defaults()
    lookups: Mapping[str, Lookup] = {}
    tables: Mapping[str, TableMapping]
    ignored_tables: tuple[str, ...] = ()
    environments: Mapping[str, Any] = {}
    schedule: Mapping[str, Any] = {}
    people: Mapping[str, Any] = {}
    risks: Any = ()
    rollback: Mapping[str, Any] = {}
    notify: Any = ()
    phases: Any = ()
    consistency: Any = None
    performance: Any = ()


__all__ = [
    "ColumnRef",
    "ColumnSpec",
    "Defaults",
    "FileLookup",
    "Join",
    "Lookup",
    "NamesLookup",
    "Plan",
    "RejectLimit",
    "RowCheck",
    "TableMapping",
]
