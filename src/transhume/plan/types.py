"""The types of a table mapping: what its rules give, and what the target must hold. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from transhume.batches import TargetTable
from transhume.errors import Finding, PlanError
from transhume.facts import Catalog
from transhume.plan.constants import constant_problem
from transhume.plan.model import ColumnSpec, Plan, TableMapping
from transhume.plan.places import at, at_column, at_mapping
from transhume.rules.copy import Copy
from transhume.rules.rule import Argument, ColumnRef, Constant, RuleProblem
from transhume.schema import TEXT, Carrier, Column, ForeignKey, Kind, LogicalType, Table, is_convertible
from transhume.words import did_you_mean, hint

__all__ = ["SourceTypes", "constant_problem", "key_columns", "mapping_types", "resolve", "target_table", "uuid_column"]


def target_table(
    plan: Plan, mapping: TableMapping, source: Catalog, target: Catalog | None
) -> tuple[TargetTable | None, list[Finding]]:
    """Return what the target must hold for a mapping, and every problem on the way there.

    Shape: exactly the columns that the mapping fills, in the order of the target's table, else of the plan. A type
    comes from the table that is there, from `types:` (also its narrower bounds), else from the rule. None where
    an error leaves no table to speak of. `target` None: nothing is known of it; every table counts as missing.
    """
    existing = target.tables.get(mapping.target_table) if target is not None else None
    collected = list(_table_findings(plan, mapping, source, target, existing))
    if any(finding.code == "unknown_table" for finding in collected):
        return None, collected
    scope = SourceTypes(mapping, source.tables)
    columns: list[Column] = []
    for name in _in_order(mapping, existing):
        column, problems = _target_column(plan, mapping, scope, existing, name)
        collected += problems
        if column is not None:
            columns.append(column)
    key = key_columns(mapping, existing)
    if mapping.key and not key:
        message = f"nothing that '{mapping.name}' fills identifies a row of '{mapping.target_table}'"
        cure = f"write 'primary key' behind a type, or fill a column by {{uuid: {_listed(mapping.key)}}}"
        collected.append(at_mapping(plan, mapping, "columns", "primary_key", message, cure))
    if any(finding.severity == "error" for finding in collected):
        return None, collected
    made = _restricted(existing, columns) if existing else _created(plan, mapping, columns, key, target)
    return TargetTable(mapping.name, made, key, existing is None, mapping.on_conflict), collected


def mapping_types(plan: Plan, mapping: TableMapping, source: Catalog, target: Catalog | None) -> TargetTable:
    """Return what the target must hold for a mapping; see `target_table`.

    Raises: PlanError with every problem of the mapping's types.
    """
    table, findings = target_table(plan, mapping, source, target)
    if table is None:
        raise PlanError([finding for finding in findings if finding.severity == "error"])
    return table


def key_columns(mapping: TableMapping, existing: Table | None = None) -> tuple[str, ...]:
    """Return the target columns that identify a row of this mapping; empty if nothing does, as `key: []` says.

    The primary key of the table that is there, else the declared one, else the UUID over the key, else the
    columns that copy the key.
    """
    if not mapping.key:
        return ()
    filled = set(mapping.columns)
    if existing is not None and existing.primary_key and set(existing.primary_key) <= filled:
        return existing.primary_key
    declared = tuple(name for name, spec in mapping.types.items() if spec.primary_key)
    if declared:
        return declared if set(declared) <= filled else ()
    made = uuid_column(mapping)
    if made is not None:
        return (made,)
    copies: dict[str, str] = {}
    for name, rule in mapping.columns.items():
        if isinstance(rule, Copy) and isinstance(rule.column, ColumnRef):
            copies.setdefault(rule.column.name, name)
    return tuple(copies[part] for part in mapping.key) if set(mapping.key) <= set(copies) else ()


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
                raise RuleProblem(
                    message, "leave the column out and write it under drop, or cast it in a view of the source"
                )
            given = column.type
            if column.carrier is Carrier.TEXT and wanted is not None and wanted.kind is Kind.TEXT:
                return given
        if wanted is not None and not is_convertible(given, wanted):
            what = f"'{argument.name}'" if isinstance(argument, ColumnRef) else f"the rule '{argument.verb}'"
            message = f"{what} gives {given}, and {given} cannot become {wanted} exactly"
            raise RuleProblem(message, _cure(given, wanted))
        return given

    def lookup_value(self, name: str) -> LogicalType:  # noqa: ARG002 - every lookup is a table of texts
        """Return text: a lookup's values are texts until a target column types them."""
        return TEXT

    def column(self, name: str) -> Column:
        """Return the source column, or the joined one for `alias.column`. Raises: RuleProblem if there is none."""
        table, own = resolve(self.mapping, name)
        if problem := untaken_problem(self.mapping, name):
            raise RuleProblem(*problem)
        known = self.tables.get(table)
        column = known.column(own) if known is not None else None
        if known is None:
            message = f"the source has no table '{table}'"
            raise RuleProblem(message, hint(table, self.tables, "its tables are"))
        if column is None:
            alias = name.removesuffix(own)
            message = f"the source's table '{table}' has no column '{own}'"
            choices = [f"{alias}{each.name}" for each in known.columns]
            raise RuleProblem(message, hint(name, choices, "its columns are"))
        return column


def resolve(mapping: TableMapping, name: str) -> tuple[str, str]:
    """Return source table and column that a name in the plan stands for; an alias before the point wins.

    Of a pivot's columns each one stands for the table's value column.
    """
    alias, point, column = name.partition(".")
    if point and alias in mapping.join:
        join = mapping.join[alias]
        is_taken = join.pivot is not None and column in join.pivot.take
        return join.from_, join.pivot.value if join.pivot is not None and is_taken else column
    return mapping.from_, name


def untaken_problem(mapping: TableMapping, name: str) -> tuple[str, str] | None:
    """Return (what is wrong, cure) for `alias.column` of a pivot that takes no such column; None for any other name."""
    alias, point, column = name.partition(".")
    pivot = mapping.join[alias].pivot if point and alias in mapping.join else None
    if pivot is None or column in pivot.take:
        return None
    message = f"the pivot '{alias}' takes no '{column}'"
    return message, hint(name, [f"{alias}.{each}" for each in pivot.take], "it takes")


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _table_findings(
    plan: Plan, mapping: TableMapping, source: Catalog, target: Catalog | None, existing: Table | None
) -> Iterator[Finding]:
    if mapping.from_ not in source.tables:
        message = f"the source has no table '{mapping.from_}'"
        cure = hint(mapping.from_, source.tables, "its tables are")
        yield at_mapping(plan, mapping, "from", "unknown_table", message, cure)
    if target is not None and existing is None and not mapping.create:
        name = mapping.target_table
        near = did_you_mean(name, target.tables)
        cure = f"did you mean '{near}'? " if near else ""
        cure += "write 'create: true' and the run makes it"
        message = f"the target has no table '{name}'"
        yield at_mapping(plan, mapping, "into" if mapping.into else None, "unknown_table", message, cure)
    if existing is None:
        return
    for obstacle in existing.obstacles:
        message = f"the target's table '{existing.name}' cannot be written as it is: {obstacle}"
        yield at_mapping(
            plan, mapping, None, "obstacle", message, "remove what stands in the way, or use another table"
        )
    for column in existing.columns:
        if column.name in mapping.columns or column.nullable or column.has_default or column.refused:
            continue
        message = f"'{existing.name}.{column.name}' is NOT NULL without a default, and no rule fills it"
        cure = f"write '{column.name}: ...' under columns, or give it a default in the target"
        yield at_mapping(plan, mapping, "columns", "not_null_unfilled", message, cure)


def _in_order(mapping: TableMapping, existing: Table | None) -> Iterator[str]:
    if existing is None:
        yield from mapping.columns
        return
    yield from (column.name for column in existing.columns if column.name in mapping.columns)
    yield from (name for name in mapping.columns if existing.column(name) is None)


def _target_column(
    plan: Plan, mapping: TableMapping, scope: SourceTypes, existing: Table | None, name: str
) -> tuple[Column | None, list[Finding]]:
    spec = _spec(plan, mapping, name)
    there = existing.column(name) if existing is not None else None
    if existing is not None and (there is None or there.refused or there.type is None):
        return None, [_unusable(plan, mapping, name, there, existing)]
    if there is not None and there.type is not None and spec is not None and not _holds(there.type, spec.type):
        message = (
            f"'{name}' is {spec.type} in the plan, and {there.type} in the target's table '{mapping.target_table}'"
        )
        cure = f"write '{name}: {there.type}' under types, or leave it out there"
        return None, [at(plan, ("tables", mapping.name, "types", name), "type_differs", message, cure)]
    wanted = _wanted(spec.type if spec else None, there.type if there else None)
    try:
        given = scope.argument(mapping.columns[name], wanted)
    except RuleProblem as problem:
        return None, [at_column(plan, mapping, name, "type", f"'{name}': {problem.message}", problem.cure)]
    if wanted is None and given.kind is Kind.DECIMAL and given.precision is None:
        message = f"'{name}' has no bounds: the source's number takes any digits"
        cure = f"write '{name}: decimal(p,s)' under types"
        return None, [at_column(plan, mapping, name, "type_without_bounds", message, cure)]
    is_key = name in key_columns(mapping, existing)
    optional = not (is_key or (spec is not None and (spec.not_null or spec.primary_key)))
    nullable = optional and (there is None or there.nullable)
    native, has_default = (there.native, there.has_default) if there is not None else ("", False)
    column = Column(name, wanted or given, nullable, native, has_default=has_default)
    if there is not None:
        column = replace(column, keeps_text=there.keeps_text, bits_max=there.bits_max)
    return column, []


def _spec(plan: Plan, mapping: TableMapping, name: str) -> ColumnSpec | None:
    """Return the type that the plan gives a target column: the mapping's own, else that of one into the same table."""
    others = (each for each in plan.tables.values() if each.target_table == mapping.target_table)
    return next((each.types[name] for each in (mapping, *others) if name in each.types), None)


def _unusable(plan: Plan, mapping: TableMapping, name: str, there: Column | None, existing: Table) -> Finding:
    if there is None:
        message = f"the target's table '{existing.name}' has no column '{name}'"
        free = [column.name for column in existing.columns if column.name not in mapping.columns]
        cure = hint(name, free, "its columns without a rule are") or "remove the line, or add the column there"
        return at_column(plan, mapping, name, "unknown_target_column", message, cure)
    if there.refused:
        message = f"'{existing.name}.{name}' cannot be written: {there.refused}"
        return at_column(plan, mapping, name, "not_writable", message, f"remove the line '{name}: ...'")
    message = f"'{existing.name}.{name}' is of the type '{there.native}', which cannot be written exactly"
    cure = "remove the line, or change the column's type in the target"
    return at_column(plan, mapping, name, "type_refused", message, cure)


def _holds(there: LogicalType, planned: LogicalType) -> bool:
    """Say whether a column that is there holds every value of the planned type: lakes know no json and no lengths."""
    if there.kind is Kind.TEXT and planned.kind is Kind.TEXT:
        return there.length is None or (planned.length is not None and planned.length <= there.length)
    return there == planned or (there.kind is Kind.TEXT and there.length is None and planned.kind is Kind.JSON)


def _wanted(planned: LogicalType | None, there: LogicalType | None) -> LogicalType | None:
    if there is None or (planned is not None and planned.kind is Kind.TEXT):
        return planned
    return there


def _created(
    plan: Plan, mapping: TableMapping, columns: list[Column], key: tuple[str, ...], target: Catalog | None
) -> Table:
    unique = tuple((name,) for name, spec in mapping.types.items() if spec.unique and name in mapping.columns)
    return Table(mapping.target_table, tuple(columns), key, unique, _references(plan, mapping, target))


def _restricted(existing: Table, columns: list[Column]) -> Table:
    """Return a table that is there, with the columns that the mapping fills and the constraints among them."""
    filled = {column.name for column in columns}
    return Table(
        existing.name,
        tuple(columns),
        existing.primary_key if set(existing.primary_key) <= filled else (),
        tuple(unique for unique in existing.unique if set(unique) <= filled),
        tuple(reference for reference in existing.foreign_keys if set(reference.columns) <= filled),
        existing.checks,
        existing.obstacles,
    )


def _references(plan: Plan, mapping: TableMapping, target: Catalog | None) -> tuple[ForeignKey, ...]:
    keys = []
    for name, spec in mapping.types.items():
        parent = plan.tables.get(spec.references or "")
        if parent is None or name not in mapping.columns:
            continue
        existing = target.tables.get(parent.target_table) if target is not None else None
        parent_key = key_columns(parent, existing)
        if len(parent_key) == 1:
            keys.append(ForeignKey((name,), parent.target_table, parent_key))
    return tuple(keys)


def _cure(given: LogicalType, wanted: LogicalType) -> str:
    if wanted.kind is Kind.TIMESTAMPTZ and given.kind in {Kind.TIMESTAMP, Kind.DATE}:
        return "write {utc: column}: a local time becomes an instant by its zone"
    if wanted.kind is Kind.UUID:
        return "write {uuid: column} for a key, {ref: column, table: mapping} for a reference"
    if wanted.kind is Kind.BOOLEAN:
        return "write {boolean: column, true: [...], false: [...]}"
    return f"make the target column {given}, or convert the value by a rule"
