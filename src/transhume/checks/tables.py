"""Checks on whole tables: the target's side as a SELECT of numbers, and what numbers of both sides say. No I/O here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import isfinite

from sqlglot import exp

from transhume.batches import TargetTable
from transhume.checks import CheckResult
from transhume.checks.personal import masked, suspicion
from transhume.checks.rows import Rows, rows_of
from transhume.expressions import parse
from transhume.expressions.aggregates import DISTINCT, FOUND, LEAST, MOST, ROWS, SIZE, TOTAL, aggregates
from transhume.facts import Cell
from transhume.plan.model import TableCheck
from transhume.plan.table_check import Bound
from transhume.rules.trees import every, is_true, some
from transhume.schema import LogicalType
from transhume.words import counted

KEPT = ("loaded", "unchanged", "updated")
"""Buckets of the source rows that the target holds with the content that the rules give."""
_EPSILON = Fraction(1, 2**52)
_DIALECTS = {"mysql": "mysql", "mariadb": "mysql", "sqlite": "sqlite", "postgresql": "postgres", "postgres": "postgres"}


def query_dialect(identity: str, side: str) -> str:
    """Return the dialect in which a system is asked by a plan's query, "" where it answers none.

    A lake answers no SQL by itself: its rows are asked in DuckDB's.
    """
    scheme = identity.partition(":")[0].lower()
    return "duckdb" if (scheme, side) == ("iceberg", "target") else _DIALECTS.get(scheme, "")


@dataclass(frozen=True, slots=True)
class Numbers:
    """What one side gave: aggregates by their names (`expressions.aggregates`)."""

    found: Mapping[str, Cell]
    unread: int = 0
    """Rows with a value that cannot be read; it counts as NULL."""
    misfits: int = 0
    """Rows whose calculation does not fit its type."""

    @property
    def rows(self) -> int:
        """How many rows were looked at."""
        return int(self.found[ROWS] or 0)


def target_numbers(
    check: TableCheck, target: TargetTable, names: Mapping[str, str], rows: Rows
) -> tuple[exp.Select, LogicalType | None]:
    """Return the SELECT of one row with the numbers of the target's side, and the type of what is counted or measured.

    Conditions are over the columns `names` of the rows, called `p`.
    """
    types = {column.name: column.type for column in target.table.columns}
    text, where = check.target, check.where.target

    def column(name: str) -> exp.Expression:
        return exp.column(names[name], "p", quoted=True)

    value = kind = misfit = None
    if text is not None:
        checked = parse(text).check(types.get)
        value, kind, misfit = checked.to_sql(column), checked.type, checked.misfit_to_sql(column)
    numbers = aggregates(check.compare or "count", value, kind)
    if misfit is not None:
        numbers["misfit"] = exp.Count(this=exp.Case(ifs=[exp.If(this=misfit, true=exp.true())]))
    select = exp.select(*[exp.alias_(number, name, quoted=True) for name, number in numbers.items()])
    select = select.from_(rows_of(rows, "p"))
    if where is not None:
        select = select.where(is_true(parse(where).check_condition(types.get).to_sql(column)))
    return select, kind


def has_key_in(alias: str, keys: Sequence[tuple[Sequence[str], Mapping[str, str]]]) -> exp.Expression:
    """Return the condition that the key of a row, called `alias`, stands in one of some files.

    Each of `keys` gives files and, for each of their key columns, the column of the row.
    """
    found: list[exp.Expression] = []
    for paths, same in keys:
        equal = [
            exp.EQ(this=exp.column(own, "k", quoted=True), expression=exp.column(there, alias, quoted=True))
            for own, there in same.items()
        ]
        if paths:
            found.append(exp.Exists(this=exp.select("1").from_(rows_of(paths, "k")).where(every(equal))))
    return some(found)


def measure(check: TableCheck, numbers: Numbers) -> Cell | Fraction:
    """Return the one number, or text, that a check looks at on a side; None for NULL."""
    found = numbers.found
    if check.compare == "nulls":
        return numbers.rows - int(found[FOUND] or 0)
    if check.compare == "avg":
        total, count = found[TOTAL], int(found[FOUND] or 0)
        exact = _exact(total)
        return total if exact is None or not count else exact / count
    if check.compare == "count":
        return found.get(FOUND, found[ROWS])
    return found[_NAMES[check.compare or ""]]


_NAMES = {"sum": TOTAL, "min": LEAST, "max": MOST, "distinct": DISTINCT}


def compared(check: TableCheck, mapping: str, sides: Mapping[str, Numbers], *, shows: bool) -> CheckResult:
    """Return what the numbers of one side or of both say; `shows` False: no value of the data stands in its words."""
    texts = {side: _what(check, side) for side in sides}
    shows = shows or check.compare not in {"min", "max"}
    values = {side: measure(check, numbers) for side, numbers in sides.items()}
    told = []
    for side, numbers in sides.items():
        value = shown(check.expression(side) or "", values[side]) if shows else "not shown here"
        told.append(f"{texts[side]} of {numbers.rows:,} {side} rows is {value}")
    problems = [
        f"{numbers.misfits:,} {side} rows have a number that does not fit its type"
        for side, numbers in sides.items()
        if numbers.misfits
    ]
    unread = [
        f"{numbers.unread:,} {side} rows have a value that cannot be read and count as NULL"
        for side, numbers in sides.items()
        if numbers.unread
    ]
    if len(sides) > 1:
        rounding = max(_rounding(check, numbers) for numbers in sides.values())
        problem, said = difference(values["source"], values["target"], check.tolerance, rounding)
    else:
        (side,) = sides
        problem, said = beyond(check, values[side], sides[side].rows)
    problems += [problem] if problem else []
    detail = "; ".join([*told, *([said] if said and shows else []), *problems, *unread])
    severity = "warning" if check.then == "warn" else "error"
    which = "rows that the target holds" if check.rows == "kept" else "all rows of both tables"
    return CheckResult(f"table:{check.name}", mapping, len(problems), f"{check.compare}: {which}", severity, detail)


def _what(check: TableCheck, side: str) -> str:
    text = check.expression(side)
    where = check.where.of(side)
    return f"{check.compare}({text or 'rows'}{f' where {where}' if where else ''})"


def difference(
    source: Cell | Fraction, target: Cell | Fraction, tolerance: Bound | None, rounding: Fraction = Fraction(0)
) -> tuple[str, str]:
    """Return (what is wrong, what is to be said) of two values; the first is empty where they agree.

    NULL agrees with NULL alone; texts agree where they are equal; a number that is not finite with itself.
    `rounding` is what adding doubles in another order may change.
    """
    one, other = _exact(source), _exact(target)
    if one is None or other is None:
        same = str(source) == str(target) and (source is None) == (target is None)
        return ("" if same else "the two differ"), ""
    found = abs(other - one)
    allowed = _allowed(tolerance, abs(one)) if tolerance is not None else Fraction(0)
    # A tolerance takes the place of nothing: what the order of adding changes is no difference of the data.
    wrong = f"more than the {_number(allowed)} allowed" if found > allowed + rounding else ""
    text = f"difference {_number(found)}"
    if tolerance is not None:
        text += f", allowed {tolerance}" + (f" = {_number(allowed)}" if tolerance.is_share else "")
    return wrong, text


def beyond(check: TableCheck, value: Cell | Fraction, rows: int) -> tuple[str, str]:
    """Return (what is wrong, what is to be said) of one number against the limits of a check."""
    exact = _exact(value)
    if exact is None:
        return f"{'NULL' if value is None else 'no finite number'} is within no limit", ""
    problems, said = [], []
    for word, limit in (("least", check.least), ("most", check.most)):
        if limit is None:
            continue
        bound = _allowed(limit, Fraction(rows))
        said.append(f"{word} {limit}" + (f" of {rows:,} rows = {_number(bound)}" if limit.is_share else ""))
        if (exact < bound) if word == "least" else (exact > bound):
            problems.append(f"{'less' if word == 'least' else 'more'} than the {_number(bound)} allowed")
    return "; ".join(problems), f"allowed: {', '.join(said)}"


def _allowed(limit: Bound, whole: Fraction) -> Fraction:
    return Fraction(limit.amount) * whole if limit.is_share else Fraction(limit.amount)


def queries_compared(
    check: TableCheck, mapping: str, answers: Mapping[str, Sequence[Sequence[Cell]]], covered: str, *, shows: bool
) -> CheckResult:
    """Return what the numbers of two queries say, column by column; each gave one row of as many values."""
    severity = "warning" if check.then == "warn" else "error"
    shapes = {side: [len(row) for row in rows] for side, rows in answers.items()}
    if any(len(shape) != 1 for shape in shapes.values()) or len({tuple(each) for each in shapes.values()}) > 1:
        told = ", ".join(f"{side}: {_shape(shape)}" for side, shape in shapes.items())
        detail = f"each query must give one row, with as many values as the other ({told})"
        return CheckResult(f"table:{check.name}", mapping, 1, covered, severity, detail)
    parts, wrong = [], 0
    for number, (one, other) in enumerate(zip(answers["source"][0], answers["target"][0], strict=True), 1):
        rounding = max(_double_rounding(one), _double_rounding(other))
        problem, said = difference(one, other, check.tolerance, rounding)
        wrong += bool(problem)
        values = f"source {shown('', one)}, target {shown('', other)}"
        words = [f"value {number}: {values}", said, problem] if shows else [f"value {number}", problem or "agrees"]
        parts.append(", ".join(word for word in words if word))
    return CheckResult(f"table:{check.name}", mapping, wrong, covered, severity, "; ".join(parts))


def _shape(rows: Sequence[int]) -> str:
    return f"{len(rows)} row of {rows[0]} values" if len(rows) == 1 else "no row" if not rows else "several rows"


def rows_found(
    check: TableCheck, mapping: str, found: int, rows: int, keys: Sequence[str], covered: str
) -> CheckResult:
    """Return what the number of wrong rows that a query of one side found says; `rows` are all rows of its table."""
    allowed = _allowed(check.most, Fraction(rows)) if check.most is not None else Fraction(0)
    detail = f"{counted(found, 'row')} found"
    if check.most is not None:
        detail += f", allowed {check.most}" + (f" of {rows:,} rows = {_number(allowed)}" if check.most.is_share else "")
    severity = "warning" if check.then == "warn" else "error"
    wrong = found if found > allowed else 0
    return CheckResult(f"table:{check.name}", mapping, wrong, covered, severity, detail, tuple(keys) if wrong else ())


def shown(name: str, value: Cell | Fraction) -> str:
    """Return a value as a report may show it: what looks personal is masked."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return masked(value) if suspicion(name, [value]) is not None else f"'{value}'"
    exact = _exact(value)
    return str(value) if exact is None else _number(exact)


def _exact(value: Cell | Fraction) -> Fraction | None:
    """Return a number exactly, None for what is no finite number."""
    if value is None or isinstance(value, str | bool):
        return None
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, Decimal) and not value.is_finite():
        return None
    return Fraction(value)


def _rounding(check: TableCheck, numbers: Numbers) -> Fraction:
    """Return how far sums of the same doubles may be apart, by the order in which they were added."""
    size, count = _exact(numbers.found.get(SIZE)), numbers.found.get(FOUND)
    if size is None or not isinstance(count, int):
        return Fraction(0)
    return size * _EPSILON * (1 if check.compare == "avg" else count)


def _double_rounding(value: Cell) -> Fraction:
    """Return by how much a double that a query calculated may be off: its last ten bits."""
    exact = _exact(value) if isinstance(value, float) else None
    return abs(exact) * 1024 * _EPSILON if exact is not None else Fraction(0)


def _number(value: Fraction) -> str:
    """Return a number in digits: a whole one exactly, another by its first fifteen digits."""
    return f"{value.numerator:,}" if value.denominator == 1 else f"{float(value):.15g}"
