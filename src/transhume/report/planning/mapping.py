"""Source and target, field by field: the tables, the mapping of each, types, rules with statement and impact."""

from collections.abc import Iterator

from transhume.plan.model import TableMapping
from transhume.plan.open import OPEN
from transhume.report.paper import Bullets, Cell, Grid, Mark, Paragraph, Section
from transhume.report.planning.known import Known
from transhume.report.planning.rule_words import WORDS, statement
from transhume.rules.rule import Rule
from transhume.schema import Kind, LogicalType
from transhume.words import counted

_SYSTEMS = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MySQL or MariaDB", "iceberg": "Apache Iceberg"}
_TYPE_NOTES = {
    Kind.UUID: "UUIDs are kept as UUIDs (RFC 9562), made so that the same row always gets the same one.",
    Kind.TIMESTAMPTZ: "Instants are kept in UTC to the microsecond; nothing is rounded.",
    Kind.TEXT: "Texts are kept code point by code point; one that is longer than its column rejects its row, it is "
    "never cut.",
    Kind.DECIMAL: "Decimals are exact; a value with more digits than the column takes rejects its row.",
    Kind.DOUBLE: "Floating-point numbers are kept bit by bit; NaN and infinities reject their row.",
    Kind.BIGINT: "Whole numbers are checked against the width of their column.",
    Kind.DATE: "Dates are checked against the calendar; 2024-02-30 rejects its row.",
    Kind.BOOLEAN: "Truth values come from stated spellings only.",
    Kind.JSON: "JSON is read by RFC 8259 to the letter; numbers keep the digits that were written.",
    Kind.LIST: "Lists are kept whole and in order.",
}


def source_and_target(known: Known) -> Section:
    """Return the systems and their tables with the number of rows."""
    rows: list[tuple[Cell, ...]] = []
    for mapping in known.mappings():
        count = known.rows.get(mapping.from_)
        target = known.tables.get(mapping.name)
        made = "made by the run" if target is not None and target.create else "is there"
        filtered = f"where {mapping.where}" if mapping.where else ""
        rows.append((mapping.from_, _count(count), mapping.target_table, made, ", ".join(mapping.key), filtered))
    outside = [
        (name, _count(known.rows.get(name, table.row_count)), _role(known, name))
        for name, table in sorted(known.source.tables.items())
        if name not in {mapping.from_ for mapping in known.mappings()}
    ]
    return Section(
        "Source and target",
        (
            Grid(
                "Systems",
                ("", "system", "kind", "address in the plan"),
                (
                    ("Source", known.plan.namespace, _system(known.source.identity), known.plan.source),
                    ("Target", known.target_name, _system(known.target.identity), known.plan.target),
                ),
                frozenset({3}),
            ),
            Grid(
                "Tables",
                ("source table", "rows", "target table", "target table is", "key", "rows that take part"),
                tuple(rows),
                frozenset({0, 2, 4, 5}),
                sheet="tables",
            ),
            Grid("Other source tables", ("source table", "rows", "what becomes of it"), tuple(outside), frozenset({0})),
        ),
    )


def _system(identity: str) -> str:
    kind = identity.partition(":")[0]
    return _SYSTEMS.get(kind, kind)


def _role(known: Known, table: str) -> str:
    if table in known.plan.ignored_tables:
        return "left out on purpose (ignored_tables)"
    feeding = [mapping.name for mapping in known.mappings() if table in mapping.feeding()]
    return f"feeds {', '.join(feeding)}" if feeding else "not spoken of in the plan"


def _count(count: int | None) -> Cell:
    return Mark("not counted", "quiet") if count is None else count


def field_mapping(known: Known) -> Section:
    """Return for each table source field, target field and rule, as the request lays them out, and the types."""
    sections = [_table_mapping(known, mapping) for mapping in known.mappings()]
    return Section(
        "Field mapping",
        (Paragraph("Each target field, the source field that it is made of, and the rule between them."),),
        (*sections, _type_considerations(known)),
    )


def _table_mapping(known: Known, mapping: TableMapping) -> Section:
    target = known.tables.get(mapping.name)
    undecided = known.open_columns(mapping)
    names = list(dict.fromkeys([*mapping.columns, *undecided]))
    drafted = {name: words for name in names if (words := known.drafted(mapping, name))}
    rows: list[tuple[Cell, ...]] = []
    for name in names:
        rule = mapping.columns.get(name)
        columns = dict.fromkeys(rule.columns()) if rule is not None else {}
        sources = [_source_field(known, mapping, column) for column in columns if column != OPEN]
        target_field = f"{name} ({_target_type(known, mapping, name)})"
        said: Cell
        if name in undecided:
            said = Mark(f"not decided: {undecided[name]}", "bad")
        else:
            assert rule is not None
            said = f"{'' if rule.verb == 'copy' else f'{rule.verb}: '}{statement(rule, known.plan)}"
        rows.append(("\n".join(sources) or "(none)", target_field, said))
    rows += [(_source_field(known, mapping, name), "(none)", "left out on purpose") for name in mapping.drop]
    if drafted:
        rows = [(*row, drafted.get(name, "")) for row, name in zip(rows, [*names, *mapping.drop], strict=True)]
    decidable = [known.decidable("rule", "tables", mapping.name, "columns", name) for name in names]
    decidable += [known.decidable("drop", "tables", mapping.name, "drop", name) for name in mapping.drop]
    blocks: list[Paragraph | Bullets | Grid] = [
        Grid(
            "Fields",
            (
                f"source table {mapping.from_}",
                f"target table {mapping.target_table}",
                "rule",
                *(("what the draft found",) if drafted else ()),
            ),
            tuple(rows),
            frozenset({0, 1}),
            sheet=f"{mapping.from_} > {mapping.target_table}",
            decisions=tuple(decidable),
            state=known.state,
        )
    ]
    notes = [*_joins(mapping), *([f"Rows that take part: {mapping.where}."] if mapping.where else [])]
    if target is not None and not target.create:
        notes.append("The target table is there already; its columns and constraints are left as they are.")
    if notes:
        blocks.append(Bullets(tuple(notes)))
    return Section(f"{mapping.from_} to {mapping.target_table}", tuple(blocks))


def _joins(mapping: TableMapping) -> Iterator[str]:
    for alias, join in mapping.join.items():
        on = " and ".join(f"{theirs} = {own}" for theirs, own in join.on.items())
        where = f" where {join.where}" if join.where else ""
        first = "".join(
            f", {column} first in the order {', '.join(order)}" for column, order in (join.first or {}).items()
        )
        latest = f", the latest by {join.latest}" if join.latest else ""
        yield f"'{alias}' is at most one row of '{join.from_}' on {on}{where}{first}{latest}."


def _source_field(known: Known, mapping: TableMapping, name: str) -> str:
    alias, _, column = name.rpartition(".")
    table_name = mapping.join[alias].from_ if alias in mapping.join else mapping.from_
    table = known.source.tables.get(table_name)
    found = table.column(column if alias in mapping.join else name) if table is not None else None
    if table is None or found is None:
        return name
    marks = [found.native or str(found.type)]
    if alias not in mapping.join:
        marks += ["PK"] if name in table.primary_key else []
        marks += ["FK"] if any(name in key.columns for key in table.foreign_keys) else []
    return f"{name} ({', '.join(marks)})"


def _target_type(known: Known, mapping: TableMapping, name: str) -> str:
    target = known.tables.get(mapping.name)
    # Where decisions are open the run's table is not known, but one that stands in the target is.
    table = target.table if target is not None else known.target.tables.get(mapping.target_table)
    column = table.column(name) if table is not None else None
    if table is None or column is None:
        spec = mapping.types.get(name)
        return str(spec.type) if spec else "type open"
    marks = [str(column.type)]
    marks += ["PK"] if name in table.primary_key else []
    referring = any(name in key.columns for key in table.foreign_keys)
    spec = mapping.types.get(name)
    marks += ["FK"] if referring or (spec is not None and spec.references) else []
    marks += [] if column.nullable or "PK" in marks else ["NOT NULL"]
    return ", ".join(marks)


def _type_considerations(known: Known) -> Section:
    pairs: dict[tuple[str, str], list[str]] = {}
    kinds: set[Kind] = set()
    for mapping in known.mappings():
        target = known.tables.get(mapping.name)
        source = known.source.tables.get(mapping.from_)
        for name, rule in mapping.columns.items():
            column = target.table.column(name) if target is not None else None
            if column is None or column.type is None:
                continue
            kinds.add(column.type.kind)
            first = next(iter(rule.columns()), None)
            given = source.column(first) if source is not None and first is not None else None
            if given is not None:
                pair = (given.native or str(given.type), _kind(column.type))
                pairs.setdefault(pair, []).append(f"{mapping.target_table}.{name}")
    rows = tuple((given, wanted, len(fields), _listed(fields)) for (given, wanted), fields in sorted(pairs.items()))
    notes = [text for kind, text in _TYPE_NOTES.items() if kind in kinds]
    notes.append("A NULL for a column that takes none rejects its row, unless a rule gives it a value.")
    if known.source.identity.startswith("sqlite"):
        notes.append(
            "SQLite lets every value have a class of its own: values of another class than their column are found in "
            "the data and reject their row where the rule cannot read them."
        )
    return Section(
        "Key considerations: types",
        (Bullets(tuple(notes)), Grid("Types that meet", ("source type", "target type", "fields", "which"), rows)),
    )


def _kind(wanted: LogicalType) -> str:
    return str(wanted)


def _listed(names: list[str]) -> str:
    most = 6
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def rules(known: Known) -> Section:
    """Return every rule that the plan uses, by kind: its statement for each field, rows that it rejects, its impact."""
    used: dict[str, list[tuple[TableMapping, str, Rule]]] = {}
    undecided: list[tuple[Cell, ...]] = []
    for mapping in known.mappings():
        left_open = known.open_columns(mapping)
        undecided += [(f"{mapping.target_table}.{name}", written) for name, written in left_open.items()]
        for name, rule in mapping.columns.items():
            if name in left_open:
                continue
            used.setdefault(rule.verb, []).append((mapping, name, rule))
    sections = []
    for verb in [name for name in WORDS if name in used and name != "copy"] + ["copy"] * ("copy" in used):
        words = WORDS[verb]
        rows = tuple(
            (f"{mapping.target_table}.{name}", statement(rule, known.plan), _rejected(known, mapping, name))
            for mapping, name, rule in used[verb]
        )
        head = ("target field", "rule", "rows rejected now")
        grid = Grid(f"{counted(len(rows), 'field')} by the rule '{verb}'", head, rows, frozenset({0}))
        sections.append(Section(words.title, (Paragraph(words.impact, "Impact:"), grid)))
    if undecided:
        said = Paragraph("These rules have no statement yet: what stands as TBD is to be decided first.")
        left = Grid("Rules with an open decision", ("target field", "in the plan"), tuple(undecided), frozenset({0, 1}))
        sections.insert(0, Section("Not decided yet", (said, left)))
    read = "counted on the data as they are" if known.tallies else "not counted: the data were not looked at"
    if known.undecided:
        read = "not counted: that needs every decision"
    return Section(
        "Transformation rules",
        (
            Paragraph(
                f"Only these rules change data. Rows that are rejected are {read}; a rejected row is kept whole with "
                "its reasons, and a row with several reasons counts for each."
            ),
        ),
        tuple(sections),
    )


def _rejected(known: Known, mapping: TableMapping, column: str) -> Cell:
    if not known.tallies:
        return Mark("not counted", "quiet")
    return known.rows_of(mapping.name, column=column)
