"""Spark's SQL for keyed hashes; the key is a variable of the session, so that no statement holds it."""

import hashlib
from collections.abc import Callable, Mapping

from sqlglot import exp

from transhume import operations as op
from transhume.dialects.builders import call, concatenated, number, text_argument
from transhume.dialects.dialect import Lowering
from transhume.dialects.spark.builders import cast

_BLOCK_BYTES = 64
_INNER, _OUTER = 0x36, 0x5C
_SHA_256 = 256
"""Block size of SHA-256, the pads of RFC 2104, and Spark's number for the hash."""


def secret_variables(name: str, key: bytes) -> Mapping[str, bytes]:
    """Return the session variables that HmacSha256 reads for a key of this name: its two pads."""
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    return {_variable(name, pad): bytes(byte ^ pad for byte in block) for pad in (_INNER, _OUTER)}


def _variable(name: str, pad: int) -> str:
    return f"{'inner' if pad == _INNER else 'outer'} pad of {name}"


def hmac(variable: Callable[[str], exp.Expression]) -> Lowering:
    """Return the lowering of HmacSha256 where `variable` gives what a variable of the session holds."""

    def lowered(node: op.Operation) -> exp.Expression:
        name = text_argument(node, "key")
        inner, outer = (variable(_variable(name, pad)) for pad in (_INNER, _OUTER))
        first = call("sha2", concatenated(inner, cast(node.this, "BINARY")), number(_SHA_256))
        return call("sha2", concatenated(outer, call("unhex", first)), number(_SHA_256))

    return lowered


def _of_session(name: str) -> exp.Expression:
    return exp.column(name, table="session", db="system", quoted=True)


LOWERINGS: dict[type[op.Operation], Lowering] = {op.HmacSha256: hmac(_of_session)}
