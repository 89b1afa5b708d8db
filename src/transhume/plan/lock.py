"""What identifies a plan: its content without comments and layout, a hash of it, and what differs between two.

Nothing is written here; a run keeps the content, so that a resume can say what was changed since.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from transhume.plan.model import Plan
from transhume.rules.copy import Copy
from transhume.rules.rule import ColumnRef, Constant, Otherwise, Rule
from transhume.version import __version__

_SHOWN_MAX = 120
_NOT_OF_A_RUN = frozenset({"notify", "performance", "risks", "schedule"})
"""Keys that no run depends on: what a phase took may be written down without making a run another one."""
_ORDERED = frozenset({"tables", "columns", "join", "phases"})
"""Mappings whose order means something: of work and waves, of columns and reasons, of joins that use earlier ones."""


def plan_hash(plan: Plan) -> str:
    """Return the SHA-256, in hexadecimal digits, of `plan_content`."""
    text = json.dumps(plan_content(plan), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def plan_content(plan: Plan) -> dict[str, Any]:
    """Return everything that a run depends on beside the data, as JSON values.

    The plan as it means, without comments, layout and defaults; the hash of each lookup file; the version of the
    time zone data; major and minor version of transhume. References to secrets stand as `${...}`, never resolved.
    Of a part, the content of the whole plan.
    """
    plan = plan.whole
    return {
        "transhume": ".".join(__version__.split(".")[:2]),
        "time zone data": importlib.metadata.version("tzdata"),
        "lookup files": {name: table.sha256 for name, table in sorted(plan.origin.lookups.items())},
        "plan": {key: value for key, value in _plain(plan).items() if key not in _NOT_OF_A_RUN},
    }


def plan_diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs between two contents, one sentence each; empty if their hashes are equal."""
    return list(_differences(old, new, ()))


def _plain(value: Any, *, is_ordered: bool = False) -> Any:
    """Return a value as JSON values that read like the plan; mappings are sorted unless their order counts."""
    if isinstance(value, Copy):
        value = value.column
    if isinstance(value, Mapping):
        made = {str(key): _plain(each) for key, each in value.items()}
        return made if is_ordered else dict(sorted(made.items()))
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, BaseModel):
        return _model(value)
    return _scalar(value)


def _scalar(value: Any) -> Any:
    match value:
        case ColumnRef():
            return value.name
        case Constant():
            return {"value": value.text}
        case Otherwise():
            return {"value": value.text} if value.action == "literal" else value.action
        case None | bool() | int() | float():
            return value
    return str(value)


def _model(model: BaseModel) -> dict[str, Any]:
    made = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if field.is_required() or value != field.get_default(call_default_factory=True, validated_data={}):
            made[field.alias or name] = _plain(value, is_ordered=name in _ORDERED)
    if isinstance(model, Rule):
        # The verb first, as a plan has it; a rule without a value under its verb keeps its name all the same.
        return {model.verb: made.pop(model.verb, None), **dict(sorted(made.items()))}
    return dict(sorted(made.items()))


def _differences(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[str]:
    if old == new:
        if path and path[-1] in _ORDERED and isinstance(old, Mapping) and list(old) != list(new):
            yield f"{_where(path)}: the order is another"
            return
        if isinstance(old, Mapping):
            for key in old:
                yield from _differences(old[key], new[key], (*path, key))
        return
    if not isinstance(old, Mapping) or not isinstance(new, Mapping) or _is_rule(path):
        yield f"{_where(path)}: was {_shown(old)}, is now {_shown(new)}"
        return
    for key in [*old, *(key for key in new if key not in old)]:
        below = (*path, str(key))
        if key not in new:
            yield f"{_where(below)} is gone (it was {_shown(old[key])})"
        elif key not in old:
            yield f"{_where(below)} is new: {_shown(new[key])}"
        else:
            yield from _differences(old[key], new[key], below)


def _is_rule(path: tuple[str, ...]) -> bool:
    return len(path) == len(("plan", "tables", "x", "columns", "y")) and path[3] in {"columns", "types", "join"}


def _where(path: tuple[str, ...]) -> str:
    inside = path[1:] if path[:1] == ("plan",) else path
    return f"'{'.'.join(inside)}'"


def _shown(value: Any) -> str:
    text = _flow(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."


def _flow(value: Any) -> str:
    """Return a value as the plan writes it in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(each) for each in value) + "]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)
