"""Columns of references to artefacts: which ones a plan fills, how their values look, where one can look for them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from transhume.errors import Finding
from transhume.plan.model import Plan, TableMapping
from transhume.plan.places import at
from transhume.rules.path import Path
from transhume.rules.prefix import Prefix
from transhume.rules.rule import Rule

FORMS = {
    "uri": r"[a-z][a-z0-9+.-]*://[^/?#]+(/[^/]+)+",
    "file": r"file://(/[^/]+)+",
    "path": r"(/[^/]+)+/?",
}
"""What a reference must look like: scheme, host or bucket, and a name below it (RFC 3986); or a file's whole path."""
SHOWN = {"uri": "scheme://place/name", "file": "file:///name", "path": "/name"}
LOOKED_AT = ("s3", "file")
"""Schemes whose places can be asked whether an object is there; a path without one is a local file."""
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")


@dataclass(frozen=True, slots=True)
class ArtefactColumn:
    """A target column of references: the `forms` that its values may have (names of FORMS), and their schemes.

    `plain` is a text that the rule gives without a name, on purpose; no reference.
    """

    name: str
    forms: tuple[str, ...]
    schemes: tuple[str, ...]
    plain: str | None = None


def artefact_columns(mapping: TableMapping) -> Iterator[ArtefactColumn]:
    """Yield the columns of a mapping that hold references to files or objects."""
    for name, rule in mapping.columns.items():
        begins, plain = _begins(rule)
        forms = [_form(begin) for begin in begins]
        if forms and all(forms):
            found = [_SCHEME.match(begin) for begin in begins]
            schemes = [match[1] if match else "file" for match in found]
            yield ArtefactColumn(name, tuple(dict.fromkeys(forms)), tuple(dict.fromkeys(schemes)), plain)


def verified(plan: Plan, mapping: TableMapping) -> str:
    """Return what becomes of a missing artefact: "stop", "warn", or "" where nobody looks."""
    return plan.defaults.verify_artifacts if mapping.verify_artifacts is None else mapping.verify_artifacts


def artefact_findings(plan: Plan, mapping: TableMapping) -> Iterator[Finding]:
    """Yield what a plan wants to be looked at and what cannot be."""
    if not verified(plan, mapping):
        return
    columns = list(artefact_columns(mapping))
    if not columns and mapping.verify_artifacts:
        message = f"'{mapping.name}' has no column of references to artefacts that could be verified"
        cure = "remove 'verify_artifacts'; references are columns made by 'path', or by 'prefix' with a scheme"
        yield at(plan, ("tables", mapping.name, "verify_artifacts"), "artefacts", message, cure)
    for column in columns:
        for scheme in column.schemes:
            if scheme not in LOOKED_AT:
                message = f"whether what '{column.name}' refers to is there cannot be verified: '{scheme}://'"
                cure = "write 'verify_artifacts: false'; s3:// and local files can be looked at"
                yield at(plan, ("tables", mapping.name, "columns", column.name), "artefacts", message, cure)


def _begins(rule: Rule) -> tuple[list[str], str | None]:
    """Return how the values of a rule begin, and what it gives in place of a reference."""
    if isinstance(rule, Path):
        return [form.to for form in rule.forms()], None
    if isinstance(rule, Prefix):
        instead = {"prefix": rule.text, "literal": rule.when_null.text}.get(rule.when_null.action)
        return [rule.text], instead
    return [], None


def _form(begin: str) -> str:
    if begin.startswith("file:///"):
        return "file"
    if _SCHEME.match(begin):
        return "uri"
    return "path" if begin.startswith("/") and begin.count("/") > 1 else ""
