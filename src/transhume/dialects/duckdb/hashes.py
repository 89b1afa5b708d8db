"""DuckDB's SQL for keyed hashes; the key is a variable of the session, so that no statement holds it."""

import hashlib
from collections.abc import Mapping

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import call, concatenated, text_argument
from transhume.dialects.dialect import Lowering

_BLOCK_BYTES = 64
_INNER, _OUTER = 0x36, 0x5C
"""Block size of SHA-256 and the pads of RFC 2104."""


def secret_variables(name: str, key: bytes) -> Mapping[str, bytes]:
    """Return the session variables that HmacSha256 reads for a key of this name: its two pads."""
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    return {_variable(name, pad): bytes(byte ^ pad for byte in block) for pad in (_INNER, _OUTER)}


def _variable(name: str, pad: int) -> str:
    return f"{'inner' if pad == _INNER else 'outer'} pad of {name}"


def _hmac(node: op.Operation) -> exp.Expression:
    name = text_argument(node, "key")
    inner, outer = (call("getvariable", exp.Literal.string(_variable(name, pad))) for pad in (_INNER, _OUTER))
    first = call("sha256", concatenated(inner, call("encode", node.this)))
    return call("sha256", concatenated(outer, call("unhex", first)))


LOWERINGS: dict[type[op.Operation], Lowering] = {op.HmacSha256: _hmac}
