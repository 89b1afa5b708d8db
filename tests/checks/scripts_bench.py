"""Runs the scripts of one side in a DuckDB of its own, on tables that are made by hand."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
from sqlglot import exp

from transhume.checks.rows import table_named
from transhume.checks.script import Script, Unsaid
from transhume.dialects import DIALECTS
from transhume.schema import Kind, Table

_STORED = {
    Kind.INT: "INTEGER",
    Kind.BIGINT: "BIGINT",
    Kind.DOUBLE: "DOUBLE",
    Kind.UUID: "UUID",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.DECIMAL: "DECIMAL(12, 4)",
    Kind.DATE: "DATE",
}
Rows = Sequence[tuple[Any, ...]]


def place(name: str) -> Any:
    """Where a table stands: in no schema."""
    return table_named(name)


def written(found: Iterable[Script | Unsaid]) -> list[Script]:
    """Return the scripts among what is said."""
    return [each for each in found if isinstance(each, Script)]


def unsaid(found: Iterable[Script | Unsaid]) -> list[tuple[str, str, str]]:
    """Return name, table and column of each check that no script says; all are of the source."""
    named = [each for each in found if isinstance(each, Unsaid)]
    assert all(each.side == "source" and each.reason for each in named)
    return [(each.name, each.table, each.column) for each in named]


def told(scripts: Iterable[Script]) -> list[tuple[str, str, str, str, str]]:
    """Return name, table, column, severity and place in the plan of each script."""
    return [
        (each.name, each.table, each.column, each.severity, "/".join(str(part) for part in each.path))
        for each in scripts
    ]


def require_quotes(select: exp.Expression) -> None:
    """Every name is quoted by itself: not all dialects quote what is not (T-SQL, Snowflake)."""
    assert [each.name for each in select.find_all(exp.Identifier) if not each.args.get("quoted")] == []


def answers(scripts: Iterable[Script], tables: Mapping[str, tuple[Table, Rows]]) -> dict[tuple[str, ...], list[Any]]:
    """Return the rows, sorted, that each script finds, by its name, table and column."""
    server = duckdb.connect()
    for name, (table, rows) in tables.items():
        kinds = ", ".join(
            f'"{each.name}" {_STORED.get(each.type.kind, "VARCHAR") if each.type else "VARCHAR"}'
            for each in table.columns
        )
        server.execute(f'CREATE TABLE "{name}" ({kinds})')
        for row in rows:
            server.execute(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(row))})', row)
    found = {}
    for script in scripts:
        require_quotes(script.select)
        rows = server.execute(DIALECTS["duckdb"].render(script.select)).fetchall()
        found[script.name, script.table, script.column] = sorted(rows, key=str)
    server.close()
    return found
