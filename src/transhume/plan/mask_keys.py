"""The keys of the rules that mask: looked up when values are computed, handed on in memory only."""

from collections.abc import Iterator

from transhume.errors import Finding, PlanError
from transhume.plan.model import Plan
from transhume.plan.places import at_column

KEY_BYTES_MIN = 16
"""A shorter key can be found by trying all of them against one known value."""


def mask_keys(plan: Plan) -> dict[str, bytes]:
    """Return the key of every reference that masking rules use, by the name inside of `${...}`.

    Raises: PlanError for each reference without a value and each key that is too short; no key is in a message.
    """
    keys: dict[str, bytes] = {}
    findings: list[Finding] = []
    resolver = plan.origin.resolver
    for mapping in plan.tables.values():
        for column, reference in _references(plan, mapping.name):
            missing = resolver.missing(reference)
            key = b"" if missing else resolver.resolve(reference).reveal().encode()
            if missing:
                message, cure = missing[0], "set it in the environment, or in the file '.env' beside the plan"
            else:
                message = f"the key '{reference}' has {len(key)} bytes; {KEY_BYTES_MIN} are the least"
                cure = "make one by 'openssl rand -hex 32', and keep it as long as masked values must stay comparable"
            if missing or len(key) < KEY_BYTES_MIN:
                findings.append(at_column(plan, mapping, column, "variable", message, cure))
            keys[reference[2:-1]] = key
    if findings:
        raise PlanError(findings)
    return keys


def _references(plan: Plan, mapping: str) -> Iterator[tuple[str, str]]:
    for column, rule in plan.tables[mapping].columns.items():
        for reference in dict.fromkeys(rule.secrets()):
            yield column, reference
