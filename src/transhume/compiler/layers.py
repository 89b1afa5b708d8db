"""Nested SELECTs that evaluate each expression once per row: a scan, then layer upon layer of named values.

Nothing here knows a plan, a rule or a type.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce

from sqlglot import exp

from transhume import operations as op


@dataclass(slots=True)
class _Join:
    relation: exp.Expression
    on: Mapping[str, exp.Expression]
    alias: str
    is_small: bool
    outputs: dict[str, str] = field(default_factory=dict)
    """Column of the relation to the name under which the layer hands it on."""
    computed: dict[str, exp.Expression] = field(default_factory=dict)
    """Further columns of the relation: operations on its own columns."""

    def rows(self, wanted: set[str]) -> exp.Expression:
        """Return the relation with those of the computed columns that are wanted, and with what these are made of."""
        needed = {name for name in self.computed if self.outputs[name] in wanted}
        # One may be made of another: each names only those before it, so one pass from the last to the first finds all.
        for name, value in reversed(self.computed.items()):
            if name in needed:
                needed |= _names_in([value]) & self.computed.keys()
        computed = {name: value for name, value in self.computed.items() if name in needed}
        return with_columns(self.relation, computed) if computed else self.relation.copy()


@dataclass(slots=True)
class _Layer:
    values: dict[str, exp.Expression] = field(default_factory=dict)
    joins: list[_Join] = field(default_factory=list)

    def made(self) -> set[str]:
        return {*self.values, *(name for join in self.joins for name in join.outputs.values())}


class Layers:
    """Collects expressions and joins over one scan, then prints them as nested SELECTs.

    A name that `bind` or `join` returned can be used in any later expression, as often as wanted: it is
    computed in one layer and only handed on by those above. What nothing uses is left out.
    """

    def __init__(self, rows: exp.Expression, columns: Iterable[str]) -> None:
        """Start from a table expression whose columns have these names, unique without regard to case."""
        self._rows = rows
        self._depths = dict.fromkeys(columns, 0)
        self._taken = {name.casefold() for name in self._depths}
        self._layers: list[_Layer] = []
        self._bound: dict[exp.Expression, str] = {}
        self._joined: dict[tuple[exp.Expression, frozenset[tuple[str, exp.Expression]]], _Join] = {}
        self._origins: dict[str, exp.Expression] = {}
        self._joined_names: dict[str, tuple[_Join, str]] = {}

    def column(self, name: str) -> exp.Column:
        """Return a reference to a column of the scan."""
        assert name in self._depths, name
        return exp.column(name, quoted=True)

    def bind(self, expression: exp.Expression) -> exp.Column:
        """Return a name for the expression's value; the same expression gets the same name."""
        if isinstance(expression, exp.Column) and expression.name in self._depths:
            return expression.copy()
        name = self._bound.get(expression)
        if name is None and (pushed := self._pushed(expression)) is not None:
            return pushed
        if name is None:
            kept = self._with_captures_named(self._with_branches_pushed(expression.copy()))
            name = self._fresh("v")
            depth = self._depth_of([kept]) + 1
            self._layer(depth).values[name] = kept
            self._depths[name] = depth
            self._bound[expression.copy()] = name
            self._origins[name] = kept
        return exp.column(name, quoted=True)

    def join(
        self,
        relation: exp.Expression,
        on: Mapping[str, exp.Expression],
        *,
        is_small: bool = False,
        is_large: bool = False,
    ) -> Callable[[str], exp.Column]:
        """Left-join a table expression that has at most one row per key on its columns being equal.

        Returns a function from a column of the relation to a reference.
        `is_small`: it has far fewer rows than the scan, so an operation on one of its columns is computed there.
        `is_large`: it has more rows than the scan, so the engine is told to hold only those whose key occurs.
        """
        if is_large:
            relation = self._restricted(relation, on)
        key = (relation, frozenset(on.items()))
        made = self._joined.get(key)
        if made is None:
            keys = {name: value.copy() for name, value in on.items()}
            made = _Join(relation.copy(), keys, self._fresh("r"), is_small)
            depth = self._depth_of(made.on.values()) + 1
            self._layer(depth).joins.append(made)
            self._joined[key] = made
        return partial(self._output, made)

    def origin(self, expression: exp.Expression) -> exp.Expression:
        """Return the expression that a name stands for; anything else is its own origin."""
        if isinstance(expression, exp.Column) and not expression.table:
            return self._origins.get(expression.name, expression)
        return expression

    def select(self, outputs: Mapping[str, exp.Expression], where: exp.Expression | None = None) -> exp.Select:
        """Return the SELECT of these columns over all layers."""
        wanted = [*outputs.values(), *([where] if where is not None else [])]
        rows, alias = self._nest(_names_in(wanted))
        query = select_from(rows, outputs, alias)
        return query.where(where.copy(), copy=False) if where is not None else query

    def _nest(self, wanted: set[str]) -> tuple[exp.Expression, str]:
        """Return what gives the wanted names, outermost layer last, and its alias."""
        steps: list[tuple[int, set[str], list[_Join]]] = []
        for depth in range(len(self._layers), 0, -1):
            layer = self._layers[depth - 1]
            made = layer.made()
            if not wanted & made:
                continue
            joins = [join for join in layer.joins if wanted & set(join.outputs.values())]
            steps.append((depth, wanted, joins))
            below = [layer.values[name] for name in wanted & set(layer.values)]
            wanted = (wanted - made) | _names_in([*below, *(key for join in joins for key in join.on.values())])
        rows, alias = self._rows.copy(), "l0"
        for depth, names, joins in reversed(steps):
            rows, alias = self._step(depth, names, joins, rows, alias), f"l{depth}"
        return rows, alias

    def _step(
        self, depth: int, names: set[str], joins: Sequence[_Join], rows: exp.Expression, below: str
    ) -> exp.Expression:
        layer = self._layers[depth - 1]
        # Names of a relation's columns may equal names below, so a layer with joins says whose each one is.
        prefix = below if joins else None
        columns: dict[str, exp.Expression] = {}
        order = {name: place for place, name in enumerate(self._depths)}
        for name in sorted(names, key=order.__getitem__):
            if name in layer.values:
                columns[name] = _qualified(layer.values[name], prefix)
            elif self._depths[name] < depth:
                columns[name] = exp.column(name, table=prefix, quoted=True)
        for join in joins:
            columns |= {
                output: exp.column(column, table=join.alias, quoted=True)
                for column, output in join.outputs.items()
                if output in names
            }
        query = select_from(rows, columns, below)
        for join in joins:
            conditions: list[exp.Expression] = [
                exp.column(column, table=join.alias, quoted=True).eq(_qualified(value, below))
                for column, value in join.on.items()
            ]
            query = query.join(_as(join.rows(names), join.alias), on=_all(conditions), join_type="left", copy=False)
        return query

    def _output(self, join: _Join, column: str) -> exp.Column:
        name = join.outputs.get(column)
        if name is None:
            name = join.outputs[column] = self._fresh("v")
            self._depths[name] = self._depth_of(join.on.values()) + 1
            self._joined_names[name] = (join, column)
        return exp.column(name, quoted=True)

    def _pushed(self, expression: exp.Expression) -> exp.Column | None:
        """Return the value of an operation on a small relation's column, computed in the relation; else None.

        Operations give NULL for NULL, so a row without a match has NULL either way.
        """
        if not isinstance(expression, op.Operation) or not isinstance(expression.this, exp.Column):
            return None
        join, column = self._joined_names.get(expression.this.name, (None, ""))
        if join is None or not join.is_small or len(_names_in([expression])) > 1:
            return None
        inside = expression.copy()
        inside.set("this", exp.column(column, quoted=True))
        known = next((name for name, value in join.computed.items() if value == inside), None)
        if known is None:
            known = f"{column} #{len(join.computed)}"
            join.computed[known] = inside
        return self._output(join, known)

    def _with_branches_pushed(self, expression: exp.Expression) -> exp.Expression:
        """Return an operation on a CASE as a CASE of operations, where a branch is a small relation's column."""
        if not isinstance(expression, op.Operation) or not isinstance(expression.this, exp.Column):
            return expression
        choice = self._origins.get(expression.this.name)
        if not isinstance(choice, exp.Case):
            return expression

        def apply(value: exp.Expression) -> exp.Expression:
            inside = expression.copy()
            inside.set("this", value.copy())
            return self._pushed(inside) or inside

        branches = [branch.args["true"] for branch in choice.args["ifs"]]
        joins = [self._joined_names[value.name][0] for value in branches if value.name in self._joined_names]
        if not any(join.is_small for join in joins):
            return expression
        ifs = [exp.If(this=branch.this.copy(), true=apply(branch.args["true"])) for branch in choice.args["ifs"]]
        default = choice.args.get("default")
        return exp.Case(ifs=ifs, default=None if default is None else apply(default))

    def _restricted(self, relation: exp.Expression, on: Mapping[str, exp.Expression]) -> exp.Expression:
        """Return the rows of a relation whose keys occur in the scan, as far as keys are columns of the scan."""
        conditions: list[exp.Expression] = []
        for name, value in on.items():
            key = self.origin(value)
            # One operation more than the join's own key costs little; whatever is longer is not computed twice.
            plain = key.this if isinstance(key, op.Operation) else key
            if isinstance(plain, exp.Column) and self._depth_of([key]) == 0:
                keys = exp.Subquery(this=select_from(self._rows.copy(), {"key": key}))
                conditions.append(exp.In(this=exp.column(name, quoted=True), query=keys))
        return with_columns(relation, {}).where(_all(conditions), copy=False) if conditions else relation

    def _with_captures_named(self, expression: exp.Expression) -> exp.Expression:
        """Name the captures inside an expression, so that those of one pattern stand side by side.

        Engines share the work of equal calls in one SELECT list, but not of calls in the branches of a CASE.
        """
        if isinstance(expression, op.RegexCapture):
            return expression
        for capture in list(expression.find_all(op.RegexCapture)):
            capture.replace(self.bind(capture))
        return expression

    def _layer(self, depth: int) -> _Layer:
        while len(self._layers) < depth:
            self._layers.append(_Layer())
        return self._layers[depth - 1]

    def _depth_of(self, expressions: Iterable[exp.Expression]) -> int:
        return max((self._depths[name] for name in _names_in(expressions)), default=0)

    def _fresh(self, prefix: str) -> str:
        number = len(self._taken)
        while f"{prefix}{number}" in self._taken:
            number += 1
        self._taken.add(f"{prefix}{number}")
        return f"{prefix}{number}"


def select_from(rows: exp.Expression, outputs: Mapping[str, exp.Expression], alias: str = "l0") -> exp.Select:
    """Return the SELECT of these columns over one table expression or query."""
    return exp.select(*_aliased(outputs), copy=False).from_(_as(rows, alias), copy=False)


def with_columns(rows: exp.Expression, columns: Mapping[str, exp.Expression]) -> exp.Select:
    """Return all columns of a table expression or query, and these further ones behind them.

    One that is made of one before it stands in a SELECT around that: not every engine takes a name of its own list.
    """
    level: dict[str, exp.Expression] = {}
    for name, value in columns.items():
        if level.keys() & _names_in([value]):
            rows, level = _with_level(rows, level), {}
        level[name] = value
    return _with_level(rows, level)


def _with_level(rows: exp.Expression, columns: Mapping[str, exp.Expression]) -> exp.Select:
    aliased = [
        exp.Alias(this=value.copy(), alias=exp.to_identifier(name, quoted=True)) for name, value in columns.items()
    ]
    return exp.select(exp.Star(), *aliased, copy=False).from_(_as(rows.copy(), "every"), copy=False)


def sorted_by(query: exp.Select, names: Sequence[str]) -> exp.Select:
    """Return the query with its rows in the order of these columns; NULL has no place in them.

    A relation that lies in the order of its key is read in part by a batch whose rows lie in that order too.
    """
    columns = [exp.Ordered(this=exp.column(name, quoted=True), desc=False, nulls_first=False) for name in names]
    return query.order_by(*columns, copy=False)


def _as(rows: exp.Expression, alias: str) -> exp.Expression:
    name = exp.TableAlias(this=exp.to_identifier(alias, quoted=True))
    if isinstance(rows, exp.Query):
        return exp.Subquery(this=rows, alias=name)
    return exp.Table(this=rows, alias=name)


def _aliased(columns: Mapping[str, exp.Expression]) -> list[exp.Expression]:
    aliased: list[exp.Expression] = []
    for name, value in columns.items():
        plain = isinstance(value, exp.Column) and value.name == name
        label = exp.to_identifier(name, quoted=True)
        aliased.append(value.copy() if plain else exp.Alias(this=value.copy(), alias=label))
    return aliased or [exp.Literal.number(1)]


def _names_in(expressions: Iterable[exp.Expression]) -> set[str]:
    return {column.name for expression in expressions for column in expression.find_all(exp.Column)}


def _all(conditions: Sequence[exp.Expression]) -> exp.Expression:
    return reduce(lambda left, right: exp.And(this=left, expression=right), conditions)


def _qualified(expression: exp.Expression, table: str | None) -> exp.Expression:
    if table is None:
        return expression.copy()
    copied = expression.copy()
    for column in list(copied.find_all(exp.Column)):
        column.set("table", exp.to_identifier(table, quoted=True))
    return copied
