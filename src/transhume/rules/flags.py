"""The type of a rule's yes-or-no parameter: every scalar of a plan is text, so `true` and `false` are words."""

from typing import Annotated, Any

from pydantic import BeforeValidator


def _flag(node: Any) -> bool:
    if isinstance(node, bool):
        return node
    if node in {"true", "false"}:
        return bool(node == "true")
    message = f"expected true or false, found '{node}'"
    raise ValueError(message)


Flag = Annotated[bool, BeforeValidator(_flag)]
