"""The relation of a `gather`: for every key of a table, the JSON object of its rows' names and values.

Columns of the relation: `k0`, `k1` .. the table's `on` columns in the types of `scope.key_type`; `object`, NULL where
one of these holds: `many`, a name stands twice; `bad`, a row has no name, or its name or value is no text or holds
U+0000. One row per key, none for a NULL key.
"""

import json

from sqlglot import exp

from transhume import operations as op
from transhume.compiler.children import child_scope
from transhume.compiler.layers import select_from, sorted_by
from transhume.compiler.reasons import none_of
from transhume.compiler.scope import key_type
from transhume.facts import Facts, Need
from transhume.plan.model import Plan
from transhume.rules.rule import ColumnRef
from transhume.rules.trees import every, is_present, is_true, negated, some
from transhume.schema import BOOLEAN, JSON, LogicalType

_NAME, _VALUE = "name", "value"


def gather_columns(need: Need, facts: Facts) -> dict[str, LogicalType]:
    """Return the columns of a gather's relation; see the module."""
    on, _, _ = json.loads(need.argument)
    keys = {f"k{place}": key_type(facts.extracts[need.subject], column) for place, column in enumerate(on)}
    return {**keys, "object": JSON, "many": BOOLEAN, "bad": BOOLEAN}


def compile_gather(plan: Plan, need: Need, facts: Facts) -> exp.Select:
    """Return the SELECT over a table's whole extract that gives the relation of a gather; see the module."""
    on, name_column, value_column = json.loads(need.argument)
    scope = child_scope(plan, need.subject, on, facts)
    keys = {f"k{place}": part.value for place, part in enumerate(scope.key())}
    usable = [is_present(part.value) for part in scope.key()]
    usable += [none_of(part.reasons) for part in scope.key() if part.reasons]
    texts = {_NAME: scope.as_text(ColumnRef(name_column)), _VALUE: scope.as_text(ColumnRef(value_column))}
    sound = [is_present(texts[_NAME].value)]
    sound += [none_of(text.reasons) for text in texts.values() if text.reasons]
    sound += [negated(is_true(op.HasNul(this=text.value.copy()))) for text in texts.values()]
    is_sound = scope.bind(every(sound))
    values = {column: exp.Case(ifs=[exp.If(this=is_sound, true=text.value)]) for column, text in texts.items()}
    rows = scope.layers.select({**keys, **values}, where=every(usable))
    names = {key: exp.column(key, quoted=True) for key in keys}
    name = exp.column(_NAME, quoted=True)
    counts: dict[str, exp.Expression] = {
        "all": exp.Count(this=exp.Star()),
        "named": exp.Count(this=name),
        "different": exp.Count(this=exp.Distinct(expressions=[name.copy()])),
        "object": op.GatheredObject(this=name.copy(), expression=exp.column(_VALUE, quoted=True)),
    }
    grouped = select_from(rows, {**names, **counts}, "children")
    grouped = grouped.group_by(*(column.copy() for column in names.values()), copy=False)
    named = exp.column("named", quoted=True)
    many = exp.GT(this=named, expression=exp.column("different", quoted=True))
    bad = exp.GT(this=exp.column("all", quoted=True), expression=named.copy())
    whole = exp.Case(ifs=[exp.If(this=negated(some([many, bad])), true=exp.column("object", quoted=True))])
    outer = select_from(grouped, {**names, "object": whole, "many": many, "bad": bad}, "gathered")
    return sorted_by(outer, list(keys))
