"""Why rows are rejected: collects conditions in rule order, one per text, and prints them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlglot import exp

from transhume import operations as op
from transhume.rules.rule import Reason
from transhume.rules.trees import is_true, negated, some


@dataclass(slots=True)
class Reasons:
    """Conditions by reason text, in the order in which the texts came up first.

    `bad` needs only one of the conditions to hold; `text` is looked at for bad rows only. A condition that
    matters only where others do not hold may so be given without its guard to `bad`.
    """

    _shown: dict[str, list[exp.Expression]] = field(default_factory=dict)
    _tested: list[exp.Expression] = field(default_factory=list)

    def add(self, reasons: Iterable[Reason]) -> None:
        """Add reasons behind those that are there."""
        for reason in reasons:
            self.add_guarded(reason, reason.condition)

    def add_guarded(self, reason: Reason, loose: exp.Expression) -> None:
        """Add a reason whose condition differs from `loose` only in rows that are bad for another reason."""
        conditions = self._shown.setdefault(reason.text, [])
        if reason.condition not in conditions:
            conditions.append(reason.condition)
        if loose not in self._tested:
            self._tested.append(loose)

    def bad(self) -> exp.Expression:
        """Return the condition that a row has at least one reason, FALSE for none; never NULL."""
        if not self._tested:
            return exp.false()
        return is_true(some(self._tested))

    def text(self, bad: exp.Expression) -> exp.Expression:
        """Return the texts of a bad row's reasons, joined by line feeds, and NULL for any other row."""
        texts = [
            exp.Case(ifs=[exp.If(this=some(conditions), true=exp.Literal.string(text))])
            for text, conditions in self._shown.items()
        ]
        joined = op.JoinReasons(expressions=texts)
        return exp.Case(ifs=[exp.If(this=bad.copy(), true=joined)])


def none_of(reasons: Iterable[Reason]) -> exp.Expression:
    """Return the condition that none of these reasons holds; never NULL."""
    conditions = [reason.condition for reason in reasons]
    if not conditions:
        return exp.true()
    return negated(is_true(some(conditions)))
