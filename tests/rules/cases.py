"""Reads tests/rules/cases/*.yaml; README.md there says how a case is written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.rules.twins import Parent, Result, Setting, column, python_value
from transhume.oracle import Odd
from transhume.plan.document import parse_document
from transhume.rules.rule import is_quoted
from transhume.schema import Column, parse_type

FOLDER = Path(__file__).parent / "cases"
_KEYS = {"name", "from", "rule", "columns", "into", "rows", "lookups", "names", "parents", "join", "tables", "source"}


@dataclass(frozen=True)
class Case:
    """A setting with rows, what each must give, and where the expectations come from."""

    verb: str
    name: str
    origin: str
    setting: Setting
    rows: tuple[Mapping[str, Any], ...]
    expected: tuple[Result, ...]


def read_cases() -> Iterator[Case]:
    """Yield every case of every file."""
    for path in sorted(FOLDER.glob("*.yaml")):
        document = parse_document(path.read_text("utf-8"), path.name)
        assert not document.findings, document.findings
        for node in document.content["cases"]:
            assert set(node) <= _KEYS, set(node) - _KEYS
            yield _case(path.stem, node)


def _case(verb: str, node: Mapping[str, Any]) -> Case:
    columns = {str(name): column(str(name), str(words)) for name, words in node["columns"].items()}
    into = parse_type(node["into"])
    tables = node.get("tables", {})
    joined = {
        str(name): {str(own): column(str(own), str(words)) for own, words in table["columns"].items()}
        for name, table in tables.items()
    }
    setting = Setting(
        rule=node["rule"],
        columns=columns,
        into=into,
        lookups={
            str(name): {str(key): _text(value) for key, value in entries.items()}
            for name, entries in node.get("lookups", {}).items()
        },
        names={
            str(name): {str(key): [str(other) for other in others] for key, others in known.items()}
            for name, known in node.get("names", {}).items()
        },
        parents={str(name): _parent(parent) for name, parent in node.get("parents", {}).items()},
        joins=node.get("join", {}),
        joined_columns=joined,
        joined_rows={name: [_given(row, joined[name]) for row in tables[name].get("rows", [])] for name in joined},
        source=str(node.get("source", "t")),
    )
    rows, expected = [], []
    for row in node["rows"]:
        assert set(row) <= {"given", "value", "reasons", "from"}, row
        assert ("value" in row) != ("reasons" in row), row
        rows.append(_given(row["given"], columns))
        if "reasons" in row:
            expected.append(Result(None, tuple(str(reason) for reason in row["reasons"])))
        else:
            expected.append(Result(python_value(_text(row["value"]), into)))
    return Case(verb, str(node["name"]), str(node["from"]), setting, tuple(rows), tuple(expected))


def _parent(node: Mapping[str, Any]) -> Parent:
    key = {str(name): parse_type(kind) for name, kind in node["key"].items()}
    fates = {tuple(str(part) for part in row["key"]): str(row["fate"]) for row in node["rows"]}
    return Parent(str(node["from"]), key, fates)


def _given(node: Mapping[str, Any], columns: Mapping[str, Column]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, known in columns.items():
        value = node[name]
        if isinstance(value, Mapping):
            ((storage, content),) = value.items()
            raw = bytes.fromhex(content) if storage in {"blob", "invalid"} else str(content).encode()
            values[name] = Odd(str(storage), raw)
        else:
            assert known.type is not None
            values[name] = python_value(_text(value), known.type, carrier=known.carrier)
    return values


def _text(node: Any) -> Any:
    if isinstance(node, list):
        return [_text(each) for each in node]
    assert isinstance(node, str), node
    return None if node == "null" and not is_quoted(node) else str(node)
