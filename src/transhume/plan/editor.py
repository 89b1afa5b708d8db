"""The plan's language as a JSON Schema, made from the models, for editors that complete and check while one writes.

It knows shapes and names. What a plan means is `check`'s to say.
"""

from typing import Any

from pydantic import BaseModel

from transhume.plan.model import Defaults, FileLookup, Join, Plan, RowCheck, TableCheck, TableMapping
from transhume.rules import RULES

_NAMES: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_SCALAR: dict[str, Any] = {"type": ["string", "number", "boolean"]}


def plan_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12) of `transhume.yaml`."""
    table = _object(
        TableMapping,
        {
            "key": _NAMES,
            "drop": _NAMES,
            "types": {"type": "object", "additionalProperties": {"type": "string"}},
            "columns": {"type": "object", "additionalProperties": {"$ref": "#/$defs/rule"}, "minProperties": 1},
            "join": {"type": "object", "additionalProperties": _object(Join, {"latest": _SCALAR})},
            "checks": {"type": "array", "items": {"anyOf": [_object(RowCheck, {}), _object(TableCheck, {})]}},
        },
        left_out=("name",),
    )
    names = {"type": "object", "additionalProperties": {"type": "array", "items": _SCALAR}}
    lookup = {"anyOf": [_object(FileLookup, {}), names, {"const": "TBD"}]}
    top = _object(
        Plan,
        {
            "transhume": {"enum": [1, "1"]},
            "defaults": _object(Defaults, {}),
            "lookups": {"type": "object", "additionalProperties": lookup},
            "tables": {"type": "object", "additionalProperties": {"$ref": "#/$defs/table"}, "minProperties": 1},
            "ignored_tables": _NAMES,
        },
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "transhume plan",
        **top,
        "$defs": {"table": table, "rule": _rule()},
    }


def _rule() -> dict[str, Any]:
    shapes = []
    for verb, rule in RULES.items():
        keys: dict[str, Any] = {field.alias or name: {} for name, field in rule.model_fields.items()}
        shape = {"type": "object", "properties": keys, "required": [verb], "additionalProperties": False}
        about = (rule.__doc__ or "").strip().split("\n\n")[0]
        shapes.append({**shape, "description": " ".join(about.split())})
    return {"anyOf": [{"type": "string", "description": "a source column, copied"}, {"type": "null"}, *shapes]}


def _object(model: type[BaseModel], known: dict[str, Any], left_out: tuple[str, ...] = ()) -> dict[str, Any]:
    fields = {field.alias or name: field for name, field in model.model_fields.items() if name not in left_out}
    return {
        "type": "object",
        "properties": {name: known.get(name, {}) for name in fields},
        "required": [name for name, field in fields.items() if field.is_required()],
        "additionalProperties": False,
    }
