"""Plans and catalogs for tests, as short as they can be written."""

from pathlib import Path

from transhume.facts import Catalog
from transhume.plan.load import read
from transhume.plan.model import Plan
from transhume.schema import Column, Kind, LogicalType, Table, parse_type

HEAD = """transhume: 1
name: n
namespace: n
source: sqlite:///a.db
target: iceberg:./lake
defaults: {time_zone: Europe/Berlin}
lookups:
  ids: {file: ids.csv, key: id, value: uuid}
  algorithms: {Random Forest: [RF]}
"""


def plan_of(folder: Path, tables: str, head: str = HEAD) -> Plan:
    """Read a plan from its `tables:` (indented by two); its text must have no mistake."""
    (folder / "ids.csv").write_text("id,uuid\n1,da3e586a-4bd1-55fc-925f-433257c8c5c4\n")
    (folder / "transhume.yaml").write_text(f"{head}tables:\n{tables}")
    plan, findings = read(folder, {})
    assert plan is not None, findings
    return plan


def table(name: str, columns: str, **more: object) -> Table:
    """Make a table from `id bigint not null, name text(20)`; `native` types are those words."""
    made = []
    for text in columns.split(", "):
        column, _, kind = text.partition(" ")
        nullable = not kind.endswith(" not null")
        kind = kind.removesuffix(" not null")
        known = None if kind.startswith("!") else parse_type(kind)
        made.append(Column(column, known, nullable, native=kind.lstrip("!")))
    return Table(name, tuple(made), **more)  # type: ignore[arg-type]


def catalog(*tables: Table, identity: str = "source") -> Catalog:
    """Make a catalog of these tables."""
    return Catalog(identity, {each.name: each for each in tables})


DECIMAL = LogicalType(Kind.DECIMAL)
