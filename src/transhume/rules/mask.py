"""The rule `mask`: a keyed hash in place of a value that must not be read."""

import hashlib
import hmac
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field, model_validator

from transhume import operations as op
from transhume.rules import trees
from transhume.rules.rule import Argument, Outcome, PythonScope, Rule, Sql, SqlScope, TypeScope
from transhume.schema import TEXT, LogicalType

_REFERENCE = re.compile(r"\$\{([^{}]+)\}")


class Mask(Rule):
    """HMAC-SHA256 of the value's text as UTF-8, 64 lower-case hexadecimal digits; equal values give equal hashes.

    `key` is a reference, `${NAME}`: the key itself stands in no plan, hash of a plan, statement, file or message.
    NULL gives NULL.
    """

    verb: ClassVar[str] = "mask"
    column: Argument = Field(alias="mask")
    key: str

    @model_validator(mode="before")
    @classmethod
    def _by_reference(cls, node: Any) -> Any:
        # Said of the whole rule, so that no message points at a line that may hold a key.
        if isinstance(node, dict) and "key" in node:
            key = node["key"]
            if not isinstance(key, str) or not _REFERENCE.fullmatch(key):
                message = "the key of the rule 'mask' never stands in the plan; write 'key: ${NAME}' and set NAME "
                message += "in the environment or in the file '.env' beside the plan"
                raise ValueError(message)
        return node

    def arguments(self) -> Iterator[Argument]:
        """Yield the column."""
        yield self.column

    def secrets(self) -> Iterator[str]:
        """Yield the reference of the key, and those of nested rules."""
        yield self.key
        yield from super().secrets()

    def result(self, scope: TypeScope, wanted: LogicalType | None) -> LogicalType:  # noqa: ARG002
        """Return text."""
        scope.argument(self.column, TEXT)
        return TEXT

    def to_sql(self, scope: SqlScope, wanted: LogicalType) -> Sql:  # noqa: ARG002
        """Return the engine's hash with the session's secret of this name."""
        raw = scope.as_text(self.column)
        return Sql(op.HmacSha256(this=raw.value.copy(), key=trees.text(self.key[2:-1])), TEXT, raw.reasons)

    def to_python(self, scope: PythonScope, wanted: LogicalType) -> Outcome:  # noqa: ARG002
        """Return what Python's hmac module gives."""
        raw = scope.as_text(self.column)
        if raw.value is None:
            return raw
        return Outcome(hmac.new(scope.secret(self.key), raw.value.encode(), hashlib.sha256).hexdigest())
