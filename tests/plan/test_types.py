"""The target table of a mapping: where its types come from, what identifies its rows, what cannot be."""

from dataclasses import replace

import pytest

from tests.plan.planning import DECIMAL, catalog, plan_of, table
from transhume.errors import PlanError
from transhume.facts import Catalog
from transhume.plan.model import Plan
from transhume.plan.types import key_columns, mapping_types, target_table
from transhume.schema import Column, ForeignKey, Table

SOURCE = catalog(
    table(
        "p", "id bigint, name text(50), score double, born text, flag text, raw bytes, geo !geometry, local timestamp"
    ),
    table("q", "a bigint, b text, note text"),
)


def _made(plan: Plan, target: Catalog | None = None, name: str = "t") -> tuple[Table, tuple[str, ...], bool]:
    made, findings = target_table(plan, plan.tables[name], SOURCE, target)
    assert made is not None, findings
    assert not [finding for finding in findings if finding.severity == "error"]
    return made.table, made.key, made.create


def _problems(plan: Plan, target: Catalog | None = None) -> list[tuple[str, str, str]]:
    made, findings = target_table(plan, plan.tables["t"], SOURCE, target)
    assert made is None
    assert all(finding.position is not None for finding in findings)
    return [(finding.code, finding.message, finding.cure) for finding in findings]


def test_types_are_inferred_from_rules(tmp_path):
    """Without `types:` each rule says what it gives; the UUID of the key is the primary key and not NULL."""
    plan = plan_of(
        tmp_path,
        "  t: {from: p, key: id, create: true, columns: {u: {uuid: id}, name: name, score: score, "
        "at: {utc: born}, owner: {lookup: id, in: ids}, algo: {names: name, in: algorithms}, "
        "is: {boolean: flag, true: [Y], false: [N]}, day: {parse: born, format: '%Y%m%d'}}}\n",
    )
    made, key, create = _made(plan)
    assert {column.name: str(column.type) for column in made.columns} == {
        "u": "uuid", "name": "text(50)", "score": "double", "at": "timestamptz", "owner": "text", "algo": "text",
        "is": "boolean", "day": "date",
    }  # fmt: skip
    assert (key, made.primary_key, create) == (("u",), ("u",), True)
    assert [column.name for column in made.columns if not column.nullable] == ["u"]


def test_declared_types_and_constraints(tmp_path):
    """`types:` gives types, NOT NULL, unique and references to the other mapping's table and key."""
    plan = plan_of(
        tmp_path,
        "  t:\n    from: p\n    key: id\n    create: true\n"
        "    types: {u: uuid primary key, name: text(20) not null unique, other: uuid references o}\n"
        "    columns: {u: {uuid: id}, name: name, other: {ref: id, table: o}}\n"
        "  o: {from: q, into: others, key: a, create: true, columns: {o_uuid: {uuid: a}, b: b}}\n",
    )
    made, _, _ = _made(plan)
    assert str(made.column("name").type) == "text(20)"
    assert not made.column("name").nullable
    assert made.unique == (("name",),)
    assert made.foreign_keys == (ForeignKey(("other",), "others", ("o_uuid",)),)


def test_a_key_without_uuid(tmp_path):
    """Columns that copy the key identify a row where nothing better does."""
    plan = plan_of(tmp_path, "  t: {from: q, key: [a, b], create: true, columns: {x: b, y: a, z: note}}\n")
    assert _made(plan)[1] == ("y", "x")


def test_nothing_identifies_a_row(tmp_path):
    """Without a key there is no second run that changes nothing, so it is an error with its cure."""
    plan = plan_of(tmp_path, "  t: {from: q, key: [a, b], columns: {x: b}}\n")
    ((code, _, cure),) = _problems(plan)
    assert code == "primary_key"
    assert "{uuid: [a, b]}" in cure
    assert key_columns(plan.tables["t"]) == ()


TARGET = table(
    "t", "extra text, name text(20) not null, u uuid not null", primary_key=("u",), unique=(("name",), ("extra",))
)


def test_an_existing_table_gives_the_types(tmp_path):
    """Order, types and constraints are the table's, restricted to what the mapping fills."""
    plan = plan_of(tmp_path, "  t: {from: p, key: id, columns: {u: {uuid: id}, name: name}}\n")
    made, key, create = _made(plan, catalog(TARGET))
    assert [str(column.type) for column in made.columns] == ["text(20)", "uuid"]
    assert (key, made.unique, create) == (("u",), (("name",),), False)
    assert not made.column("name").nullable


def test_a_second_run_on_a_lake_keeps_the_declared_bounds(tmp_path):
    """A lake stores no lengths, no json and no NOT NULL beside its own; the plan's still hold."""
    plan = plan_of(
        tmp_path,
        "  t: {from: p, key: id, create: true, types: {name: text(10) not null, u: uuid primary key},"
        " columns: {u: {uuid: id}, name: name}}\n",
    )
    first = _made(plan, catalog())[0]
    again, key, create = _made(plan, catalog(table("t", "u uuid, name text")))
    assert again.column("name").type == first.column("name").type
    assert [column.nullable for column in again.columns] == [False, False]
    assert (key, create) == (("u",), False)


@pytest.mark.parametrize(
    ("columns", "target", "code", "said"),
    [
        ("{u: {uuid: id}, nam: name}", TARGET, "unknown_target_column", "did you mean 'name'?"),
        ("{u: {uuid: id}}", TARGET, "not_null_unfilled", "'t.name' is NOT NULL"),
        ("{u: {uuid: id}, name: nmae}", TARGET, "type", "did you mean 'name'?"),
        ("{u: {uuid: id}, name: raw}", TARGET, "type", "bytes cannot become text(20)"),
        ("{u: id, name: name}", TARGET, "type", "{uuid: column}"),
        ("{u: {uuid: score}, name: name}", TARGET, "type", "'score' is double"),
        ("{u: {uuid: id}, name: geo}", TARGET, "type", "geometry"),
        ("{u: {uuid: id}, name: {value: a text that is far too long}}", TARGET, "type", "takes 20"),
        ("{u: {uuid: id}, name: j.b}", TARGET, "type", "has no column 'j.b'"),
        ("{u: {uuid: id}, name: name}", table("t", "u uuid, name !money"), "type_refused", "'money'"),
        ("{u: {uuid: id}, name: name}", table("tt", "u uuid"), "unknown_table", "did you mean 'tt'?"),
        ("{u: {uuid: id}, at: local}", table("t", "u uuid, at timestamptz"), "type", "{utc: column}"),
    ],
)  # fmt: skip
def test_what_a_target_does_not_take(tmp_path, columns, target, code, said):
    """Every misfit between rules and target is named, with a cure."""
    plan = plan_of(tmp_path, f"  t: {{from: p, key: id, columns: {columns}}}\n")
    problems = _problems(plan, catalog(target))
    assert code in {each[0] for each in problems}
    assert said in str(problems)


def test_generated_columns_and_obstacles(tmp_path):
    """A column that the system fills and a table that would hide or change rows are refused by name."""
    columns = (Column("u", TARGET.column("u").type), replace(TARGET.column("name"), refused="it is generated"))
    target = Table("t", columns, obstacles=("the trigger 'audit' changes rows",))
    plan = plan_of(tmp_path, "  t: {from: p, key: id, columns: {u: {uuid: id}, name: name}}\n")
    problems = _problems(plan, catalog(target))
    assert [each[0] for each in problems] == ["obstacle", "not_writable"]
    assert "the trigger 'audit'" in problems[0][1]


def test_a_declared_type_that_differs_from_the_table(tmp_path):
    """The plan and an existing table must agree."""
    plan = plan_of(tmp_path, "  t: {from: p, key: id, types: {name: int}, columns: {u: {uuid: id}, name: name}}\n")
    assert _problems(plan, catalog(TARGET))[0][0] == "type_differs"


def test_a_number_without_bounds_needs_a_type(tmp_path):
    """PostgreSQL's plain numeric has no digits that a new table could take over."""
    source = Catalog("s", {"p": Table("p", (Column("id", SOURCE.tables["p"].column("id").type), Column("n", DECIMAL)))})
    plan = plan_of(tmp_path, "  t: {from: p, key: id, create: true, columns: {u: {uuid: id}, n: n}}\n")
    _, findings = target_table(plan, plan.tables["t"], source, None)
    assert [finding.code for finding in findings] == ["type_without_bounds"]
    with pytest.raises(PlanError, match=r"decimal\(p,s\)"):
        mapping_types(plan, plan.tables["t"], source, None)
