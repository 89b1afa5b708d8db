"""What the source's rows are like, as they were when the document was made; values that look personal are masked."""

from collections.abc import Iterator

from transhume.facts import TableProfile
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
    rows: list[tuple[Cell, ...]] = [tuple(profile_row(each, show_values=False)) for each in table.columns.values()]
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
