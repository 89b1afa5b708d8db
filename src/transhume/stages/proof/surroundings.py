"""What the oracle must know of other rows than the one at hand: joined rows, repeated keys, the fates of parents.

Found by plain loops over the extract and over the run's fates, for the rows of one batch at a time, so that memory
does not grow with the tables.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from transhume.expressions import parse
from transhume.oracle import Key, Oracle, Relatives, Rows
from transhume.plan.model import Join, TableMapping
from transhume.rules.rule import Argument, ColumnRef, Rule
from transhume.schema import FATE, ROW
from transhume.stages.proof.evidence import Evidence, Row, Texts, read_among
from transhume.stages.proof.lookups import prepare_lookups

_FATES_MAX = 100_000
"""Fates of one mapping's rows in memory; where more are known, all are forgotten and those at hand looked up again."""
_LUCK = ("loaded", "rejected", "filtered", "deduplicated")
"""Of several rows with one key the luckiest speaks for it."""


def with_surroundings(evidence: Evidence, rows: Rows, fates: "ParentFates") -> Rows:
    """Return the rows beside those that they join, with everything at hand that their rules ask of other rows."""
    found = joined_rows(evidence, rows)
    fates.prepare(found)
    prepare_lookups(found)
    rows.oracle.children = gathered_rows(evidence, found).children
    return found


def joined_rows(evidence: Evidence, rows: Rows) -> Rows:
    """Return the rows beside what every alias stands for: the chosen row, a pivot's values, None, or AMBIGUOUS."""
    mapping = rows.oracle.mapping
    near: dict[str, list[Row]] = defaultdict(list)
    seen: dict[str, set[int]] = defaultdict(set)
    asked: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    found = rows
    for place, join in enumerate(mapping.join.values()):
        if any("." in name for name in join.on.values()):
            # The key is a column of an earlier alias, which has to be known first.
            found = _joined(evidence, _with_joins(mapping, place), near, rows)
        elif (join.from_, tuple(join.on.items())) in asked:
            continue
        asked.add((join.from_, tuple(join.on.items())))
        wanted = {key for key in found.keys([ColumnRef(name) for name in join.on.values()]) if key is not None}
        if not wanted:
            continue
        texts = {column: {key[part] for key in wanted} for part, column in enumerate(join.on)}
        for row in evidence.matching(join.from_, _columns_of(mapping, join), texts):
            if row[ROW] not in seen[join.from_]:
                seen[join.from_].add(row[ROW])
                near[join.from_].append(row)
    return _joined(evidence, mapping, near, rows) if mapping.join else rows


def _joined(evidence: Evidence, mapping: TableMapping, near: Mapping[str, Sequence[Row]], rows: Rows) -> Rows:
    """Ask for the joined rows among those that are near: the only ones with a key of these rows."""
    sources = {join.from_: near.get(join.from_, []) for join in mapping.join.values()}
    relatives = Relatives(evidence.plan, evidence.sources, sources)
    return rows.beside(relatives.joined_all(mapping, rows))


def _with_joins(mapping: TableMapping, count: int) -> TableMapping:
    return mapping.model_copy(update={"join": dict(list(mapping.join.items())[:count])})


def _columns_of(mapping: TableMapping, join: Join) -> set[str]:
    """Return the columns of a joined table that its aliases need; all aliases of a table get the same ones."""
    columns: set[str] = set()
    for name, each in mapping.join.items():
        if each.from_ == join.from_:
            prefix = f"{name}."
            columns |= {read.removeprefix(prefix) for read in _columns_read(mapping) if read.startswith(prefix)}
            columns |= {*each.on, *(each.first or {}), *([each.latest] if each.latest else [])}
            columns |= set(_condition_columns(each.where))
            columns |= {each.pivot.name, each.pivot.value} if each.pivot else set()
    return columns


def gathered_rows(evidence: Evidence, rows: Rows) -> Relatives:
    """Return the children that these rows may gather, to be asked by `Relatives.children`."""
    near: dict[str, dict[int, Row]] = defaultdict(dict)
    for rule in rows.oracle.mapping.rules():
        if rule.verb != "gather":
            continue
        table, on = str(getattr(rule, "table", "")), dict(getattr(rule, "on", {}))
        wanted = {key for key in rows.keys(tuple(on.values())) if key is not None}
        if wanted:
            texts = {column: {key[part] for key in wanted} for part, column in enumerate(on)}
            columns = {column.name for column in evidence.sources[table].columns}
            near[table].update((row[ROW], row) for row in evidence.matching(table, columns, texts))
    sources = {name: list(near[name].values()) for name in evidence.sources}
    return Relatives(evidence.plan, evidence.sources, sources)


def deduplicated(evidence: Evidence, mapping: TableMapping) -> list[str]:
    """Return for each row of a mapping's source table `lost`, `tied` or "", as the oracle takes it.

    Which of several rows wins hangs on all of them: the table, and those that it joins, are in memory here.
    """
    names = [mapping.from_, *(join.from_ for join in mapping.join.values())]
    rows = {name: [row for each in evidence.segments[name] for row in evidence.rows(each)] for name in names}
    return Relatives(evidence.plan, evidence.sources, rows).deduplicated(mapping)


def duplicate_keys(evidence: Evidence, oracle: Oracle, suspects: Mapping[str, Iterable[str]]) -> frozenset[Key]:
    """Return the keys that more than one row of the mapping has, rows that `where` leaves out not counted.

    `suspects` holds for each key column the texts that may be repeated.
    """
    mapping = oracle.mapping
    arguments = [ColumnRef(name) for name in mapping.key]
    columns = {name for name in _columns_read(mapping) if "." not in name or name in evidence.sources}
    columns |= {column.name for column in evidence.sources[mapping.from_].columns}
    rows = list(evidence.matching(mapping.from_, columns, {name: set(texts) for name, texts in suspects.items()}))
    counts: Counter[Key] = Counter()
    said = deduplicated(evidence, mapping) if mapping.dedupe is not None else None
    found = joined_rows(evidence, Rows(oracle, rows))
    for row, key, is_filtered in zip(rows, found.keys(arguments), oracle.is_filtered(found), strict=True):
        is_left_out = is_filtered or (said is not None and said[row[ROW]] == "lost")
        if key is not None and not is_left_out:
            counts[key] += 1
    return frozenset(key for key, count in counts.items() if count > 1)


class ParentFates:
    """The fates that the run gave to the rows that others refer to: those that were asked for last, many at most."""

    def __init__(self, evidence: Evidence) -> None:
        """Begin with none."""
        self._evidence = evidence
        self._known: dict[str, dict[Key, str | None]] = defaultdict(dict)

    def __call__(self, mapping: str, key: Key) -> str | None:
        """Return the fate of the row of a mapping that has this key, None if there is none."""
        return self._known[mapping].get(key)

    def prepare(self, rows: Rows) -> None:
        """Look up every row that these rows refer to and that is not known; the others are forgotten if too many."""
        wanted: dict[str, set[Key]] = defaultdict(set)
        for rule in rows.oracle.mapping.columns.values():
            for parent, arguments in references_in(rule):
                wanted[parent].update(key for key in rows.keys(arguments) if key is not None)
        for parent, keys in wanted.items():
            if len(self._known[parent]) > _FATES_MAX:
                self._known[parent] = {}
            self._look_up(parent, keys - self._known[parent].keys())

    def _look_up(self, parent: str, keys: set[Key]) -> None:
        if not keys:
            return
        known = self._known[parent]
        known.update(dict.fromkeys(keys))
        columns = [f"_k{place}" for place in range(len(next(iter(keys))))]
        texts = {column: Texts({key[place] for key in keys}) for place, column in enumerate(columns)}
        for path in self._evidence.parent_fates[parent]:
            read = read_among(self._evidence.work / path, [*columns, FATE], texts)
            for *parts, fate in zip(*(column.to_pylist() for column in read.columns), strict=True):
                key = tuple(_key_text(part) for part in parts)
                if key in keys:
                    earlier = known[key]
                    if earlier is None or _LUCK.index(fate) < _LUCK.index(earlier):
                        known[key] = fate


def references_in(rule: Rule) -> list[tuple[str, tuple[Argument, ...]]]:
    """Return the mappings that a rule refers to, nested rules included, each with the parts of the key."""
    found: list[tuple[str, tuple[Argument, ...]]] = []
    if rule.verb == "ref":
        subject = next(need.subject for need in rule.needs() if need.kind == "parents" and need.subject)
        found.append((subject, tuple(rule.arguments())))
    for argument in rule.arguments():
        if isinstance(argument, Rule):
            found += references_in(argument)
    return found


def _key_text(part: Any) -> str:
    if isinstance(part, bytes):
        digits = part.hex()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return str(part)


def _columns_read(mapping: TableMapping) -> set[str]:
    names = set(mapping.key)
    for rule in mapping.columns.values():
        names.update(rule.columns())
    for join in mapping.join.values():
        names.update(join.on.values())
    names.update(_condition_columns(mapping.where))
    return names


def _condition_columns(text: str | None) -> tuple[str, ...]:
    return parse(text).columns() if text else ()


def key_column_texts(column: pa.ChunkedArray) -> list[str]:
    """Return the values of a key column as key texts."""
    return [_key_text(value) for value in column.to_pylist() if value is not None]
