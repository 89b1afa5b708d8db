"""Business rules on the rows of a target: the plan's row checks, domains of columns, forms of references to artefacts.

Each gives a SELECT of wrong rows. NULL: a condition that is NULL counts as passed, as everywhere in a plan; a domain
says nothing of NULL, which NOT NULL forbids where it must not be.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from transhume.batches import TargetTable
from transhume.checks.rows import Rows, rows_of
from transhume.expressions import parse
from transhume.operations import RegexMatches
from transhume.plan.model import NamesLookup, Plan, RowCheck, TableMapping
from transhume.rules.rule import Rule
from transhume.rules.trees import every, is_present, is_true, negated, some
from transhume.schema import Kind

ARTEFACT = r"[a-z][a-z0-9+.-]*://[^/?#]+(/[^/]+)+"
"""What a rewritten path must look like: scheme, host or bucket, and at least one name below it (RFC 3986)."""


@dataclass(frozen=True, slots=True)
class BusinessRule:
    """One rule: the check's name, what it covers, how bad a violation is, the condition of a wrong row."""

    name: str
    covered: str
    severity: str
    wrong: exp.Expression
    column: str = ""


def business_rules(
    plan: Plan, mapping: TableMapping, target: TargetTable, names: Mapping[str, str]
) -> Iterator[BusinessRule]:
    """Yield the rules that rows of a mapping must keep; conditions are over the columns `names` of a file `p`."""
    for check in mapping.checks:
        severity = "warning" if check.then == "warn" else "error"
        yield BusinessRule(f"check:{check.name}", check.sql, severity, _violated(check, target, names))
    for name, rule in mapping.columns.items():
        column = target.table.column(name)
        if column is None or column.type is None or column.type.kind is not Kind.TEXT:
            continue
        value = exp.column(names[name], "p", quoted=True)
        allowed = _domain(plan, rule)
        if allowed is not None:
            texts = [exp.Literal.string(text) for text in sorted(allowed)]
            strange = exp.Not(this=exp.In(this=value.copy(), expressions=texts))
            yield BusinessRule("domain", f"{name} is one of {len(allowed)} values of the plan", "error", strange, name)
        if rule.verb == "path" and all("://" in form.to for form in getattr(rule, "forms", list)()):
            whole = RegexMatches(this=value.copy(), pattern=exp.Literal.string(ARTEFACT))
            wrong = every([is_present(value), exp.Not(this=whole)])
            yield BusinessRule("artefact_form", f"{name} is scheme://place/name", "error", wrong, name)


def wrong_rows(rule: BusinessRule, target: TargetTable, names: Mapping[str, str], rows: Rows) -> exp.Select:
    """Return the SELECT of the keys of the rows that break a rule."""
    keys = [exp.column(names[name], "p", quoted=True) for name in target.key or names]
    return exp.select(*keys).from_(rows_of(rows, "p")).where(rule.wrong.copy())


def _violated(check: RowCheck, target: TargetTable, names: Mapping[str, str]) -> exp.Expression:
    types = {column.name: column.type for column in target.table.columns}
    checked = parse(check.sql).check_condition(types.get)

    def column(name: str) -> exp.Expression:
        return exp.column(names[name], "p", quoted=True)

    misfit = checked.misfit_to_sql(column)
    broken = is_true(negated(checked.to_sql(column)))
    return broken if misfit is None else some([broken, misfit])


def _domain(plan: Plan, rule: Rule) -> set[str] | None:
    """Return the texts that a rule can give, None where it can give any."""
    # The `otherwise` of a `case` is a value of its own, not what becomes of a value that is not known.
    otherwise = getattr(rule, "otherwise", None) if rule.verb in {"codes", "names"} else None
    if otherwise is None or otherwise.action == "keep":
        return None
    extra = {otherwise.text} if otherwise.action == "literal" else set[str]()
    if rule.verb == "codes":
        labels: Mapping[str, str | None] = getattr(rule, "to", {})
        return {label for label in labels.values() if label is not None} | extra
    if rule.verb == "names":
        lookup = plan.lookups.get(getattr(rule, "name", ""))
        return set(lookup.names) | extra if isinstance(lookup, NamesLookup) else None
    return None


def columns_with(mapping: TableMapping, verbs: Sequence[str]) -> list[str]:
    """Return the target columns whose rule is one of these."""
    return [name for name, rule in mapping.columns.items() if rule.verb in verbs]
