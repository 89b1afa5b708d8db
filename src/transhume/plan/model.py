"""The plan as typed data: what `transhume.yaml` says, nothing about how it was read or what is wrong with it."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    model_validator,
)

from transhume.batches import OnConflict
from transhume.errors import Position
from transhume.plan.engine import Engine, engine_fields
from transhume.plan.environment import Environment
from transhume.plan.fields import (
    column_spec,
    flag,
    lookup_node,
    names,
    notices,
    reject_limit,
    verification,
    with_name,
)
from transhume.plan.origin import Origin
from transhume.plan.people import PlanRisk, names_by_role, risk_fields
from transhume.plan.phases import Phase
from transhume.plan.schedule import Schedule
from transhume.plan.table_check import TableCheck, is_table_check
from transhume.rules import parse_rule
from transhume.rules.rule import ColumnRef, Rule
from transhume.schema import LogicalType

_STRICT = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, populate_by_name=True)

Names = Annotated[tuple[str, ...], BeforeValidator(names)]
"""A list of names; one name alone may stand without brackets."""
Occasion = Literal["finished", "failed", "rolled_back", "incident"]
"""What a notice tells of; an incident is a run that failed when its rows were visible, or a rollback that stopped."""
Flag = Annotated[bool, BeforeValidator(flag)]
Verification = Annotated[Literal["", "stop", "warn"], BeforeValidator(verification)]


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


def _parse_lookup(node: Any) -> Any:
    kind, content = lookup_node(node)
    return (FileLookup if kind == "file" else NamesLookup).model_validate(content)


LookupField = Annotated[Lookup, BeforeValidator(_parse_lookup)]


class Pivot(BaseModel):
    """Rows of a key-value table as columns: `take` gives the alias's columns, each the value beside one key."""

    model_config = _STRICT
    name: str
    """Column that holds the keys."""
    value: str
    """Column that holds the values."""
    take: Annotated[dict[str, str], Field(min_length=1)]


class Join(BaseModel):
    """At most one row of another source table per row, under an alias; with `pivot` the rows of one key as one."""

    model_config = _STRICT
    from_: str = Field(alias="from")
    on: Annotated[dict[str, str], Field(min_length=1)]
    """Column of the joined table to own column or earlier alias.column."""
    where: str | None = None
    first: Annotated[dict[str, Names], Field(min_length=1, max_length=1)] | None = None
    latest: str | None = None
    none: Literal["null", "reject"] = "null"
    many: Literal["reject"] = "reject"
    pivot: Pivot | None = None
    ignore: Names = ()
    """Keys of a pivot's table that go nowhere, on purpose."""


class Dedupe(BaseModel):
    """Rows that stand for one thing: of those with equal `by` columns one wins, the others are `deduplicated`."""

    model_config = _STRICT
    by: Annotated[Names, Field(min_length=1)]
    first: Annotated[dict[str, Names], Field(min_length=1, max_length=1)] | None = None
    latest: str | None = None


class RowCheck(BaseModel):
    """A condition on the target row, in the portable expression language; NULL counts as passed."""

    model_config = _STRICT
    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    sql: str
    then: Literal["reject", "stop", "warn"] = "reject"


class PerformanceCheck(BaseModel):
    """A query that the target must answer within `limit_ms`: by key, reference or time range, or of its dialect."""

    model_config = _STRICT
    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    table: str | None = None
    """Table mapping whose target table is asked."""
    by: Literal["key", "reference", "time range"] | None = None
    column: str | None = None
    """Of a reference or time range: the target column; else the first that fits."""
    query: str | None = None
    """SELECT of the target's own dialect, run in a transaction that cannot write."""
    limit_ms: Annotated[int, Field(gt=0)]

    @model_validator(mode="after")
    def _one_kind(self) -> "PerformanceCheck":
        if (self.query is None) == (self.table is None or self.by is None):
            message = "write either query, or table and by"
            raise ValueError(message)
        return self


class RejectLimit(BaseModel):
    """How many rejects are allowed: a count, a share of the rows read, or limits by reason kind."""

    model_config = _STRICT
    count: int | None = None
    share: float | None = None
    by_reason: dict[str, "RejectLimit"] | None = None


def _parse_field(node: Any, info: ValidationInfo) -> Any:
    return parse_rule(node, info.context or {})


def _parse_limit(node: Any) -> Any:
    return node if isinstance(node, RejectLimit) else RejectLimit.model_validate(reject_limit(node))


def _parse_spec(node: Any) -> Any:
    return node if isinstance(node, ColumnSpec) else ColumnSpec.model_validate(column_spec(node))


def _parse_check(node: Any) -> Any:
    if isinstance(node, RowCheck | TableCheck):
        return node
    return (TableCheck if is_table_check(node) else RowCheck).model_validate(node)


FieldRule = Annotated[Rule, BeforeValidator(_parse_field)]
CheckField = Annotated[RowCheck | TableCheck, BeforeValidator(_parse_check)]
LimitField = Annotated[RejectLimit, BeforeValidator(_parse_limit)]
SpecField = Annotated[ColumnSpec, BeforeValidator(_parse_spec)]


class TableMapping(BaseModel):
    """One target table and where each of its columns comes from."""

    model_config = _STRICT
    name: str
    into: str | None = None
    from_: str = Field(alias="from")
    key: Names
    """Source columns that identify a row. `[]` says that nothing does: rows are then compared as a multiset, a later
    run cannot tell them from those of an earlier one, and no other mapping can refer to them."""
    where: str | None = None
    create: Flag = False
    types: dict[str, SpecField] = {}
    join: dict[str, Join] = {}
    columns: Annotated[dict[str, FieldRule], Field(min_length=1)]
    drop: Names = ()
    dedupe: Dedupe | None = None
    checks: tuple[CheckField, ...] = ()
    verify_artifacts: Verification | None = None
    """Whether what rewritten references lead to must be there; None: as the defaults say."""
    max_rejects: LimitField | None = None
    on_conflict: OnConflict = "error"

    @property
    def target_table(self) -> str:
        """The target table's name."""
        return self.into or self.name

    @property
    def row_checks(self) -> tuple[RowCheck, ...]:
        """The checks on rows."""
        return tuple(check for check in self.checks if isinstance(check, RowCheck))

    @property
    def table_checks(self) -> tuple[TableCheck, ...]:
        """The checks on whole tables."""
        return tuple(check for check in self.checks if isinstance(check, TableCheck))

    def rules(self) -> Iterator[Rule]:
        """Yield every rule of the columns, nested ones after those that hold them."""
        waiting = list(self.columns.values())
        while waiting:
            rule = waiting.pop(0)
            yield rule
            waiting += [argument for argument in rule.arguments() if isinstance(argument, Rule)]

    def feeding(self) -> Iterator[str]:
        """Yield the source tables that the mapping joins or gathers, beside its own."""
        yield from (join.from_ for join in self.join.values())
        for rule in self.columns.values():
            yield from (need.subject for need in rule.needs() if need.kind == "gather")

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
    max_rejects: LimitField = RejectLimit(count=0)
    verify_artifacts: Verification = ""


class Notice(BaseModel):
    """Where notices go, as apprise writes addresses; `to` is a reference to the environment and nothing else."""

    model_config = _STRICT
    to: Annotated[str, Field(pattern=r"^\$\{[^{}]+\}$")]
    on: Annotated[tuple[Occasion, ...], BeforeValidator(names)] = ("finished", "failed", "rolled_back", "incident")


class Rollback(BaseModel):
    """What is asked for before a run, and what a check that fails after publishing does."""

    model_config = _STRICT
    backup: Literal["required", "warn"] = "warn"
    on_failed_check: Literal["automatic", "ask"] = "ask"


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
    lookups: dict[str, LookupField] = {}
    tables: Annotated[dict[str, TableMapping], BeforeValidator(with_name), Field(min_length=1)]
    ignored_tables: Names = ()
    load: Literal["append", "replace"] = "append"
    """`replace`: every row of the target tables leaves in the transaction in which the run's rows come."""
    environments: dict[str, Environment] = {}
    schedule: Schedule = Schedule()
    people: Annotated[dict[str, tuple[str, ...]], BeforeValidator(names_by_role)] = {}
    """Names by role. Everybody named signs."""
    risks: tuple[Annotated[PlanRisk, BeforeValidator(risk_fields)], ...] = ()
    rollback: Rollback = Rollback()
    freeze: Literal["detect", "enforce", "off"] = "detect"
    """Whether a change of the source during a run is reported, prevented, or not looked for."""
    notify: Annotated[tuple[Notice, ...], BeforeValidator(notices)] = ()
    """Where notices about runs and rollbacks go."""
    phases: dict[str, Phase] = {}
    """In order: a wave comes after those above it."""
    engine: Annotated[Engine, BeforeValidator(engine_fields)] = Engine()
    """What computes: `duckdb`, or Spark by its address."""
    consistency: Literal["none"] | None = None
    """`none`: the source's tables need not be of one instant (files have none)."""
    performance: tuple[PerformanceCheck, ...] = ()
    _origin: Origin = PrivateAttr(default_factory=Origin)
    _whole: "Plan | None" = PrivateAttr(default=None)
    _phase: str = PrivateAttr(default="")

    @property
    def origin(self) -> Origin:
        """Where the plan came from: file, places, lookups read, references to secrets."""
        return self._origin

    def without_origin(self) -> "Plan":
        """Return the plan's content alone, to be sent elsewhere: no secret, file or lookup comes along."""
        bare = self.model_copy()
        bare._origin, bare._whole = Origin(), None  # noqa: SLF001 - of the copy, which is made here
        return bare

    def system_lookups(self) -> dict[str, FileLookup]:
        """Return the lookups that are tables of other systems, by name."""
        found = {name: each for name, each in self.lookups.items() if isinstance(each, FileLookup)}
        return {name: each for name, each in found.items() if each.system is not None}

    def in_environment(self, name: str) -> "Plan":
        """Return the plan with the systems of one of its environments. Raises: KeyError for an unknown one."""
        environment = self.environments[name]
        return self.model_copy(
            update={"source": environment.source or self.source, "target": environment.target or self.target}
        )

    @property
    def phase(self) -> str:
        """The wave that this is the part of, "" for a whole plan."""
        return self._phase

    @property
    def whole(self) -> "Plan":
        """The plan that this is a part of; the plan itself where it is whole."""
        return self._whole or self

    def in_phase(self, name: str) -> "Plan":
        """Return the part of the plan that a wave brings: its table mappings, and those that they reference.

        A run finds the latter unchanged where an earlier wave brought them. Raises: KeyError for an unknown one.
        """
        wanted = dict.fromkeys(self.phases[name].tables)
        waiting = list(wanted)
        while waiting:
            for parent in self.tables[waiting.pop()].parents():
                if parent not in wanted:
                    wanted[parent] = None
                    waiting.append(parent)
        part = self.model_copy(update={"tables": {key: each for key, each in self.tables.items() if key in wanted}})
        part._whole, part._phase = self, name  # noqa: SLF001 - its own kind
        return part

    def position(self, *path: str | int) -> Position | None:
        """Return the place of a key such as ('tables', 'ml_models', 'columns', 'created_at'), or of what encloses it.

        None for a plan that was not read from a file.
        """
        return self._origin.position(path)


__all__ = [
    "ColumnRef",
    "ColumnSpec",
    "Dedupe",
    "Defaults",
    "FileLookup",
    "Join",
    "Lookup",
    "NamesLookup",
    "PerformanceCheck",
    "Phase",
    "Pivot",
    "Plan",
    "PlanRisk",
    "RejectLimit",
    "Rollback",
    "RowCheck",
    "TableCheck",
    "TableMapping",
]
