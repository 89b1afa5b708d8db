"""Texts of the portable language as parameters of rules: read once, and refused where the plan is read."""

import functools
from typing import Annotated

from pydantic import AfterValidator

from transhume.expressions import Expression, ExpressionError, parse


@functools.lru_cache(maxsize=1024)
def parsed(text: str) -> Expression:
    """Return the expression that a text is. Raises: ExpressionError."""
    return parse(text)


def _readable(text: str) -> str:
    try:
        parsed(text)
    except ExpressionError as error:
        message = f"{error.message}; {error.cure}" if error.cure else error.message
        raise ValueError(message) from None
    return text


ExpressionText = Annotated[str, AfterValidator(_readable)]
"""A text that `parsed` takes."""
