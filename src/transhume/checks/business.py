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
from transhume.plan.artefacts import FORMS, SHOWN, ArtefactColumn, artefact_columns
from transhume.plan.model import NamesLookup, Plan, RowCheck, TableMapping
from transhume.rules.rule import Rule
from transhume.rules.trees import every, is_present, is_true, negated, some
from transhume.schema import Kind


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
    for check in mapping.row_checks:
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
    for reference in artefact_columns(mapping):
        column = target.table.column(reference.name)
        if column is not None and column.type is not None and column.type.kind is Kind.TEXT:
            yield _artefact_form(reference, exp.column(names[reference.name], "p", quoted=True))


def _artefact_form(reference: ArtefactColumn, value: exp.Expression) -> BusinessRule:
    whole = [RegexMatches(this=value.copy(), pattern=exp.Literal.string(FORMS[form])) for form in reference.forms]
    right = whole[0] if len(whole) == 1 else exp.Paren(this=some(whole))
    wrong: list[exp.Expression] = [is_present(value), exp.Not(this=right)]
    if reference.plain is not None:
        wrong.append(exp.NEQ(this=value.copy(), expression=exp.Literal.string(reference.plain)))
    shown = " or ".join(SHOWN[form] for form in reference.forms)
    return BusinessRule("artefact_form", f"{reference.name} is {shown}", "error", every(wrong), reference.name)


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
