"""A matching as the text of a plan, each proposal with its score, its reasons and what else it could be.

Open decisions are the bare word TBD, which `check` lists. What is only a comment decides nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from transhume.facts import Catalog, Profile, TableProfile
from transhume.matching.proposals import Matching, Pairing
from transhume.matching.rules import Context, Proposal, propose, unfilled
from transhume.matching.scores import Candidate
from transhume.matching.views import View
from transhume.matching.writing import bare, comment, key, text
from transhume.plan.open import OPEN

_ORIGIN = frozenset({"original", "legacy", "source", "old", "external"})
_IDENTIFIER = frozenset({"id", "key", "identifier", "uuid"})


@dataclass(slots=True)
class TableDraft:
    """One mapping as text: its lines, the lines of its columns by target column, the lookups that it asks for."""

    name: str
    head: list[str]
    columns: dict[str, str]
    tail: list[str]
    lookups: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the mapping's lines, indented as under `tables:`."""
        return [*self.head, "    columns:", *(f"      {line}" for line in self.columns.values()), *self.tail]


def table_drafts(matching: Matching, source: Profile | None) -> list[TableDraft]:
    """Return every proposed mapping: tables that others refer to first, else in the order of the target's tables."""
    keys = {p.target.name: _key(p, source.tables.get(p.source.name) if source else None) for p in matching.pairings}
    mappings = {p.source.name: p.target.name for p in matching.pairings}
    uuids = {p.target.name for p in matching.pairings if _makes_uuid(p, keys[p.target.name])}
    context = Context(mappings, keys, frozenset(uuids))
    return [_table(pairing, context) for pairing in _parents_first(matching.pairings)]


def created_drafts(source: Catalog, profile: Profile | None, names: Sequence[str]) -> list[TableDraft]:
    """Return mappings that copy source tables into new ones of the same names and types: the target has none."""
    found = []
    for name in names:
        table = source.tables[name]
        seen = profile.tables.get(name) if profile else None
        key_columns = table.primary_key or (seen.keys[0] if seen and seen.keys else ())
        columns = {}
        types = ["    types:"]
        for column in table.columns:
            word = bare(column.name)
            if column.type is None or word is None:
                why = comment(f"{column.native}: not carried as it is")
                columns[column.name] = f"{key(column.name)}: {OPEN}   # {why}"
                continue
            columns[column.name] = f"{key(column.name)}: {word}"
            notes = " primary key" if key_columns == (column.name,) else "" if column.nullable else " not null"
            types.append(f"      {key(column.name)}: {column.type}{notes}")
        head = [f"  {key(name)}:", f"    from: {text(name)}", f"    key: {_listed(key_columns)}", "    create: true"]
        head += types
        found.append(TableDraft(name, head, columns, []))
    return found


def plan_text(
    matching: Matching,
    drafts: Sequence[TableDraft],
    *,
    name: str,
    source: str = "${SOURCE_URL}",
    target: str = "${TARGET_URL}",
    schema_file: str = "",
    one_instant: bool = True,
) -> str:
    """Return a whole plan. `source` and `target` stand as given: references to variables, never URLs with secrets."""
    lookups: dict[str, tuple[str, ...]] = {}
    for draft in drafts:
        lookups |= draft.lookups
    utc = any("{utc: " in line for draft in drafts for line in draft.columns.values())
    lines = [f"# yaml-language-server: $schema={schema_file}"] if schema_file else []
    lines += [
        "# Drafted by transhume: numbers behind '#' are scores from 0 to 1. Every line is a proposal.",
        f"# {OPEN} is a decision that no machine can make; 'transhume check' lists each with its place and cure.",
        "transhume: 1",
        f"name: {text(name)}",
        f"namespace: {text(name)}   # part of every generated key: never change it after a run",
        f"source: {source}",
        f"target: {target}",
        *([] if one_instant else ["consistency: none   # the source has no snapshot"]),
        "defaults:",
        *([f"  time_zone: {OPEN}   # the zone of the source's local times, such as Europe/Berlin"] if utc else []),
        "  max_rejects: 0",
        *_lookup_lines(lookups),
        "",
        "tables:",
    ]
    for draft in drafts:
        lines += [*draft.lines(), ""]
    if not drafts:
        lines += [f"  {OPEN}: {OPEN}", ""]
    if matching.ignored:
        lines.append("ignored_tables:")
        lines += [f"  - {key(each)}   # {comment(f'books of {tool}')}" for each, tool in matching.ignored.items()]
    lines += _lonely(matching)
    return "\n".join(lines).rstrip() + "\n"


def _lookup_lines(lookups: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    if lookups:
        yield "lookups:"
    for name, lines in lookups.items():
        if lines == (OPEN,):
            yield f"  {name}: {OPEN}   # {{file: lookups/{name}.csv, key: COLUMN, value: COLUMN}}"
        else:
            yield f"  {name}:"
            yield from (f"    {line}" for line in lines)


def _lonely(matching: Matching) -> Iterator[str]:
    if matching.lonely_sources:
        yield f"# no target table fits: {comment(', '.join(matching.lonely_sources))}"
        yield "# map them, or write them under ignored_tables"
    if matching.lonely_targets:
        yield f"# no source table fits: {comment(', '.join(matching.lonely_targets))}"


def _table(pairing: Pairing, context: Context) -> TableDraft:
    name = pairing.target.name
    own_key = context.keys[name]
    head = [
        f"  {key(name)}:   # {pairing.score:.2f} of 1",
        f"    from: {text(pairing.source.name)}",
        f"    key: {_listed(own_key)}",
    ]
    draft = TableDraft(name, head, {}, [])
    used = set(own_key)
    empty = []
    for column, candidate in pairing.fields.items():
        view = pairing.target_views[column]
        proposal, chosen = _field(pairing, view, candidate, own_key, context)
        if proposal is None:
            empty.append(column)
            continue
        if chosen is not None:
            used.add(chosen)
        if proposal.lookup is not None:
            draft.lookups[proposal.lookup[0]] = proposal.lookup[1]
        behind = comment(_behind(proposal, candidate if chosen else None, pairing.alternatives.get(column, ())))
        draft.columns[column] = f"{key(column)}: {proposal.rule}   # {behind}"
    unused = [column.name for column in pairing.source.columns if column.name not in used]
    if empty:
        draft.tail.append(f"    # stay empty: {comment(', '.join(empty))}")
    if unused:
        draft.tail.append(
            f"    # drop: [{comment(', '.join(unused))}]   # nothing takes them yet: map them, or uncomment this"
        )
    return draft


def _field(
    pairing: Pairing, view: View, candidate: Candidate | None, own_key: tuple[str, ...], context: Context
) -> tuple[Proposal | None, str | None]:
    """Return the rule for a target column, and the source column that it takes."""
    if view.column.refused:
        return None, None
    single = pairing.views[own_key[0]] if len(own_key) == 1 and own_key[0] in pairing.views else None
    if single is not None and _is_origin(view) and view.family == single.family and bare(single.name) is not None:
        return Proposal(str(bare(single.name)), "the key as the source had it"), single.name
    if candidate is None:
        return unfilled(view), None
    return propose(candidate.source, view, context), candidate.source.name


def _behind(proposal: Proposal, candidate: Candidate | None, others: Sequence[Candidate]) -> str:
    """Return the comment: score, reasons, two alternatives."""
    parts = [f"{candidate.score:.2f} {_reasons(candidate)}; {proposal.why}" if candidate else proposal.why]
    if others:
        parts.append("or " + ", ".join(f"{other.source.name} {other.score:.2f}" for other in others))
    return "; ".join(parts)


def _reasons(candidate: Candidate) -> str:
    found = []
    if candidate.source.words == candidate.target.words:
        found.append("same words")
    elif candidate.name:
        found.append(f"names {candidate.name:.2f}")
    if candidate.source.is_key and candidate.target.is_key:
        found.append("both are keys")
    elif candidate.source.refers_to and candidate.target.refers_to:
        found.append(f"both refer: {candidate.source.refers_to}, {candidate.target.refers_to}")
    if candidate.value_reason:
        found.append(candidate.value_reason)
    return ", ".join(found) or "by what is left"


def _parents_first(pairings: Sequence[Pairing]) -> list[Pairing]:
    """Return the pairings so that a table follows those that its foreign keys name; in a cycle as they were."""
    waiting = list(pairings)
    found: list[Pairing] = []
    while waiting:
        names = {pairing.target.name for pairing in waiting}
        free = [p for p in waiting if not (_parents(p) & names) - {p.target.name}] or waiting[:1]
        found += free
        waiting = [pairing for pairing in waiting if pairing not in free]
    return found


def _parents(pairing: Pairing) -> set[str]:
    return {key.table for key in pairing.target.foreign_keys}


def _key(pairing: Pairing, seen: TableProfile | None) -> tuple[str, ...]:
    """Return the source columns that identify a row: those that fill the target's key, else declared, else unique."""
    target_key = pairing.target.primary_key
    fills = [pairing.fields.get(column) for column in target_key]
    filled = tuple(candidate.source.name for candidate in fills if candidate is not None)
    declared = pairing.source.primary_key
    known = seen.keys if seen is not None else ()
    if filled and len(filled) == len(target_key) and (not declared or set(filled) == set(declared) or filled in known):
        return declared if set(filled) == set(declared) else filled
    if declared:
        return declared
    return known[0] if known else filled


def _makes_uuid(pairing: Pairing, own_key: tuple[str, ...]) -> bool:
    """Say whether the mapping fills a UUID column from its key."""
    return any(
        candidate is not None
        and (candidate.source.name,) == own_key
        and pairing.target_views[column].family == "uuid"
        and candidate.source.family != "uuid"
        for column, candidate in pairing.fields.items()
    )


def _is_origin(view: View) -> bool:
    return bool(_ORIGIN & set(view.words)) and bool(_IDENTIFIER & set(view.words)) and not view.is_key


def _listed(names: Sequence[str]) -> str:
    if not names:
        return OPEN
    return text(names[0]) if len(names) == 1 else f"[{', '.join(map(text, names))}]"


__all__ = ["TableDraft", "created_drafts", "plan_text", "table_drafts"]
