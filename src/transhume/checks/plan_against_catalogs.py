"""A plan held against what source and target hold: tables, columns, types, constraints. Pure; no row is looked at."""

from collections.abc import Iterator

from transhume.batches import TargetTable
from transhume.checks.tables import query_dialect
from transhume.errors import Finding
from transhume.facts import Catalog
from transhume.plan.check import used_columns
from transhume.plan.check_expressions import typed_expression_findings
from transhume.plan.check_joins import dedupe_columns
from transhume.plan.check_tables import query_findings, typed_table_check_findings
from transhume.plan.model import Plan, TableMapping
from transhume.plan.places import at, at_column, at_mapping
from transhume.plan.shared_targets import merged
from transhume.plan.types import SourceTypes, resolve, target_table
from transhume.rules.copy import Copy
from transhume.rules.gather import Gather
from transhume.rules.rule import ColumnRef, Rule, RuleProblem
from transhume.schema import TEXT, Kind, LogicalType, Table, is_convertible
from transhume.words import hint

_KEY_KINDS = frozenset({Kind.TEXT, Kind.INT, Kind.BIGINT, Kind.UUID})


def catalog_findings(
    plan: Plan, source: Catalog, target: Catalog | None
) -> tuple[dict[str, TargetTable], list[Finding]]:
    """Return the target table of each mapping that can have one, and everything that the catalogs say against a plan.

    `target` None: nothing is known of the target; all its tables count as missing.
    """
    tables: dict[str, TargetTable] = {}
    findings = [*_unused_tables(plan, source), *_consistency(plan, source)]
    if target is not None and source.identity == target.identity:
        message = f"source and target are the same system ({source.identity}); the source is never written"
        findings.append(at(plan, ("target",), "same_system", message, "name another database or another schema"))
    for mapping in plan.tables.values():
        made, problems = target_table(plan, mapping, source, target)
        if made is not None:
            tables[mapping.name] = made
        findings += problems
        own = source.tables.get(mapping.from_)
        if own is not None:
            findings += _mapping_findings(plan, mapping, source, own)
            findings += typed_expression_findings(plan, mapping, source.tables, made)
            findings += typed_table_check_findings(plan, mapping, source.tables, made)
        findings += query_findings(plan, mapping, "source", query_dialect(source.identity, "source"), source)
        if target is not None:
            findings += query_findings(plan, mapping, "target", query_dialect(target.identity, "target"), target)
        findings += _width_findings(plan, mapping, source, made)
        findings += _check_findings(plan, mapping, made)
    tables, problems = merged(plan, tables)
    findings += problems
    return tables, sorted(dict.fromkeys(findings), key=_line)


def _consistency(plan: Plan, source: Catalog) -> Iterator[Finding]:
    used = _used_tables(plan)
    if source.are_of_one_instant(used):
        return
    what = f"{source.identity} has no snapshot: its tables are read one after the other"
    told = "every file is hashed before and after, and a change stops the run"
    if source.one_instant:
        loose = ", ".join(f"'{name}' ({why})" for name, why in source.loose_tables.items() if name in used)
        what = f"the snapshot of {source.identity} does not cover tables of some engines: {loose}"
        told = "a change of these tables while they are read stops the run; or give them an engine with snapshots"
    if plan.consistency is None:
        message = f"{what}, and the plan does not say that this will do"
        yield at(plan, ("source",), "no_snapshot", message, f"write 'consistency: none'; {told}")
    else:
        message = (
            f"{what}; what changes between two of them is not seen, what changes while they are read stops the run"
        )
        yield at(plan, ("consistency",), "no_snapshot", message, "", "note")


def _used_tables(plan: Plan) -> set[str]:
    used = {mapping.from_ for mapping in plan.tables.values()}
    return used | {name for mapping in plan.tables.values() for name in mapping.feeding()}


def _line(finding: Finding) -> tuple[str, int, int]:
    place = finding.position
    return (place.file, place.line, place.column) if place else ("", 0, 0)


def _unused_tables(plan: Plan, source: Catalog) -> Iterator[Finding]:
    used = _used_tables(plan)
    for name, table in source.tables.items():
        if name not in used and name not in plan.ignored_tables:
            rows = "" if table.row_count is None else f" ({table.row_count:,} rows)"
            message = f"the source table '{name}'{rows} goes nowhere: no mapping reads or joins it"
            cure = f"map it, or write '{name}' under ignored_tables"
            yield at(plan, ("ignored_tables",) if plan.ignored_tables else (), "table_left_out", message, cure)
    for place, name in enumerate(plan.ignored_tables):
        if name not in source.tables:
            message = f"'{name}' is ignored, and the source has no such table"
            cure = hint(name, source.tables, "its tables are")
            yield at(plan, ("ignored_tables", place), "unknown_table", message, cure, "warning")


def _mapping_findings(plan: Plan, mapping: TableMapping, source: Catalog, own: Table) -> Iterator[Finding]:
    names = [column.name for column in own.columns]
    for place, name in enumerate(mapping.drop):
        if name not in names:
            message = f"'{name}' is dropped, and the source's table '{own.name}' has no such column"
            cure = hint(name, names, "its columns are")
            yield at(plan, ("tables", mapping.name, "drop", place), "unknown_column", message, cure)
    siblings = [other for other in plan.tables.values() if other.from_ == mapping.from_]
    used = {name for other in siblings for name in (*used_columns(other), *other.drop)}
    for column in own.columns if mapping is siblings[0] else ():
        if column.name not in used:
            message = f"the source column '{own.name}.{column.name}' goes nowhere: no rule uses it"
            cure = f"write a rule for it under columns, or '{column.name}' under drop"
            yield at_mapping(plan, mapping, "columns", "column_left_out", message, cure)
    types = SourceTypes(mapping, source.tables)
    for name, rule in mapping.columns.items():
        for gather in _gathers(rule):
            yield from _gather_findings(plan, mapping, name, gather, types)
    for place, name in enumerate(mapping.key):
        path = ("tables", mapping.name, "key", place)
        yield from _key_findings(plan, path, types, name)
    yield from _dedupe_findings(plan, mapping, types)
    for alias in mapping.join:
        yield from _join_findings(plan, mapping, alias, types)


def _key_findings(plan: Plan, path: tuple[str | int, ...], types: SourceTypes, name: str) -> Iterator[Finding]:
    try:
        column = types.column(name)
    except RuleProblem as problem:
        yield at(plan, path, "unknown_column", problem.message, problem.cure)
        return
    if column.type is None or column.type.kind not in _KEY_KINDS:
        message = f"the key '{name}' is of the type '{column.type or column.native}'"
        yield at(plan, path, "key_type", message, "keys are made of texts, integers and UUIDs")


def _dedupe_findings(plan: Plan, mapping: TableMapping, types: SourceTypes) -> Iterator[Finding]:
    for name, below in dedupe_columns(mapping).items():
        path = ("tables", mapping.name, "dedupe", *below)
        if below[0] == "by":
            yield from _key_findings(plan, path, types, name)
            continue
        try:
            column = types.column(name)
        except RuleProblem as problem:
            yield at(plan, path, "unknown_column", problem.message, problem.cure)
            continue
        if column.type is None or (below[0] == "first" and not is_convertible(column.type, TEXT)):
            message = f"'{name}' is {column.type or column.native}, which dedupe cannot put in an order"
            yield at(plan, path, "dedupe", message, "name a column of texts, numbers or times")


def _join_findings(plan: Plan, mapping: TableMapping, alias: str, types: SourceTypes) -> Iterator[Finding]:
    join = mapping.join[alias]
    here = ("tables", mapping.name, "join", alias)
    joined = types.tables.get(join.from_)
    if joined is None:
        message = f"the source has no table '{join.from_}'"
        yield at(plan, (*here, "from"), "unknown_table", message, hint(join.from_, types.tables, "its tables are"))
        return
    places: list[tuple[tuple[str, ...], str]] = [(("on", column), column) for column in join.on]
    places += [(("first", column), column) for column in join.first or ()]
    places += [(("latest",), join.latest)] if join.latest else []
    places += [(("pivot", word), getattr(join.pivot, word)) for word in ("name", "value") if join.pivot]
    names = [column.name for column in joined.columns]
    for below, name in places:
        if name not in names:
            message = f"the source's table '{join.from_}' has no column '{name}'"
            yield at(plan, (*here, *below), "unknown_column", message, hint(name, names, "its columns are"))
    key = joined.column(join.pivot.name) if join.pivot else None
    if join.pivot and key is not None and (key.type is None or not is_convertible(key.type, TEXT)):
        message = f"'{join.from_}.{join.pivot.name}' is {key.type or key.native}, and a pivot's keys are texts"
        yield at(plan, (*here, "pivot", "name"), "key_type", message, "name the column that holds the keys")
    for column, own in join.on.items():
        path = (*here, "on", column)
        try:
            given = types.column(own)
        except RuleProblem as problem:
            yield at(plan, path, "unknown_column", problem.message, problem.cure)
            continue
        there = joined.column(column)
        if there is not None and not _joinable(given.type, there.type):
            message = f"'{own}' is {given.type or given.native}, '{alias}.{column}' is {there.type or there.native}"
            yield at(plan, path, "join_type", f"{message}: they are never equal", "join columns of one type")


def _gathers(rule: Rule) -> Iterator[Gather]:
    if isinstance(rule, Gather):
        yield rule
    for argument in rule.arguments():
        if isinstance(argument, Rule):
            yield from _gathers(argument)


def _gather_findings(
    plan: Plan, mapping: TableMapping, name: str, gather: Gather, types: SourceTypes
) -> Iterator[Finding]:
    table = types.tables.get(gather.table)
    if table is None:
        message = f"the source has no table '{gather.table}'"
        yield at_column(
            plan, mapping, name, "unknown_table", message, hint(gather.table, types.tables, "its tables are")
        )
        return
    columns = [column.name for column in table.columns]
    for word, column in [*(("on", column) for column in gather.on), ("name", gather.name), ("value", gather.value)]:
        found = table.column(column)
        if found is None:
            message = f"the source's table '{gather.table}' has no column '{column}' ('{word}' of the gather)"
            yield at_column(plan, mapping, name, "unknown_column", message, hint(column, columns, "its columns are"))
        elif word == "on" and not _joinable(found.type, found.type):
            message = f"'{gather.table}.{column}' is {found.type or found.native}, and rows are found by a key"
            yield at_column(plan, mapping, name, "join_type", message, "keys are made of texts, integers and UUIDs")
        elif word != "on" and (found.type is None or not is_convertible(found.type, TEXT)):
            message = f"'{gather.table}.{column}' is {found.type or found.native}, which has no one exact text"
            cure = "gather a column of texts, integers, decimals or UUIDs; make a table mapping of others"
            yield at_column(plan, mapping, name, "gather_type", message, cure)


def _joinable(one: LogicalType | None, other: LogicalType | None) -> bool:
    """Say whether key texts of two types can be equal: keys are compared as text."""
    return one is not None and other is not None and one.kind in _KEY_KINDS and other.kind in _KEY_KINDS


def _width_findings(plan: Plan, mapping: TableMapping, source: Catalog, made: TargetTable | None) -> Iterator[Finding]:
    """Yield copies into a column that is narrower than the source declares: rows may be rejected."""
    types = SourceTypes(mapping, source.tables)
    for column in made.table.columns if made else ():
        rule = mapping.columns[column.name]
        if not isinstance(rule, Copy) or not isinstance(rule.column, ColumnRef) or column.type is None:
            continue
        table, own = resolve(mapping, rule.column.name)
        given = types.column(rule.column.name)
        if given.type is not None and _is_wider(given.type, column.type):
            message = f"'{table}.{own}' is {given.type}, and '{column.name}' takes {column.type}"
            cure = "make the target column wider; a value that does not fit is a reject"
            # SQLite declares no narrower integer than bigint, so that says little about the values.
            severity = "note" if given.type.kind is Kind.BIGINT else "warning"
            yield at_column(plan, mapping, column.name, "narrower", message, cure, severity)


def _check_findings(plan: Plan, mapping: TableMapping, made: TargetTable | None) -> Iterator[Finding]:
    """Yield the conditions of a standing table: its server holds rows against them only when they are published."""
    if made is None or made.create:
        return
    for condition in made.table.checks:
        message = f"the target's table '{made.table.name}' has {condition}: one row that breaks it stops the whole run"
        cure = "write the condition under 'checks' too; rows that break it are then rejects"
        yield at_mapping(plan, mapping, None, "target_check", message, cure, "note")


def _is_wider(given: LogicalType, wanted: LogicalType) -> bool:
    if given.kind is Kind.TEXT and wanted.kind is Kind.TEXT:
        return wanted.length is not None and given.length is not None and given.length > wanted.length
    if given.kind is Kind.DECIMAL and wanted.kind is Kind.DECIMAL:
        whole, wanted_whole = ((each.precision or 0) - (each.scale or 0) for each in (given, wanted))
        return whole > wanted_whole or (given.scale or 0) > (wanted.scale or 0)
    return given.kind is Kind.BIGINT and wanted.kind is Kind.INT
