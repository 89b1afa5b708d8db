"""The value tables of the operations as typed values; any dialect can run them."""

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from sqlglot import exp

from transhume import operations as op
from transhume.schema import Kind, LogicalType, parse_type

CASES = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Table:
    """One operation's table: types of the operands, literal arguments, rows of operands and expected value."""

    operation: type[op.Operation]
    takes: tuple[LogicalType, ...]
    gives: LogicalType
    arguments: dict[str, Any]
    rows: tuple[tuple[tuple[Any, ...], Any], ...]
    over: type[op.Operation] | None = None
    """What the first operand goes through before, where the operation takes another one's form."""

    def node(self, *operands: exp.Expression) -> exp.Expression:
        """The operation over these operands, with the table's literal arguments."""
        literals = {
            name: exp.Literal.number(value) if isinstance(value, int) else exp.Literal.string(str(value))
            for name, value in self.arguments.items()
        }
        if self.over is not None:
            operands = (self.over(this=operands[0]), *operands[1:])
        given = dict(zip(("this", "expression"), operands, strict=False))
        return self.operation(**given, **literals)


def tables() -> Iterator[Table]:
    """Yield every table of the folder `cases`."""
    for path in sorted(CASES.glob("*.yaml")):
        for name, body in YAML(typ="safe", pure=True).load(path).items():
            takes = body["takes"] if isinstance(body["takes"], list) else [body["takes"]]
            types = tuple(parse_type(kind) for kind in _joined(takes))
            gives = parse_type(str(body["gives"]))
            rows = []
            for case in body["cases"]:
                operands = case["in"] if len(types) > 1 else [case["in"]]
                values = tuple(value_of(text, kind) for text, kind in zip(operands, types, strict=True))
                rows.append((values, value_of(case["out"], gives)))
            over = getattr(op, body["over"]) if "over" in body else None
            arguments = dict(body.get("arguments", {}))
            yield Table(getattr(op, name.partition(" ")[0]), types, gives, arguments, tuple(rows), over)


def _joined(parts: list[str]) -> list[str]:
    """Put `decimal(10` and `2)` together again, which YAML's flow lists take apart."""
    result: list[str] = []
    for part in map(str, parts):
        if result and result[-1].count("(") > result[-1].count(")"):
            result[-1] += f",{part}"
        else:
            result.append(part)
    return result


READERS = {
    Kind.UUID: uuid.UUID,
    Kind.BYTES: lambda written: bytes.fromhex(str(written)),
    Kind.DECIMAL: Decimal,
    Kind.DOUBLE: float.fromhex,
    Kind.DATE: dt.date.fromisoformat,
    Kind.TIME: dt.time.fromisoformat,
    Kind.TIMESTAMP: dt.datetime.fromisoformat,
    Kind.TIMESTAMPTZ: dt.datetime.fromisoformat,
}


def value_of(written: Any, logical: LogicalType) -> Any:
    """The Python value of what a table holds for this type."""
    return READERS[logical.kind](written) if written is not None and logical.kind in READERS else written
