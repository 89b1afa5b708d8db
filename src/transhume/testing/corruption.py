"""Corruptions of a published target, one kind at a time, for the drill: each must be found and named.

A kind takes the rows of a table as any other program reads them, and gives them back with one thing wrong. Which
table and column it takes follows from the plan: a kind that finds none does not apply. How rows are read and written
is the place's (`Place`); nothing of transhume's own stage, ledger or staging is used.
"""

import datetime as dt
import math
import random
import struct
import unicodedata
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

from transhume.batches import TargetTable
from transhume.plan.model import NamesLookup, Plan
from transhume.rules.rule import Rule
from transhume.schema import Kind

Rows = list[dict[str, Any]]
Changed = tuple[dict[str, Any], str]
"""A row as it must be found again (its key), and the column that is wrong; `(row)` for a row as a whole."""


class Place(Protocol):
    """A published target that another program writes to."""

    def read(self, table: str) -> Rows:
        """Return all rows of a table; UUIDs as uuid.UUID, instants with their zone."""
        ...

    def write(self, table: str, rows: Rows) -> None:
        """Make these the rows of the table, constraints or not."""
        ...

    def save(self) -> None:
        """Remember the target as it is."""
        ...

    def restore(self) -> None:
        """Bring back what was saved."""
        ...


@dataclass(frozen=True, slots=True)
class Site:
    """Where a corruption may strike: a table of the plan, its rows, and chance."""

    plan: Plan
    table: TargetTable
    rows: Rows
    others: dict[str, Rows]
    dice: random.Random

    def columns(self, *kinds: Kind) -> list[str]:
        """Return the columns of these kinds that are no part of the key, in an order by chance."""
        names = [
            column.name
            for column in self.table.table.columns
            if column.type is not None and column.type.kind in kinds and column.name not in self.table.key
        ]
        return self.dice.sample(names, len(names))

    def ruled(self, verb: str) -> list[tuple[str, Rule]]:
        """Return the columns whose rule is of this verb."""
        columns = self.plan.tables[self.table.mapping].columns
        return [(name, columns[name]) for name in columns if columns[name].verb == verb]

    def some(self, column: str, fits: Callable[[Any], bool]) -> dict[str, Any] | None:
        """Return a row by chance whose value of a column fits."""
        fitting = [row for row in self.rows if fits(row[column])]
        return self.dice.choice(fitting) if fitting else None


Corrupt = Callable[[Site], list[Changed]]


@dataclass(frozen=True, slots=True)
class Corruption:
    """One kind: its name, what it does to rows (an empty list: it does not apply), what it leaves wrong."""

    name: str
    what: str
    corrupt: Corrupt = field(repr=False)


@dataclass(frozen=True, slots=True)
class Planted:
    """A corruption that was applied: kind, mapping, the target keys and columns that must be named."""

    kind: str
    mapping: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]


def plant(place: Place, plan: Plan, tables: dict[str, TargetTable], kind: Corruption, seed: int) -> Planted | None:
    """Apply one corruption to the first table, by chance, to which it applies; None if there is none."""
    dice = random.Random(f"{seed}:{kind.name}")  # noqa: S311 - a draw that can be repeated
    others = {table.mapping: place.read(table.table.name) for table in tables.values()}
    for mapping in dice.sample(list(tables), len(tables)):
        table, rows = tables[mapping], others[mapping]
        if not rows:
            continue
        changed = kind.corrupt(Site(plan, table, rows, others, dice))
        if changed:
            keys = tuple(", ".join(str(row[part]) for part in table.key) for row, _ in changed)
            place.write(table.table.name, rows)
            return Planted(kind.name, mapping, keys, tuple(column for _, column in changed))
    return None


def _one(site: Site, column: str, fits: Callable[[Any], bool], made: Callable[[Any], Any]) -> list[Changed]:
    row = site.some(column, lambda value: fits(value) and made(value) != value)
    if row is None:
        return []
    row[column] = made(row[column])
    return [(row, column)]


def _first(found: Iterator[list[Changed]]) -> list[Changed]:
    return next((each for each in found if each), [])


def _in(kinds: Sequence[Kind], fits: Callable[[Any], bool], made: Callable[[Any], Any]) -> Corrupt:
    """Return what changes one value of a column of these kinds."""

    def corrupt(site: Site) -> list[Changed]:
        return _first(_one(site, column, fits, made) for column in site.columns(*kinds))

    return corrupt


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _there(value: Any) -> bool:
    return value is not None


def _unlike(value: Any) -> Callable[[Any], bool]:
    return lambda other: other is not None and other != value


def _missing_row(site: Site) -> list[Changed]:
    row = site.dice.choice(site.rows)
    site.rows.remove(row)
    return [(row, "(row)")]


def _extra_row(site: Site) -> list[Changed]:
    if len(site.table.key) != 1 or not isinstance(site.rows[0][site.table.key[0]], uuid.UUID):
        return []
    row = {**site.dice.choice(site.rows), site.table.key[0]: uuid.UUID(int=site.dice.getrandbits(128), version=4)}
    site.rows.append(row)
    return [(row, "(row)")]


def _duplicated_row(site: Site) -> list[Changed]:
    row = site.dice.choice(site.rows)
    site.rows.append(dict(row))
    return [(row, "(row)")]


def _swapped_values(site: Site) -> list[Changed]:
    for column in site.columns(Kind.TEXT, Kind.DOUBLE, Kind.BIGINT, Kind.TIMESTAMPTZ):
        one = site.some(column, _there)
        other = None if one is None else site.some(column, _unlike(one[column]))
        if one is not None and other is not None:
            one[column], other[column] = other[column], one[column]
            return [(one, column), (other, column)]
    return []


def _swapped_columns(site: Site) -> list[Changed]:
    for kind in (Kind.TIMESTAMPTZ, Kind.TEXT, Kind.UUID, Kind.BIGINT, Kind.DOUBLE):
        names = site.columns(kind)
        for one, other in pairwise(names):
            rows = [row for row in site.rows if None not in {row[one], row[other]} and row[one] != row[other]]
            if rows:
                row = site.dice.choice(rows)
                row[one], row[other] = row[other], row[one]
                return [(row, one), (row, other)]
    return []


def _shifted_rows(site: Site) -> list[Changed]:
    for column in site.columns(Kind.TEXT, Kind.DOUBLE, Kind.BIGINT):
        rows = [row for row in site.rows if row[column] is not None][:5]
        values = [row[column] for row in rows]
        moved = [*values[1:], *values[:1]]
        changed = [(row, column) for row, value in zip(rows, moved, strict=True) if row[column] != value]
        for row, value in zip(rows, moved, strict=True):
            row[column] = value
        if changed:
            return changed
    return []


def _plus(**step: int) -> Corrupt:
    return _in([Kind.TIMESTAMPTZ, Kind.TIMESTAMP], _there, lambda value: value + dt.timedelta(**step))


def _other_label(site: Site) -> list[Changed]:
    def made(rule: Rule) -> Callable[[Any], Any]:
        labels = sorted({label for label in getattr(rule, "to", {}).values() if label})
        return lambda value: next(label for label in [*labels, value] if label != value or len(labels) == 1)

    return _first(_one(site, name, _there, made(rule)) for name, rule in site.ruled("codes"))


def _other_name(site: Site) -> list[Changed]:
    def made(rule: Rule) -> Callable[[Any], Any]:
        lookup = site.plan.lookups.get(getattr(rule, "name", ""))
        names = sorted(lookup.names) if isinstance(lookup, NamesLookup) else []
        return lambda value: next((name for name in names if name != value), value)

    return _first(_one(site, name, _there, made(rule)) for name, rule in site.ruled("names"))


def _uuid_of_another_table(site: Site) -> list[Changed]:
    own = site.rows[-1][site.table.key[0]]
    return _first(
        _one(site, name, _there, lambda _: own)
        for name, rule in site.ruled("ref")
        if _parent(rule) != site.table.mapping
    )


def _other_parent(site: Site) -> list[Changed]:
    found = []
    for name, rule in site.ruled("ref"):
        parents = [row[_key_of(site, _parent(rule))] for row in site.others[_parent(rule)]]
        found.append(_one(site, name, _there, partial(_another, parents)))
        if found[-1]:
            return found[-1]
    return []


def _another(values: list[Any], value: Any) -> Any:
    return next((each for each in values if each != value), value)


def _parent(rule: Rule) -> str:
    return str(getattr(rule, "table", ""))


def _key_of(site: Site, mapping: str) -> str:
    columns = site.plan.tables[mapping].columns
    return next(name for name, rule in columns.items() if rule.verb == "uuid")


def _orphan(site: Site) -> list[Changed]:
    stray = uuid.UUID(int=site.dice.getrandbits(128), version=4)
    return _first(_one(site, name, _there, lambda _: stray) for name, _ in site.ruled("ref"))


def _defaulted(site: Site) -> list[Changed]:
    def made(rule: Rule) -> Callable[[Any], Any]:
        otherwise = getattr(rule, "otherwise", None)
        text = otherwise.text if otherwise is not None and otherwise.action == "literal" else ""
        return lambda value: uuid.UUID(text) if text and isinstance(value, uuid.UUID) else text or value

    return _first(_one(site, name, _there, made(rule)) for name, rule in site.ruled("lookup"))


def _on_paths(made: Callable[[str], str]) -> Corrupt:
    def corrupt(site: Site) -> list[Changed]:
        return _first(_one(site, name, _is_text, made) for name, _ in site.ruled("path"))

    return corrupt


def _segments_swapped(path: str) -> str:
    parts = path.split("/")
    if len(parts) > 2:
        parts[-1], parts[-2] = parts[-2], parts[-1]
    return "/".join(parts)


def _on_prefixes(made: Callable[[str, str], str]) -> Corrupt:
    def corrupt(site: Site) -> list[Changed]:
        found = ((name, str(getattr(rule, "text", ""))) for name, rule in site.ruled("prefix"))
        return _first(_one(site, name, _is_text, partial(made, prefix)) for name, prefix in found)

    return corrupt


def _nullable(site: Site) -> list[str]:
    return [column.name for column in site.table.table.columns if column.nullable and column.name not in site.table.key]


def _negated_zero(site: Site, column: str) -> list[Changed]:
    row = site.some(column, lambda value: value == 0 and math.copysign(1, value) > 0)
    if row is None:
        return []
    row[column] = -0.0
    return [(row, column)]


def _single(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def _cut(text: str) -> str:
    return text.encode()[:-1].decode(errors="replace")


CORRUPTIONS = (
    Corruption("missing_row", "a row is gone", _missing_row),
    Corruption("extra_row", "a row more, with a source key of the run", _extra_row),
    Corruption("duplicated_row", "a row stands twice", _duplicated_row),
    Corruption("swapped_values", "two rows have each other's value", _swapped_values),
    Corruption("swapped_columns", "two columns of a row have each other's value", _swapped_columns),
    Corruption("shifted_rows", "values of a column moved by one row", _shifted_rows),
    Corruption("hour_off", "an instant one hour later", _plus(hours=1)),
    Corruption("microsecond_off", "an instant one microsecond later", _plus(microseconds=1)),
    Corruption("zone_forgotten", "a local time taken for UTC", _plus(hours=-5)),
    Corruption("float_last_bit", "the next double", _in([Kind.DOUBLE], _there, lambda v: math.nextafter(v, math.inf))),
    Corruption(
        "sign_of_zero",
        "0.0 became -0.0",
        lambda site: _first(_negated_zero(site, column) for column in site.columns(Kind.DOUBLE)),
    ),
    Corruption("float_to_single", "a double rounded to 24 bits", _in([Kind.DOUBLE], _there, _single)),
    Corruption("trailing_space", "a blank behind a text", _in([Kind.TEXT], _is_text, lambda v: f"{v} ")),
    Corruption("leading_space", "a blank before a text", _in([Kind.TEXT], _is_text, lambda v: f" {v}")),
    Corruption(
        "cut_in_a_character",
        "a text cut inside a character of several bytes",
        _in([Kind.TEXT], lambda v: _is_text(v) and len(v[-1].encode()) > 1, _cut),
    ),
    Corruption("cut_by_a_character", "a text without its last character", _in([Kind.TEXT], _is_text, lambda v: v[:-1])),
    Corruption(
        "decomposed",
        "a text in the form NFD",
        _in([Kind.TEXT], _is_text, lambda v: unicodedata.normalize("NFD", v)),
    ),
    Corruption("letter_case", "a text in another case", _in([Kind.TEXT], _is_text, lambda v: v.swapcase())),
    Corruption("mojibake", "UTF-8 read as Latin-1", _in([Kind.TEXT], _is_text, lambda v: v.encode().decode("latin-1"))),
    Corruption("null_to_empty", "NULL became an empty text", _in([Kind.TEXT], lambda v: v is None, lambda _: "")),
    Corruption("empty_to_null", "an empty text became NULL", _in([Kind.TEXT], lambda v: v == "", lambda _: None)),
    Corruption(
        "null_lost",
        "NULL became a number",
        _in([Kind.DOUBLE, Kind.BIGINT, Kind.INT], lambda v: v is None, lambda _: 0),
    ),
    Corruption(
        "value_lost",
        "a value became NULL",
        lambda site: _first(_one(site, column, _there, lambda _: None) for column in _nullable(site)),
    ),
    Corruption("other_label", "the label of another code", _other_label),
    Corruption("other_name", "the canonical name of another algorithm", _other_name),
    Corruption("uuid_of_another_table", "a reference holds a key of another table", _uuid_of_another_table),
    Corruption("other_parent", "a reference holds another row's key", _other_parent),
    Corruption("orphan_reference", "a reference to no row", _orphan),
    Corruption("owner_defaulted", "a known owner became the default", _defaulted),
    Corruption("path_parts_swapped", "two parts of a path swapped", _on_paths(_segments_swapped)),
    Corruption("path_not_rewritten", "a path without its scheme", _on_paths(lambda v: v.replace("s3://", "/"))),
    Corruption("prefix_doubled", "the prefix stands twice", _on_prefixes(lambda prefix, v: prefix + v)),
    Corruption("prefix_lost", "the prefix is gone", _on_prefixes(lambda prefix, v: v.removeprefix(prefix))),
    Corruption("decimal_point_moved", "a decimal ten times as much", _in([Kind.DECIMAL], _there, lambda v: v * 10)),
    Corruption(
        "decimal_last_digit",
        "a decimal one unit of its last digit more",
        _in([Kind.DECIMAL], _there, lambda v: v + Decimal(1).scaleb(v.as_tuple().exponent)),
    ),
    Corruption("boolean_flipped", "true for false", _in([Kind.BOOLEAN], _there, lambda v: not v)),
    Corruption("integer_off_by_one", "an integer one more", _in([Kind.BIGINT, Kind.INT], _there, lambda v: v + 1)),
    Corruption("day_off", "a date one day later", _in([Kind.DATE], _there, lambda v: v + dt.timedelta(days=1))),
)
"""Every kind that is done to rows. What only one system can suffer is its place's own."""
