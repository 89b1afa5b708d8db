"""Mistakes of rules that only types and secrets can tell: each with its line, its column and a cure."""

from pathlib import Path

import pytest

from tests.plan.planning import HEAD, catalog, plan_of, table
from transhume.errors import Finding, PlanError
from transhume.plan.check import check_plan
from transhume.plan.load import read
from transhume.plan.lock import plan_content, plan_hash
from transhume.plan.mask_keys import mask_keys
from transhume.plan.types import target_table

SOURCE = catalog(
    table("t", "id bigint, n bigint, s text, d double, b boolean, at timestamp, raw bytes, big decimal(12,4)")
)


def _typed(folder: Path, columns: str, types: str = "") -> list[Finding]:
    plan = plan_of(folder, f"  t:\n    from: t\n    key: id\n    create: true\n    types: {{id: bigint{types}}}\n"
                   f"    columns:\n      id: id\n{columns}")  # fmt: skip
    made, findings = target_table(plan, plan.tables["t"], SOURCE, None)
    assert made is None
    return findings


@pytest.mark.parametrize(
    ("rule", "kind", "message", "cure"),
    [
        ('{case: [{when: "nn > 1", then: s}], otherwise: s}', "text", "has no column 'nn'", "did you mean 'n'?"),
        ('{case: [{when: "s > 1", then: s}], otherwise: s}', "text", "the condition 's > 1'", ""),
        ('{case: [{when: "n + 1", then: s}], otherwise: s}', "text", "a condition is needed", "compare the value"),
        ('{case: [{when: "n > 1", then: d}], otherwise: s}', "date", "double cannot become date", ""),
        ('{case: [{when: "n > 1", then: {split: s, by: x}}], otherwise: s}', "text", "list(text)", ""),
        ("{epoch: b, unit: s}", "timestamptz", "'b' is boolean, and a count of s is a whole number", "numbers"),
        ("{epoch: at, unit: s}", "timestamptz", "'at' is timestamp", "write {utc: column}"),
        ("{epoch: n, unit: s}", "date", "timestamptz cannot become date", ""),
        ("{split: raw, by: x}", "list(text)", "bytes cannot become text", ""),
        ("{split: s, by: x}", "list(bytes)", "list(text) cannot become list(bytes)", ""),
        ("{split: s, by: x}", "text", "list(text) cannot become text", ""),
        ("{replace: d, find: a, by: b}", "text", "double cannot become text", ""),
        ("{json: [d]}", "json", "the member 'd' is double", "a column of its own"),
        ("{json: {x: {split: s, by: a}}}", "json", "list(text) cannot become text", ""),
        ("{json: [s]}", "bigint", "json cannot become bigint", ""),
        ("{json_get: n, at: /a}", "text", "'n' is bigint, which holds no JSON", "a column of texts"),
        ("{json_get: s, at: /a}", "bytes", "text cannot become bytes", ""),
        ('{json_get: s, at: /a, else: "x"}', "json", "'x', is no JSON", "single quotes"),
        ('{mask: d, key: "${K}"}', "text", "double cannot become text", ""),
    ],
)  # fmt: skip
def test_a_mistake_of_types_says_where_and_what_to_do(
    tmp_path: Path, rule: str, kind: str, message: str, cure: str
) -> None:
    """One error at the column's line, whose message names the types and whose cure says what to write."""
    (finding,) = _typed(tmp_path, f"      x: {rule}\n", f", x: {kind}")
    assert message in finding.message
    assert cure in finding.cure
    assert finding.cure
    assert finding.position is not None
    assert (finding.position.line, finding.position.column) == (HEAD.count("\n") + 9, 7)


def test_five_mistakes_are_five_errors(tmp_path: Path) -> None:
    """A mapping with five mistakes gives five errors at once, each with line, column and cure."""
    found = _typed(
        tmp_path,
        '      a: {case: [{when: "nn > 1", then: s}], otherwise: s}\n'
        "      b: {epoch: b, unit: ms}\n"
        "      c: {json: [s, d]}\n"
        "      d: {json_get: n, at: /a}\n"
        "      e: {split: raw, by: ';'}\n",
    )
    first = HEAD.count("\n") + 9
    places = [(each.position.line, each.position.column) for each in found if each.position is not None]
    assert places == [(first + number, 7) for number in range(5)]
    assert [each.column for each in found] == ["a", "b", "c", "d", "e"]
    assert all(each.severity == "error" and each.cure for each in found)


_MASK = "  t: {from: t, key: id, create: true, columns: {id: id, m: {mask: s, key: '${K}'}}}\n"


def _masking(folder: Path, key: str | None):
    plan_of(folder, _MASK)
    plan, findings = read(folder, {} if key is None else {"K": key})
    assert plan is not None, findings
    return plan


def test_a_key_that_is_not_set_is_said_before_it_is_needed(tmp_path: Path) -> None:
    """`check` warns; where values are computed it is an error. Neither holds a key."""
    plan = _masking(tmp_path, None)
    (warning,) = [each for each in check_plan(plan) if each.code == "variable"]
    assert (warning.severity, warning.message) == ("warning", "the variable 'K' is not set")
    with pytest.raises(PlanError, match="the variable 'K' is not set"):
        mask_keys(plan)


def test_a_short_key_is_refused_without_being_shown(tmp_path: Path) -> None:
    """Fifteen bytes are too few; the message counts them and does not tell them."""
    with pytest.raises(PlanError, match="has 15 bytes") as caught:
        mask_keys(_masking(tmp_path, "hunter2-hunter2"))
    assert "hunter" not in str(caught.value)


def test_the_key_is_no_part_of_the_plan(tmp_path: Path) -> None:
    """Two keys give one hash, and the content that a run keeps holds the reference."""
    one, other = _masking(tmp_path, "hunter2-" * 4), _masking(tmp_path, "another-" * 4)
    assert plan_hash(one) == plan_hash(other)
    assert "hunter" not in str(plan_content(one))
    assert "${K}" in str(plan_content(one))
    assert mask_keys(one) == {"K": b"hunter2-" * 4}
