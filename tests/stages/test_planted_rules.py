"""An error planted in the SQL of each rule: what `validate` recomputes and compares finds it, and names its column.

The extract is taken once, and the oracle sees what it always sees; only the SELECT is compiled anew with an error.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sqlglot import exp

from tests.stages.test_relational_runs import make
from transhume import Project
from transhume import operations as op
from transhume.compiler import MappingScope
from transhume.demo import generate, write_project
from transhume.plan.model import TableMapping
from transhume.rules import RULES
from transhume.rules.rule import Rule, Sql
from transhume.schema import FATE, Kind, physical_names
from transhume.stages.check import Prediction
from transhume.stages.context import WorkContext
from transhume.stages.files import write_private_parquet
from transhume.stages.proof.compare import ShownRows, compare
from transhume.stages.proof.prove import gather_evidence
from transhume.stages.proof.recompute import Batch, Difference, Recomputer
from transhume.stages.transform import BUCKET, transform

Change = Callable[[exp.Expression], exp.Expression]
NEWER = """\
tables:
  things:
    from: thing
    key: id
    create: true
    types: {id: bigint primary key, parts: list(text), seen: timestamptz, about: json}
    columns:
      id: id
      size: {case: [{when: "n > 10", then: "big"}, {when: "n > 5", then: "middle"}], otherwise: "small"}
      tags: {gather: tag, on: {thing: id}, name: k, value: v}
      parts: {split: words, by: "|"}
      words: {replace: words, find: "|", by: " "}
      seen: {epoch: n, unit: ms}
      about: {json: [n, words]}
      colour: {json_get: doc, at: /colour}
      masked: {mask: words, key: "${MASK_KEY}"}
"""
TABLES = {
    "thing": (
        "id INTEGER PRIMARY KEY, n INTEGER, words TEXT, doc TEXT",
        [(n, n, f"w{n}|x", f'{{"colour": "red {n}"}}') for n in range(1, 16)],
    ),
    "tag": ("thing INTEGER, k TEXT, v TEXT", [(n, "k", f"v{n}") for n in range(1, 15)]),
}


def _literal(old: str, new: str) -> Change:
    def change(node: exp.Expression) -> exp.Expression:
        is_it = isinstance(node, exp.Literal) and node.is_string and old in node.name
        return exp.Literal.string(node.name.replace(old, new)) if is_it else node

    return change


def _number(old: str, new: str) -> Change:
    return lambda node: exp.Literal.number(new) if node == exp.Literal.number(old) else node


def _instead(kind: type[exp.Expression], other: type[exp.Expression]) -> Change:
    return lambda node: other(**node.args) if type(node) is kind else node


def _without(operation: type[exp.Expression]) -> Change:
    return lambda node: node.this if isinstance(node, operation) else node


def _last_choice(node: exp.Expression) -> exp.Expression:
    return node.args["ifs"][-1].args["true"] if isinstance(node, exp.Case) else node


def _other_truth(node: exp.Expression) -> exp.Expression:
    return exp.Boolean(this=not node.this) if isinstance(node, exp.Boolean) else node


def _blank_added(sql: Sql) -> Sql:
    """Put a blank behind a text."""
    if sql.type.kind is not Kind.TEXT:
        return sql
    return Sql(exp.DPipe(this=sql.value, expression=exp.Literal.string(" ")), sql.type, sql.reasons)


PLANTS: dict[str, Change | None] = {
    "copy": None,
    "uuid": _literal("|", "/"),
    "ref": _literal("loaded", "rejected"),
    "lookup": _literal("00000000", "10000000"),
    "names": None,
    "codes": _literal("Draft", "draft"),
    "utc": _instead(exp.Sub, exp.Add),
    "path": _literal("s3://", "S3://"),
    "prefix": _literal("Migrated", "migrated"),
    "value": _literal("AI_", "ai_"),
    "coalesce": _last_choice,
    "case": _last_choice,
    "concat": _literal("-", "_"),
    "gather": _literal("{}", "[]"),
    "split": _literal("|", ","),
    "replace": _without(op.ReplaceText),
    "parse": _literal("-", "/"),
    "epoch": _number("1000", "1001"),
    "boolean": _other_truth,
    "scale": _literal("1048576", "1000000"),
    "json": _literal("words", "word"),
    "json_get": _literal("/colour", "/color"),
    "mask": _literal("MASK_KEY", "OTHER_KEY"),
    "sql": _instead(op.IntegerProduct, op.IntegerSum),
}
"""One error a rule; None is `_blank_added`, where the SQL is a column and no operation. A new rule needs its own."""


class Validated:
    """A project whose source was extracted and transformed once; what validation says of any mapping of it."""

    def __init__(self, context: WorkContext) -> None:
        """Extract, prepare the relations of all tables, and keep the run's own fates for those who refer to them."""
        self.context = context
        for _ in Prediction(context).events():
            pass
        self._evidence = gather_evidence(context)

    def using(self, verb: str) -> list[TableMapping]:
        """Return the mappings with a rule of this verb, nested ones too."""
        mappings = self.context.plan.tables.values()
        return [mapping for mapping in mappings if any(_uses(rule, verb) for rule in mapping.columns.values())]

    def differences(self, mapping: TableMapping) -> list[Difference]:
        """Transform a mapping with the rules as they are now, and hold what comes out against the oracle."""
        context, target = self.context, self.context.tables[mapping.name]
        work = context.folder.work
        present, fates = Path("planted.parquet"), []
        names = physical_names(column.name for column in target.table.columns)
        good = []
        for made in transform(context, mapping, context.segments[mapping.from_]):
            with made.open() as rows:
                kept = rows.select([name for name in rows.column_names if name.startswith("_")])
                fates.append(Path(f"planted-{made.segment.index}.parquet"))
                write_private_parquet(work / fates[-1], kept.append_column(BUCKET, rows[FATE]))
                loaded = rows.filter(pc.equal(rows[FATE], "loaded"))
                held = [loaded[names[name]].cast(target.arrow_schema.field(name).type) for name in names]
                good.append(pa.table(held, names=list(names.values())))
        write_private_parquet(work / present, pa.concat_tables(good))
        evidence = replace(self._evidence, fates={**self._evidence.fates, mapping.name: fates})
        shown = ShownRows(context.engine, work, target, str(present), [table.num_rows for table in good])
        recomputer, found = Recomputer(evidence, frozenset()), []
        for segment in evidence.segments[mapping.from_]:
            part = recomputer.recompute(Batch(mapping.name, segment.index, "expected.parquet"))
            compare(shown, work, mapping, target, part)
            found += part.differences
        return found


def _uses(rule: Rule, verb: str) -> bool:
    return rule.verb == verb or any(_uses(each, verb) for each in rule.arguments() if isinstance(each, Rule))


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Validated]]:
    """The demo, and a small plan with the rules that the demo does not use."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "demo").mkdir()
    write_project(folder / "demo")
    generate(folder / "demo" / "legacy.db", 60, seed=5)
    urls = {"LEGACY_URL": "sqlite:///legacy.db", "PLATFORM_URL": "iceberg:./lake?namespace=ai"}
    demo = Project(folder / "demo", environment=urls)
    newer = make(folder / "newer", NEWER, TABLES, MASK_KEY="k" * 40)
    with ExitStack() as stack:
        contexts = []
        for project in (demo, newer):
            systems = stack.enter_context(project._place.systems())
            systems.require_sound()
            contexts.append(Validated(stack.enter_context(project._place.scratch(systems))))
        yield contexts


def test_without_an_error_nothing_differs(validated: list[Validated]) -> None:
    """Every mapping of both plans, in the state that no test has touched."""
    for each in validated:
        for mapping in each.context.plan.tables.values():
            if mapping.name != "experiment_logs":  # whose keys are not unique, which is no matter of a rule
                assert each.differences(mapping) == [], mapping.name


@pytest.mark.parametrize("verb", sorted(RULES))
def test_an_error_in_the_sql_of_a_rule_is_found(
    validated: list[Validated], verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the demo's rows where its plan uses the rule; a difference names a column of the rule, a fate, or a key."""
    change = PLANTS[verb]
    whole, bind = RULES[verb].to_sql, MappingScope.bind
    inside = []

    def to_sql(rule: Rule, scope: MappingScope, wanted: object) -> Sql:
        inside.append(verb)
        made = whole(rule, scope, wanted)  # type: ignore[arg-type]
        inside.pop()
        return _blank_added(made) if change is None else Sql(made.value.transform(change), made.type, made.reasons)

    def bound(scope: MappingScope, expression: exp.Expression) -> exp.Column:
        is_planted = inside and change is not None
        return bind(scope, expression.copy().transform(change) if is_planted else expression)

    monkeypatch.setattr(RULES[verb], "to_sql", to_sql)
    monkeypatch.setattr(MappingScope, "bind", bound)
    place = next(each for each in validated if each.using(verb))
    found: list[Difference] = []
    for mapping in place.using(verb):
        found = place.differences(mapping)
        if found:
            columns = {name for name, rule in mapping.columns.items() if _uses(rule, verb)}
            assert {each.column for each in found} & {*columns, "(fate)", "(row)"}
            break
    assert found, f"an error in the SQL of '{verb}' was not found"
