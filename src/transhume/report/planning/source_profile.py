"""What the source is like, as it was when the document was made; what looks personal or is a single row's is masked."""

from collections.abc import Iterator
from dataclasses import replace

from transhume.checks.personal import masked
from transhume.facts import ColumnProfile, TableProfile
from transhume.plan.model import TableMapping
from transhume.report.paper import Block, Cell, Grid, Mark, Paragraph, Section
from transhume.report.planning.known import Known
from transhume.report.profile_rows import HEAD, profile_row
from transhume.words import counted


def source_profile(known: Known) -> Section:
    """Return the profile, a section a table; one sentence where nobody has looked."""
    profile = known.profile
    if profile is None:
        return Section("Source profile", (Paragraph("The data were not looked at: see the findings first."),))
    personal = tuple(
        (f"{table.table}.{column.name}", column.likely, ", ".join(_becomes(known, table.table, column.name)) or "")
        for table in profile.tables.values()
        for column in table.columns.values()
        if column.likely
    )
    blocks: list[Block] = [
        Paragraph(
            f"Every row of {counted(len(profile.tables), 'table')} as of {profile.instant}, unless a table says."
        ),
        Grid("Likely personal data and secrets", ("column", "looks like", "becomes"), personal, frozenset({0, 2})),
    ]
    return Section("Source profile", tuple(blocks), tuple(_table(each) for each in profile.tables.values()))


def _shareable(column: ColumnProfile) -> ColumnProfile:
    """Return the column without words that stand in one row only: a document goes further than a row should.

    Texts without a letter, such as dates and numbers, stay: they are what bounds are looked up for.
    """
    if column.length_max is None:
        return column
    several = tuple((value, count) for value, count in column.top if count > 1 or not _has_letter(value))
    known = {value for value, _ in several}

    def end(value: str | None) -> str | None:
        return value if value is None or value in known or not _has_letter(value) else masked(value)

    return replace(column, top=several, minimum=end(column.minimum), maximum=end(column.maximum))


def _has_letter(value: str) -> bool:
    return any(map(str.isalpha, value))


def _becomes(known: Known, table: str, column: str) -> Iterator[str]:
    for mapping in known.mappings():
        if mapping.from_ == table:
            yield from (f"{mapping.target_table}.{name}" for name in _uses(mapping, column))


def _uses(mapping: TableMapping, column: str) -> Iterator[str]:
    yield from (name for name, rule in mapping.columns.items() if column in rule.columns())


def _table(table: TableProfile) -> Section:
    if table.unread:
        return Section(table.table, (Paragraph(table.unread, "Not read:"),))
    said = f"{counted(table.row_count, 'row')}"
    if table.sampled:
        said += f", {table.rows_read:,} of them looked at, evenly spread: counts are of these"
    keys = "; ".join(", ".join(key) for key in table.keys) or "none by its values"
    said = f"{said}. Keys: {keys}."
    if table.duplicates:
        said += f" {counted(table.duplicates, 'row')} repeat the declared key {', '.join(table.key)}."
    rows: list[tuple[Cell, ...]] = [
        tuple(profile_row(_shareable(each), show_values=False)) for each in table.columns.values()
    ]
    references: list[tuple[Cell, ...]] = []
    for each in table.references:
        orphans: Cell = Mark(f"{each.orphans:,}", "doubt") if each.orphans else 0
        kind = "declared" if each.declared else "by names and values"
        to = f"{each.table}.{', '.join(each.key_columns)}"
        references.append((", ".join(each.columns), to, kind, each.rows, orphans))
    blocks: list[Block] = [
        Paragraph(said),
        Grid("Columns", HEAD, tuple(rows), frozenset({0}), sheet=f"profile {table.table}"),
    ]
    if references:
        head = ("column", "refers to", "how that is known", "rows with a value", "orphans")
        blocks.append(Grid("References", head, tuple(references), frozenset({0, 1})))
    return Section(table.table, tuple(blocks))
