"""The rules by verb: one file each. `RULES` is the whole list; a new rule is one file and one line here."""

from collections.abc import Mapping
from typing import Any

from transhume.rules.rule import Rule

RULES: dict[str, type[Rule]] = {}


def parse_rule(node: Any, context: Mapping[str, Any]) -> Rule:
    """Turn a node of the plan into a rule: a bare word copies a column, a mapping's verb names the rule."""
    raise NotImplementedError
