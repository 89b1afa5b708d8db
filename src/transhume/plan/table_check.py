"""A check on whole tables as the plan writes it: numbers of both sides compared, a number within limits, or a query."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from transhume.words import kind_of

_STRICT = ConfigDict(extra="forbid", frozen=True)
SIDES = ("source", "target")
_COUNTED = frozenset({"count", "distinct", "nulls"})
"""What is a number of rows, of which a percentage means something."""
_BOUND = re.compile(r"(-?[0-9]{1,20}(?:\.[0-9]{1,18})?) ?(%?)")


class Bound(BaseModel):
    """A number, or with `is_share` a share of another number: 0.01 is one per cent."""

    model_config = _STRICT
    amount: Decimal
    is_share: bool = False

    def __str__(self) -> str:
        return f"{(self.amount * 100).normalize():f} %" if self.is_share else f"{self.amount:f}"


def _parse_bound(node: Any) -> Any:
    if isinstance(node, Bound):
        return node
    text = str(node) if isinstance(node, str | int) and not isinstance(node, bool) else ""
    found = _BOUND.fullmatch(text)
    if not found or (found[2] and Decimal(found[1]) < 0):
        message = f"{kind_of(node)} is neither a number nor a percentage; write 5, 0.01 or 0.5%"
        raise ValueError(message)
    return Bound(amount=Decimal(found[1]) / 100 if found[2] else Decimal(found[1]), is_share=bool(found[2]))


BoundField = Annotated[Bound, BeforeValidator(_parse_bound)]


class Sides(BaseModel):
    """A text for the source, for the target, or for both."""

    model_config = _STRICT
    source: str | None = None
    target: str | None = None

    def of(self, side: str) -> str | None:
        """Return the text of "source" or "target"."""
        return self.source if side == "source" else self.target


class TableCheck(BaseModel):
    """A number of a table's rows on both sides, compared; on one side, within limits; or a query of a side's own SQL.

    NULL: `sum`, `avg`, `min`, `max` and `distinct` leave it out, `count` of a column too; `nulls` counts nothing else.
    The sum of no value is NULL, and NULL differs from every number.
    """

    model_config = _STRICT
    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    compare: Literal["count", "sum", "avg", "min", "max", "distinct", "nulls"] | None = None
    source: str | None = None
    """Expression over the columns of the source table."""
    target: str | None = None
    """Expression over the columns of the target table."""
    where: Sides = Sides()
    """Conditions of the rows that count, by side."""
    rows: Literal["kept", "all"] = "kept"
    """`kept`: the rows of the source that the target holds, on both sides; `all`: all rows of both tables."""
    query: Sides | None = None
    """SELECTs of the side's own dialect: of both sides one row of numbers each, of one side its wrong rows."""
    tolerance: BoundField | None = None
    """How far the target's number may be from the source's: a number, or a percentage of the source's."""
    least: BoundField | None = None
    most: BoundField | None = None
    """Limits of one side's number, or of the rows that a query finds: a number, or a percentage of the side's rows."""
    then: Literal["stop", "warn"] = "stop"

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that are looked at."""
        if self.query is not None:
            return tuple(side for side in SIDES if self.query.of(side) is not None)
        named = tuple(side for side in SIDES if self.expression(side) is not None)
        return named or (("target",) if self.is_limited else SIDES)

    @property
    def is_limited(self) -> bool:
        """Whether a number is held against limits of the plan."""
        return self.least is not None or self.most is not None

    def expression(self, side: str) -> str | None:
        """Return what is counted or measured on a side; None: rows."""
        return self.source if side == "source" else self.target

    @model_validator(mode="after")
    def _one_kind(self) -> "TableCheck":
        problem = self._query_problem() if self.query is not None else self._compare_problem()
        if problem:
            raise ValueError(problem)
        return self

    def _query_problem(self) -> str:
        words = ("compare", "source", "target", "rows", "where")
        extra = next((word for word in words if word in self.model_fields_set), "")
        alone = len(self.sides) == 1
        problems: dict[str, object] = {
            f"a query says itself what is counted, and '{extra}' has no meaning beside it; remove one of them": extra,
            "the query names no side; write 'query: {target: SELECT ...}', or one for each side": not self.sides,
            "a query of one side gives its wrong rows; write 'most: 10' for how many may be, or a second query": (
                alone and (self.tolerance is not None or self.least is not None)
            ),
            "two queries are compared with one another; write 'tolerance', or leave one of the queries out": (
                not alone and self.is_limited
            ),
        }
        return next((problem for problem, is_one in problems.items() if is_one), "")

    def _compare_problem(self) -> str:
        alone, side = len(self.sides) == 1, self.sides[0]
        other = "target" if side == "source" else "source"
        limits = [limit for limit in (self.least, self.most) if limit is not None]
        unseen = next((each for each in SIDES if self.where.of(each) is not None and each not in self.sides), "")
        problems: dict[str, object] = {
            "the check says neither what to compare nor a query; write 'compare: sum' or 'query: {target: ...}'": (
                self.compare is None
            ),
            f"there is nothing to hold the {side} against; write '{other}:', or 'least:' and 'most:'": (
                alone and not self.is_limited
            ),
            "limits are for one side, and both are named; write 'tolerance', or leave one side out": (
                not alone and self.is_limited
            ),
            "a tolerance is between two sides; write 'least:' and 'most:' for the limits of one": (
                alone and self.tolerance is not None
            ),
            f"'compare: {self.compare}' needs what is compared; write 'source: column' and 'target: column'": (
                self.compare != "count" and not all(self.expression(each) for each in self.sides)
            ),
            f"'where' has a condition for the {unseen}, which is not looked at; remove it": unseen,
            f"a percentage of the rows is no limit of '{self.compare}'; write a number": (
                self.compare not in _COUNTED and any(limit.is_share for limit in limits)
            ),
            "a tolerance below 0 lets nothing pass; write 0 or more": (
                self.tolerance is not None and self.tolerance.amount < 0
            ),
        }
        return next((problem for problem, is_one in problems.items() if is_one), "")


def is_table_check(node: Any) -> bool:
    """Say whether an entry of `checks:` is about tables, not about rows."""
    own = set(TableCheck.model_fields) - {"name", "then"}
    return isinstance(node, Mapping) and "sql" not in node and bool(own & set(map(str, node)))
