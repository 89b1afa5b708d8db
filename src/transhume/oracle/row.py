"""One extracted row to the target row that the plan makes of it, or to the reasons why there is none."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transhume.batches import TargetTable
from transhume.expressions import parse
from transhume.oracle.reading import (
    AMBIGUOUS,
    Children,
    Field,
    JoinedRow,
    ParentFate,
    Read,
    RowScope,
    make_condition,
    make_key_reader,
    make_reader,
)
from transhume.plan.model import Plan, RowCheck, TableMapping
from transhume.plan.types import SourceTypes
from transhume.rules.rule import Argument, ColumnRef, Rule
from transhume.schema import LogicalType, Table

Evaluate = Callable[[Callable[[str], Any]], tuple[Any, bool]]
_READERS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Expected:
    """What must become of a row: `fate` is `loaded`, `rejected`, `filtered` or `deduplicated`.

    `reasons` of a rejected row, in rule order, each once; `values` of a loaded row by target column, in the types
    of `rules.rule.Outcome`; `warnings` of a loaded row are `warn:check` and `stop:check`.
    """

    fate: str
    reasons: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Oracle:
    """Recomputes rows of one table mapping, one at a time.

    What does not depend on the row is settled once: types, conversions, labels, conditions. The rules' Python twins
    are asked for every row, or once for every distinct value where a rule reads values that are equal only if they
    are the same.
    """

    def __init__(
        self,
        plan: Plan,
        mapping: TableMapping,
        target: TargetTable,
        sources: Mapping[str, Table],
        *,
        lookups: Mapping[str, Mapping[str, str | None]] | None = None,
        parent_fate: ParentFate | None = None,
        children: Children | None = None,
    ) -> None:
        """Take the plan, what the target must hold, the source tables, and what lookups and parents are.

        `lookups` hold key text to value text by lookup; `parent_fate(mapping, key texts)` is None for no such row;
        `children` is `Relatives.children`, for plans that gather.
        """
        self.plan, self.mapping, self.target = plan, mapping, target
        self.types = SourceTypes(mapping, sources)
        self.lookups = lookups or {}
        self.children = children
        self.parent_fate = parent_fate or (lambda _mapping, _key: None)
        self._results: dict[tuple[int, LogicalType | None], LogicalType] = {}
        self._readers: dict[tuple[str | int, int], tuple[Read, Any]] = {}
        self._key_readers: dict[str, Read] = {}
        self._condition_readers: dict[str, Read] = {}
        self._fields: list[Field] | None = None
        self._checks: list[tuple[RowCheck, Evaluate]] | None = None

    def expected_row(
        self,
        row: Mapping[str, Any],
        joined: Mapping[str, JoinedRow] | None = None,
        *,
        duplicate: bool = False,
        dedupe: str = "",
    ) -> Expected:
        """Return what must become of one extracted row.

        `row` holds each source column's value: as the extract carries it, `Odd` where its class is not the column's.
        `joined` gives for each alias the row that was found, None, or AMBIGUOUS. `duplicate` says that another row
        has the same key; `dedupe` is `lost` where a better row stands for this one, `tied` where others win equally.
        """
        scope = RowScope(self, row, joined or {})
        left_out, reasons = self._own_reasons(scope, duplicate, dedupe)
        if left_out:
            return Expected(left_out)
        for alias in self.mapping.join:
            reasons += self._join_reasons(scope, alias)
        values: dict[str, Any] = {}
        for each in self.fields():
            values[each.name], own = each.of(scope)
            if own:
                reasons += own
        warnings: list[str] = []
        for check, evaluate in self._row_checks():
            holds, misfit = evaluate(values.__getitem__)
            # NULL counts as passed; a number that does not fit leaves the condition unknown, which must not pass.
            if holds is False or misfit:
                if check.then == "reject":
                    reasons.append(f"check:{check.name}")
                else:
                    warnings.append(f"{check.then}:{check.name}")
        if reasons:
            return Expected("rejected", tuple(dict.fromkeys(reasons)))
        return Expected("loaded", (), values, tuple(warnings))

    def _own_reasons(self, scope: RowScope, duplicate: bool, dedupe: str) -> tuple[str, list[str]]:
        """Return the fate of a row that is left out, else "", and the reasons of `where`, key and `dedupe`."""
        mapping = self.mapping
        reasons: list[str] = []
        if mapping.where is not None:
            where = scope.condition(mapping.where)
            if not where.reasons and where.value is not True:
                return "filtered", []
            reasons += where.reasons
        if dedupe == "lost":
            return "deduplicated", []
        reasons += self._key_reasons(scope, duplicate)
        if dedupe == "tied" and mapping.dedupe is not None:
            reasons.append(f"tied:{','.join(mapping.dedupe.by)}")
        return "", reasons

    def read(self, row: Mapping[str, Any], joined: Mapping[str, JoinedRow] | None = None) -> RowScope:
        """Return what can be asked about one row beside these joined ones; see `expected_row`."""
        return RowScope(self, row, joined if joined is not None else {})

    def key_texts(
        self, arguments: Sequence[Argument], row: Mapping[str, Any], joined: Mapping[str, JoinedRow]
    ) -> tuple[str, ...] | None:
        """Return the key that arguments (of `key`, `on` or a reference) make of a row, None where a part has none."""
        scope = RowScope(self, row, joined)
        parts = []
        for argument in arguments:
            outcome = scope.key_part(argument.name) if isinstance(argument, ColumnRef) else scope.as_text(argument)
            if outcome.value is None or outcome.reasons:
                return None
            parts.append(str(outcome.value))
        return tuple(parts)

    def is_filtered(self, row: Mapping[str, Any], joined: Mapping[str, JoinedRow]) -> bool:
        """Say whether the mapping's `where` leaves a row out."""
        if self.mapping.where is None:
            return False
        where = RowScope(self, row, joined).condition(self.mapping.where)
        return not where.reasons and where.value is not True

    def fields(self) -> "list[Field]":
        """Return the target columns with what settles their values, in the order of the plan."""
        if self._fields is None:
            columns = [(rule, self.target.table.column(name)) for name, rule in self.mapping.columns.items()]
            self._fields = [Field(self, rule, column) for rule, column in columns if column is not None]
        return self._fields

    def result(self, rule: Rule, wanted: LogicalType | None) -> LogicalType:
        """Return the type of a rule's value; asked once for each rule of the plan, not once a row."""
        known = self._results.get((id(rule), wanted))
        if known is None:
            known = self._results[id(rule), wanted] = rule.result(self.types, wanted)
        return known

    def reader(self, argument: Argument, wanted: LogicalType | None) -> "Read":
        """Return the function that gives an argument's value, converted to `wanted`, for any row."""
        key = (argument.name if isinstance(argument, ColumnRef) else id(argument), id(wanted))
        found = self._readers.get(key)
        if found is None:
            read = make_reader(self, argument, wanted)
            if len(self._readers) >= _READERS_MAX:
                self._readers.clear()
            # Argument and type are kept with it, so that no other object gets their identity.
            found = self._readers[key] = (read, (argument, wanted))
        return found[0]

    def key_reader(self, name: str) -> "Read":
        """Return the function that gives a column of any row as it identifies rows."""
        found = self._key_readers.get(name)
        if found is None:
            found = self._key_readers[name] = make_key_reader(self, name)
        return found

    def condition_reader(self, text: str) -> "Read":
        """Return the function that gives a condition over source columns, with the reasons of what it reads."""
        found = self._condition_readers.get(text)
        if found is None:
            found = self._condition_readers[text] = make_condition(self, text)
        return found

    def _row_checks(self) -> "list[tuple[RowCheck, Evaluate]]":
        if self._checks is None:
            types = {column.name: column.type for column in self.target.table.columns}
            self._checks = [
                (check, parse(check.sql).check_condition(types.get).evaluator()) for check in self.mapping.checks
            ]
        return self._checks

    def _key_reasons(self, scope: RowScope, duplicate: bool) -> Iterator[str]:
        for name in self.mapping.key:
            value, reasons = scope.key_part(name)
            if value is None:
                yield from reasons or (f"null_key:{name}",)
        if duplicate:
            yield f"duplicate_key:{','.join(self.mapping.key)}"

    def _join_reasons(self, scope: RowScope, alias: str) -> Iterator[str]:
        join = self.mapping.join[alias]
        bad = [reason for name in join.on.values() for reason in scope.key_part(name).reasons]
        yield from bad
        found = scope.joined.get(alias)
        if found is AMBIGUOUS:
            yield f"ambiguous:{alias}"
        elif found is None and join.none == "reject" and not bad:
            yield f"no_match:{alias}"
