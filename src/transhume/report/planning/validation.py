"""Validation before and after: what is looked at, how, what is expected, how grave it is. Nothing is run here."""

from collections.abc import Iterator, Mapping

from transhume.plan.model import NamesLookup, TableCheck, TableMapping
from transhume.plan.open import OPEN
from transhume.report.paper import Cell, Grid, Mark, Paragraph, Section
from transhume.report.planning import statements
from transhume.report.planning.known import Known
from transhume.rules.boolean import Boolean
from transhume.rules.codes import Codes
from transhume.rules.copy import Copy
from transhume.rules.names import Names
from transhume.rules.parse import Parse
from transhume.rules.path import Path
from transhume.rules.ref import Ref
from transhume.rules.rule import ColumnRef
from transhume.rules.scale import Scale
from transhume.rules.utc import Utc
from transhume.words import counted

_COMPLETENESS = frozenset({"null", "null_key"})
_UNIQUENESS = frozenset({"duplicate_key"})
_REFERENCES = frozenset({"orphan", "parent_rejected", "parent_filtered"})
_NO_STATEMENT = "transhume validate --before"
_HEAD = ("check", "table", "what is run", "expected", "severity", "found now")
_REJECTS = "warning: rows are rejected; error above the plan's limit"

_GIVING_NULL = (Copy, Codes, Names, Utc, Parse, Boolean, Scale, Path, Ref)
"""Rules that give NULL for NULL."""

_Row = tuple[Cell, ...]


def validation(known: Known) -> Section:
    """Return the checks before and after."""
    before = [row for mapping in known.mappings() for row in _before(known, mapping)]
    return Section(
        "Validation",
        (
            Paragraph(
                "A check gives wrong rows; none is a pass. The statements can be run by hand; 'transhume validate "
                "--before' and 'transhume validate' look at the same and at every value besides (docs/checks.md)."
            ),
        ),
        (
            Section(
                "Before the migration: source data",
                (
                    Paragraph(
                        "Completeness, uniqueness, consistency, referential integrity and volume of every table. "
                        "Beyond these 'transhume validate --before' predicts every reject: widths, ranges, impossible "
                        "and zero dates, hours that clocks skipped or repeated, values of another storage class, keys "
                        "that differ only in case; it names columns that look like personal data or secrets."
                    ),
                    Grid("Checks before", _HEAD, tuple(before), frozenset({1, 2}), sheet="checks before"),
                ),
            ),
            Section("After the migration: target data", (_after(known),)),
        ),
    )


def _before(known: Known, mapping: TableMapping) -> Iterator[_Row]:
    table = mapping.from_
    volume = known.rows.get(table)
    yield ("Volume", table, statements.row_count(table), "recorded", "note", _or_unknown(volume))
    key = () if OPEN in mapping.key and known.undecided else mapping.key
    mandatory = list(dict.fromkeys([*key, *_mandatory(known, mapping)]))
    if mandatory:
        found = _found(known, mapping, _COMPLETENESS)
        yield ("Completeness", table, statements.nulls(table, mandatory), "0", _REJECTS, found)
    if key:
        found = _found(known, mapping, _UNIQUENESS)
        yield ("Uniqueness", table, statements.repeated(table, key), "no row", _REJECTS, found)
    elif mapping.key:
        yield (
            "Uniqueness",
            table,
            "the key is not decided yet",
            "no row",
            _REJECTS,
            _found(known, mapping, frozenset()),
        )
    for name, rule in mapping.columns.items():
        if isinstance(rule, Codes | Names) and isinstance(rule.column, ColumnRef) and "." not in rule.column.name:
            rows = known.rows_of(mapping.name, frozenset({"unmapped"}), name)
            what = statements.spellings(table, rule.column.name)
            yield ("Consistency", table, what, _domain_words(rule), _REJECTS, _count(known, rows))
    others = frozenset(
        finding.code for finding in known.findings if finding.table == mapping.name and finding.count
    ) - {*_COMPLETENESS, *_UNIQUENESS, *_REFERENCES, "unmapped", "check"}
    yield (
        "Formats and ranges",
        table,
        _NO_STATEMENT,
        "every value fits its rule and its target column",
        _REJECTS,
        _found(known, mapping, others),
    )
    for name, rule in mapping.columns.items():
        if isinstance(rule, Ref):
            parent = known.plan.tables.get(rule.table)
            parts = [part.name for part in rule.key if isinstance(part, ColumnRef)]
            if parent is None or len(parts) != len(parent.key) or any("." in p or p == OPEN for p in parts):
                continue
            what = statements.dangling(table, parent.from_, dict(zip(parts, parent.key, strict=True)))
            rows = known.rows_of(mapping.name, _REFERENCES, name)
            yield ("Referential integrity", table, what, "0", _REJECTS, _count(known, rows))


def _mandatory(known: Known, mapping: TableMapping) -> Iterator[str]:
    """Yield own source columns that stand alone behind a target column which takes no NULL."""
    target = known.tables.get(mapping.name)
    for name, rule in mapping.columns.items():
        column = target.table.column(name) if target is not None else None
        source = next(rule.arguments(), None) if isinstance(rule, _GIVING_NULL) else None
        is_mandatory = column is not None and not column.nullable
        if is_mandatory and isinstance(source, ColumnRef) and "." not in source.name and source.name != OPEN:
            yield source.name


def _domain_words(rule: Codes | Names) -> str:
    if isinstance(rule, Codes):
        return f"only {', '.join(rule.to)}"
    return f"only spellings of the list '{rule.name}'"


def _after(known: Known) -> Grid:
    rows: list[_Row] = []
    for mapping in known.mappings():
        rows += _after_table(known, mapping)
    for check in known.plan.performance:
        if check.query is not None:
            rows.append(("7 Performance", "", f"{check.query}", f"within {check.limit_ms:,} ms", "warning"))
    return Grid(
        "Checks after",
        ("check", "table", "what is run", "expected", "severity"),
        tuple(rows),
        frozenset({1, 2}),
        sheet="checks after",
    )


def _after_table(known: Known, mapping: TableMapping) -> Iterator[_Row]:
    target = mapping.target_table
    yield (
        "1 Record counts",
        target,
        f"{statements.row_count(mapping.from_)}\n{statements.row_count(target)}",
        _counts_expected(known, mapping),
        "error",
    )
    key = _target_key(known, mapping)
    if key:
        yield ("2 Key uniqueness", target, statements.repeated(target, key), "no row", "error")
    yield (
        "3 Data types",
        target,
        "transhume validate (the declared types against the plan)",
        _types_expected(known, mapping),
        "error",
    )
    for name, rule in mapping.columns.items():
        parent = known.plan.tables.get(rule.table) if isinstance(rule, Ref) else None
        parent_key = _target_key(known, parent) if parent is not None else ()
        if parent is not None and len(parent_key) == 1:
            what = statements.dangling(target, parent.target_table, {name: parent_key[0]})
            yield ("4 References", target, what, "0: every reference resolves", "error")
    yield (
        "5 Data comparison",
        target,
        "transhume validate (--sample 10 --seed N, or --all)",
        (
            "every value of the run's rows is what was staged, bit by bit; of a sample, at least one row for every way "
            "that a row can go, a second implementation computes the same from the source"
        ),
        "error",
    )
    yield from _business(known, mapping)
    yield from _performance(known, mapping, key)


def _performance(known: Known, mapping: TableMapping, key: tuple[str, ...]) -> Iterator[_Row]:
    target = mapping.target_table
    timed = [check for check in known.plan.performance if check.table == mapping.name]
    for check in timed:
        what = f"transhume validate (times '{check.name}': by {check.by})"
        yield ("7 Performance", target, what, f"within {check.limit_ms:,} ms", "warning")
    if key and not timed:
        what = f"{statements.by_key(target, key[0])}\n(by hand; 'performance:' in the plan lets transhume time it)"
        yield ("7 Performance", target, what, "within the time agreed with its readers", "warning")


def _business(known: Known, mapping: TableMapping) -> Iterator[_Row]:
    target = mapping.target_table
    for check in mapping.row_checks:
        done = {"reject": "error: no such row is loaded", "stop": "error: the run stops", "warn": "warning"}[check.then]
        what = statements.breaking(target, check.sql) or check.sql
        yield ("6 Business rules", target, what, f"0 ({check.name}: {check.sql})", done)
    for whole in mapping.table_checks:
        done = {"stop": "error: the run stops", "warn": "warning"}[whole.then]
        yield ("6 Business rules", target, _table_check(whole), f"{_held(whole)} ({whole.name})", done)
    for name, rule in mapping.columns.items():
        allowed = _labels(known, rule) if isinstance(rule, Codes | Names) else {}
        if allowed:
            what = statements.outside(target, name, allowed)
            yield ("6 Business rules", target, what, f"0 ({name} is one of the canonical values)", "error")


def _table_check(check: TableCheck) -> str:
    if check.query is not None:
        return "\n".join(f"{side}: {check.query.of(side)}" for side in check.sides)
    texts = []
    for side in check.sides:
        where = check.where.of(side)
        texts.append(f"{side}: {check.compare}({check.expression(side) or 'rows'}{f' where {where}' if where else ''})")
    return "\n".join([*texts, "of the rows that the target holds" if check.rows == "kept" else "of all rows"])


def _held(check: TableCheck) -> str:
    limits = [f"{word} {limit}" for word, limit in (("at least", check.least), ("at most", check.most)) if limit]
    if limits:
        return " and ".join(limits)
    if len(check.sides) == 1:
        return "no row"
    return "both sides equal" + (f", {check.tolerance} more or less" if check.tolerance else "")


def _labels(known: Known, rule: Codes | Names) -> Mapping[str, object]:
    if rule.otherwise.action not in {"reject", "null"}:
        return {}
    if isinstance(rule, Codes):
        return {label_text: None for label_text in rule.to.values() if label_text is not None}
    lookup = known.plan.lookups.get(rule.name)
    return dict(lookup.names) if isinstance(lookup, NamesLookup) else {}


def _target_key(known: Known, mapping: TableMapping) -> tuple[str, ...]:
    target = known.tables.get(mapping.name)
    return target.key if target is not None else ()


def _counts_expected(known: Known, mapping: TableMapping) -> str:
    tally = known.tallies.get(mapping.name)
    if tally is None:
        return "rows read = rows loaded + rejected + filtered, row by row"
    said = f"{tally.read:,} read = {known.good(mapping.name):,} good + {tally.rejected:,} rejected"
    twice = f" + {tally.deduplicated:,} deduplicated" if tally.deduplicated else ""
    return f"{said} + {tally.filtered:,} filtered{twice}"


def _types_expected(known: Known, mapping: TableMapping) -> str:
    target = known.tables.get(mapping.name)
    if target is None:
        return "as the plan says"
    shown = [f"{column.name} is {column.type}" for column in target.table.columns]
    most = 5
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more, as mapped" if len(shown) > most else "")


def _found(known: Known, mapping: TableMapping, codes: frozenset[str]) -> Cell:
    return _count(known, known.rows_of(mapping.name, codes))


def _count(known: Known, rows: int) -> Cell:
    if not known.tallies:
        return Mark("not looked at", "quiet")
    return Mark(counted(rows, "row"), "doubt") if rows else Mark("none", "good")


def _or_unknown(count: int | None) -> Cell:
    return Mark("not looked at", "quiet") if count is None else counted(count, "row")
