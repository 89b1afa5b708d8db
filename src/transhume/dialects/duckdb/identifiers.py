"""DuckDB's SQL for UUIDs: read, written and made of names."""

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import binary, call, concatenated, number, text_argument
from transhume.dialects.dialect import Lowering, LoweringError
from transhume.dialects.duckdb.builders import cast
from transhume.dialects.duckdb.texts import parse_by

_HEX = "[0-9a-fA-F]"
_UUID = f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}"
_UUID5_SET = 5 << 76 | 2 << 62
"""Version 5 and the variant of RFC 9562 as bits of the 128-bit number."""

_UUID5_KEPT = (1 << 128) - 1 - (0xF << 76) - (0x3 << 62)
_NAMESPACE_DIGITS = 32


def _uuid5(node: op.Operation) -> exp.Expression:
    """SHA-1 takes most of it; version and variant are set as bits, which costs half of cutting the text."""
    namespace = text_argument(node, "namespace")
    if len(namespace) != _NAMESPACE_DIGITS or not set(namespace) <= set("0123456789abcdefABCDEF"):
        message = "argument 'namespace' of Uuid5 must be 32 hexadecimal digits"
        raise LoweringError(message)
    name = call("encode", node.this)
    digits = call("sha1", concatenated(call("unhex", exp.Literal.string(namespace)), name))

    first = cast(cast(call("substr", digits, number(1), number(32)), "UUID"), "UHUGEINT")
    cleared = binary(exp.BitwiseAnd, first, cast(exp.Literal.string(str(_UUID5_KEPT)), "UHUGEINT"))
    return cast(binary(exp.BitwiseOr, cleared, cast(exp.Literal.string(str(_UUID5_SET)), "UHUGEINT")), "UUID")


LOWERINGS: dict[type[op.Operation], Lowering] = {
    op.UuidText: lambda node: cast(node.this, "TEXT"),
    op.UuidBytes: lambda node: cast(node.this, "BLOB"),
    op.UuidFromBytes: lambda node: cast(node.this, "UUID"),
    op.ParseUuid: parse_by(_UUID, "UUID"),
    op.Uuid5: _uuid5,
}
