"""New proposals put into a plan that people have worked on: lines are added, no line is changed or taken away."""

from collections.abc import Collection, Sequence

from transhume.matching.plan_text import TableDraft
from transhume.plan.document import Document

Path = tuple[str | int, ...]


def refreshed(
    document: Document, drafts: Sequence[TableDraft], known: Collection[tuple[str, str]]
) -> tuple[str, list[str], list[str]]:
    """Return the plan's text with what is new, what was added, and what could not be added, each in words.

    `known` are target tables and columns that an earlier draft proposed: what a person took out stays out.
    Lookups that an added rule asks for are named, not written, where the plan has other lookups already.
    """
    lines = list(document.lines)
    content = document.content if isinstance(document.content, dict) else {}
    tables = content.get("tables")
    tables = tables if isinstance(tables, dict) else {}
    by_target = {str(body.get("into", name)): str(name) for name, body in tables.items() if isinstance(body, dict)}
    inserts: list[tuple[int, list[str]]] = []
    added: list[str] = []
    refused: list[str] = []
    for draft in drafts:
        mapping = by_target.get(draft.name)
        if mapping is None:
            if (draft.name, "") in known:
                continue
            end = _end(document, ("tables",))
            if end is None:
                refused.append(f"the mapping '{draft.name}': 'tables:' is written in one line")
                continue
            inserts.append((end, ["", *draft.lines()]))
            added.append(f"the mapping '{draft.name}'")
        else:
            held = tables[mapping].get("columns", {})
            new = [c for c in draft.columns if c not in held and (draft.name, c) not in known]
            end = _end(document, ("tables", mapping, "columns"))
            if new and (end is None or not held):
                refused.append(f"{', '.join(new)} of '{mapping}': its columns are written in one line")
            elif new and end is not None:
                first = document.key_places["tables", mapping, "columns", str(next(iter(held)))][1]
                inserts.append((end, [" " * first + draft.columns[column] for column in new]))
                added += [f"'{column}' of '{mapping}'" for column in new]
        added += [
            f"needed, not written: the lookup '{name}'"
            for name in draft.lookups
            if added and name not in content.get("lookups", {})
        ]
    # From the end, so that places stay true; of two at one place the later goes in first and stands below.
    order = sorted(range(len(inserts)), key=lambda number: (inserts[number][0], number), reverse=True)
    for place, extra in (inserts[number] for number in order):
        lines[place:place] = extra
    return "\n".join(lines), added, list(dict.fromkeys(refused))


def proposed(drafts: Sequence[TableDraft]) -> list[tuple[str, str]]:
    """Return what a draft proposes: each target table (with "") and each of its columns."""
    return [(draft.name, column) for draft in drafts for column in ("", *draft.columns)]


def _end(document: Document, path: Path) -> int | None:
    """Return the line before which a further entry of a block goes, None where the block is written in one line."""
    start, first = document.key_places.get(path), document.value_places.get(path)
    if start is None or first is None or first[0] == start[0]:
        return None
    last = start[0]
    for number in range(start[0] + 1, len(document.lines)):
        line = document.lines[number]
        if line.strip() and not line.lstrip().startswith("#") and len(line) - len(line.lstrip()) <= start[1]:
            break
        if line.strip() and not line.lstrip().startswith("#"):
            last = number
    return last + 1
