"""The types of a table mapping: what its rules give, and what the target must hold. Pure."""

import datetime
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from transhume.batches import TargetTable
from transhume.errors import Finding, PlanError
from transhume.facts import Catalog
from transhume.plan.model import ColumnSpec, Plan, TableMapping
from transhume.rules.rule import Argument, ColumnRef, Constant, RuleProblem
from transhume.schema import TEXT, Carrier, Column, ForeignKey, Kind, LogicalType, Table, is_convertible

_INT_MAX = {Kind.INT: 2**31 - 1, Kind.BIGINT: 2**63 - 1}
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


def mapping_types(plan: Plan, mapping: TableMapping, source: Catalog, target: Catalog | None) -> TargetTable:
    """Return what the target must hold for a mapping; see `derive_types`.

    Raises: PlanError with every problem of the mapping's types.
    """
    table, findings = derive_types(plan, mapping, source, target)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors or table is None:
        raise PlanError(errors)
    return table


def derive_types(
    plan: Plan, mapping: TableMapping, source: Catalog, target: Catalog | None
) -> tuple[TargetTable | None, tuple[Finding, ...]]:
    """Return the target table of a mapping in logical types, and every problem on the way there.

    A column's type comes from the existing target table, else from `types:`, else from its rule. The table has
    exactly the columns that the mapping fills. None if problems leave no table to speak of.
    """
    collected: list[Finding] = []
    if mapping.from_ not in source.tables:
        message = f"table '{mapping.from_}' is not in the source"
        return None, (_finding(plan, mapping, "no_source_table", message, ("from",)),)
    existing = target.tables.get(mapping.target_table) if target is not None else None
    if target is not None and existing is None and not mapping.create:
        message = f"table '{mapping.target_table}' is not in the target"
        cure = "Write 'create: true', or create it first."
        return None, (_finding(plan, mapping, "no_target_table", message, ("into",), cure),)
    scope = SourceTypes(mapping, source.tables)
    columns: list[Column] = []
    for name in _in_order(mapping, existing):
        column, problems = _target_column(plan, mapping, scope, existing, name)
        collected += problems
        if column is not None:
            columns.append(column)
    if existing is not None:
        collected += _untouched_columns(plan, mapping, existing)
    key = existing.primary_key if existing is not None else created_key(mapping)
    if not key or not set(key) <= set(mapping.columns):
        message = f"table '{mapping.target_table}' has no primary key that the mapping fills"
        cure = "Write 'primary key' behind a column in 'types:', or fill the key with {uuid: key column}."
        collected.append(_finding(plan, mapping, "no_primary_key", message, ("columns",), cure))
    columns = [_not_null(column) if column.name in key else column for column in columns]
    table = Table(
        name=mapping.target_table,
        columns=tuple(columns),
        primary_key=key,
        unique=existing.unique if existing is not None else _unique_columns(mapping),
        foreign_keys=existing.foreign_keys if existing is not None else _references(plan, mapping, target),
        checks=existing.checks if existing is not None else (),
        obstacles=existing.obstacles if existing is not None else (),
    )
    return TargetTable(mapping.name, table, key, create=existing is None), tuple(collected)


def created_key(mapping: TableMapping) -> tuple[str, ...]:
    """Return the primary key of a table that the run creates: from `types:`, else the UUID over the key."""
    declared = tuple(name for name, spec in mapping.types.items() if spec.primary_key)
    if declared:
        return declared
    made = uuid_column(mapping)
    return (made,) if made is not None else ()


def uuid_column(mapping: TableMapping) -> str | None:
    """Return the target column that holds the UUID of the mapping's key, or None."""
    for name, rule in mapping.columns.items():
        arguments = tuple(rule.arguments())
        if rule.verb == "uuid" and arguments == tuple(ColumnRef(part) for part in mapping.key):
            return name
    return None


@dataclass(frozen=True, slots=True)
class SourceTypes:
    """The types of a mapping's columns: what `Rule.result` may ask (`rules.rule.TypeScope`)."""

    mapping: TableMapping
    tables: Mapping[str, Table]

    def argument(self, argument: Argument, wanted: LogicalType | None = None) -> LogicalType:
        """Return the type of a column, constant or nested rule. Raises: RuleProblem if it cannot become `wanted`."""
        if isinstance(argument, Constant):
            problem = constant_problem(argument, wanted or TEXT)
            if problem:
                raise RuleProblem(problem, "write a value of the target column's type")
            return wanted or TEXT
        if not isinstance(argument, ColumnRef):
            given = argument.result(self, wanted)
        else:
            column = self.column(argument.name)
            if column.type is None:
                message = f"'{argument.name}' has the type '{column.native}', which cannot be carried exactly"
                raise RuleProblem(message, "leave the column out, or cast it in a view of the source")
            given = column.type
            if column.carrier is Carrier.TEXT and wanted is not None and wanted.kind is Kind.TEXT:
                return given
        if wanted is not None and not is_convertible(given, wanted):
            message = f"a value of type {given} cannot become {wanted} exactly"
            raise RuleProblem(message, "give the target column another type, or convert by a rule")
        return given

    def lookup_value(self, name: str) -> LogicalType:  # noqa: ARG002 - every lookup is a table of texts
        """Return text: a lookup's values are texts until a target column types them."""
        return TEXT

    def column(self, name: str) -> Column:
        """Return the source column, or the joined one for `alias.column`. Raises: RuleProblem if there is none."""
        table, own = resolve(self.mapping, name)
        known = self.tables.get(table)
        column = known.column(own) if known is not None else None
        if column is None:
            message = f"'{name}' is not a column of '{table}'"
            raise RuleProblem(message, "")
        return column


def resolve(mapping: TableMapping, name: str) -> tuple[str, str]:
    """Return source table and column that a name in the plan stands for; an alias before the point wins."""
    alias, point, column = name.partition(".")
    if point and alias in mapping.join:
        return mapping.join[alias].from_, column
    return mapping.from_, name


def constant_problem(constant: Constant, wanted: LogicalType) -> str | None:
    """Return why a literal of the plan is no value of this type, or None if it is one."""
    if constant.text is None:
        return None
    if wanted.kind is Kind.TEXT and wanted.length is not None and len(constant.text) > wanted.length:
        return f"'{constant.text}' has {len(constant.text)} characters, and the column takes {wanted.length}"
    test = _CONSTANTS.get(wanted.kind)
    if test is None:
        return f"no constant can be written for the type {wanted}"
    try:
        fits = test(constant.text, wanted)
    except (ValueError, ArithmeticError):
        fits = False
    return None if fits else f"'{constant.text}' is not a value of type {wanted}"


def _is_integer(text: str, wanted: LogicalType) -> bool:
    largest = _INT_MAX[wanted.kind]
    return re.fullmatch(r"[+-]?[0-9]{1,20}", text) is not None and -largest - 1 <= int(text) <= largest


def _is_decimal(text: str, wanted: LogicalType) -> bool:
    if not _NUMBER.fullmatch(text):
        return False
    scaled = Decimal(text).scaleb(wanted.scale or 0)
    return scaled == scaled.to_integral_value() and abs(scaled) < 10 ** (wanted.precision or 38)


def _is_double(text: str, _: LogicalType) -> bool:
    value = float(text) if _NUMBER.fullmatch(text) else float("nan")
    return abs(value) != float("inf") and value == value and (value != 0 or Decimal(text) == 0)


def _is_timestamp(text: str, wanted: LogicalType) -> bool:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d(:\d\d){0,2})?", text, re.ASCII):
        return False
    aware = datetime.datetime.fromisoformat(text).tzinfo is not None
    return aware is (wanted.kind is Kind.TIMESTAMPTZ)


def _is_time(text: str, _: LogicalType) -> bool:
    return bool(re.fullmatch(r"\d\d:\d\d:\d\d(\.\d{1,6})?", text, re.ASCII)) and bool(datetime.time.fromisoformat(text) or True)


def _is_date(text: str, _: LogicalType) -> bool:
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII)) and bool(datetime.date.fromisoformat(text))


def _is_uuid(text: str, _: LogicalType) -> bool:
    return str(uuid.UUID(text)) == text.lower()


_CONSTANTS: dict[Kind, Callable[[str, LogicalType], bool]] = {
    Kind.TEXT: lambda text, _: "\0" not in text,
    Kind.INT: _is_integer,
    Kind.BIGINT: _is_integer,
    Kind.DECIMAL: _is_decimal,
    Kind.DOUBLE: _is_double,
    Kind.BOOLEAN: lambda text, _: text in {"true", "false", "t", "f", "1", "0"},
    Kind.UUID: _is_uuid,
    Kind.DATE: _is_date,
    Kind.TIME: _is_time,
    Kind.TIMESTAMP: _is_timestamp,
    Kind.TIMESTAMPTZ: _is_timestamp,
}


def _in_order(mapping: TableMapping, existing: Table | None) -> Iterator[str]:
    if existing is None:
        yield from mapping.columns
        return
    yield from (column.name for column in existing.columns if column.name in mapping.columns)
    yield from (name for name in mapping.columns if existing.column(name) is None)


def _target_column(
    plan: Plan, mapping: TableMapping, scope: SourceTypes, existing: Table | None, name: str
) -> tuple[Column | None, list[Finding]]:
    at = ("columns", name)
    spec = mapping.types.get(name)
    there = existing.column(name) if existing is not None else None
    if existing is not None and there is None:
        message = f"'{name}' is not a column of target table '{existing.name}'"
        return None, [_finding(plan, mapping, "no_target_column", message, at)]
    if there is not None and (there.refused or there.type is None):
        why = there.refused or f"its type '{there.native}' cannot be written exactly"
        return None, [_finding(plan, mapping, "target_column_refused", f"'{name}' cannot be written: {why}", at)]
    wanted = there.type if there is not None else spec.type if spec is not None else None
    try:
        given = mapping.columns[name].result(scope, wanted)
    except RuleProblem as problem:
        return None, [_finding(plan, mapping, "rule_problem", f"'{name}': {problem.message}", at, problem.cure)]
    problems = list(_type_problems(plan, mapping, name, given, wanted, spec))
    kind = wanted or given
    nullable = there.nullable if there is not None else not (spec is not None and (spec.not_null or spec.primary_key))
    native = there.native if there is not None else ""
    return Column(name, kind, nullable, native, has_default=there is not None and there.has_default), problems


def _type_problems(
    plan: Plan,
    mapping: TableMapping,
    name: str,
    given: LogicalType,
    wanted: LogicalType | None,
    spec: ColumnSpec | None,
) -> Iterator[Finding]:
    at = ("columns", name)
    if wanted is None:
        if given.kind is Kind.DECIMAL and given.precision is None:
            message = f"'{name}' has no bounds: the source's number takes any digits"
            yield _finding(plan, mapping, "type_without_bounds", message, at, "Write decimal(p,s) for it in 'types:'.")
        return
    if not is_convertible(given, wanted):
        message = f"'{name}': its rule gives {given}, and {given} cannot become {wanted} exactly"
        yield _finding(plan, mapping, "type_mismatch", message, at, "Change the rule or the column's type.")
    if spec is not None and spec.type != wanted:
        message = f"'{name}' is {wanted} in the target, and {spec.type} in the plan"
        cure = "Leave the type out: the table exists."
        yield _finding(plan, mapping, "type_differs", message, ("types", name), cure)


def _untouched_columns(plan: Plan, mapping: TableMapping, existing: Table) -> Iterator[Finding]:
    for column in existing.columns:
        if column.name in mapping.columns or column.nullable or column.has_default or column.refused:
            continue
        message = f"target column '{existing.name}.{column.name}' is NOT NULL without a default, and nothing fills it"
        cure = f"Write a rule for '{column.name}'."
        yield _finding(plan, mapping, "target_column_unfilled", message, ("columns",), cure)


def _unique_columns(mapping: TableMapping) -> tuple[tuple[str, ...], ...]:
    return tuple((name,) for name, spec in mapping.types.items() if spec.unique)


def _references(plan: Plan, mapping: TableMapping, target: Catalog | None) -> tuple[ForeignKey, ...]:
    keys = []
    for name, spec in mapping.types.items():
        parent = plan.tables.get(spec.references or "")
        if parent is None or name not in mapping.columns:
            continue
        existing = target.tables.get(parent.target_table) if target is not None else None
        parent_key = existing.primary_key if existing is not None else created_key(parent)
        if len(parent_key) == 1:
            keys.append(ForeignKey((name,), parent.target_table, parent_key))
    return tuple(keys)


def _not_null(column: Column) -> Column:
    return Column(
        column.name, column.type, nullable=False, native=column.native, carrier=column.carrier, has_default=column.has_default
    )


def _finding(
    plan: Plan, mapping: TableMapping, code: str, message: str, at: tuple[str, ...], cure: str = ""
) -> Finding:
    position = plan.position("tables", mapping.name, *at)
    column = at[1] if len(at) > 1 else None
    return Finding(code, "error", message, cure, position, table=mapping.name, column=column)
