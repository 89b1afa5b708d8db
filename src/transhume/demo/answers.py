"""The answer key: what a migration of the generated database must account for. Nothing is computed here."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Planted:
    """One defect in one row of the legacy database.

    `row` is the SQLite rowid; `key` the row's key as text, None where the defect is a missing key.
    `reasons` are what the row must be rejected for; empty where it must load all the same, or is filtered.
    """

    table: str
    row: int
    key: str | None
    defect: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableAnswer:
    """What one table mapping of the demo's plan must account for.

    `read = loaded + rejected + filtered`. `reasons` counts the rejected rows that have each reason: a row with
    two reasons stands under both. Of the loaded rows, `defaults` counts per target column those whose value is
    the lookup's `else`, `warnings` per check those that a `then: warn` check names, and `values` counts those
    that hold each value of some target columns.
    """

    mapping: str
    source: str
    read: int
    loaded: int
    rejected: int
    filtered: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    defaults: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """The answers by table mapping, in the plan's order, and every planted defect with the row that holds it."""

    seed: int
    tables: Mapping[str, TableAnswer]
    planted: tuple[Planted, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the key as JSON values."""
        return asdict(self)

    def write(self, path: Path) -> None:
        """Write the key as a JSON file, in place of what is there."""
        path.write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "AnswerKey":
        """Return the key that `write` wrote."""
        read = json.loads(path.read_text(encoding="utf-8"))
        planted = [Planted(**{**entry, "reasons": tuple(entry["reasons"])}) for entry in read["planted"]]
        tables = {name: TableAnswer(**answer) for name, answer in read["tables"].items()}
        return cls(seed=read["seed"], tables=tables, planted=tuple(planted))
