"""The plans under examples are right: they load and check without a finding, and leave no column out."""

from pathlib import Path

import pytest

from transhume.plan.check import check_plan, used_columns
from transhume.plan.load import load
from transhume.plan.model import Plan
from transhume.rules.rule import Rule

EXAMPLES = Path(__file__).parents[2] / "examples"
ENVIRONMENT = {
    "LEGACY_URL": "sqlite:///legacy.db",
    "CHINOOK_URL": "sqlite:///Chinook_Sqlite.sqlite",
    "PLATFORM_URL": "iceberg:./lake?namespace=ai",
}


def _load(example: str) -> Plan:
    return load(EXAMPLES / example / "transhume.yaml", ENVIRONMENT)


def _verbs(rule: Rule) -> set[str]:
    return {rule.verb}.union(*(_verbs(argument) for argument in rule.arguments() if isinstance(argument, Rule)))


@pytest.mark.parametrize("example", ["ai-research", "chinook"])
def test_an_example_checks_without_a_finding(example):
    """The offline check has nothing to say."""
    assert check_plan(_load(example)) == []


def test_the_demo_uses_every_rule_that_there_is():
    """Each rule stands in the demo's plan at least once, where it is natural."""
    verbs = {
        verb
        for mapping in _load("ai-research").tables.values()
        for rule in mapping.columns.values()
        for verb in _verbs(rule)
    }
    every = "copy uuid ref lookup names codes utc path prefix value coalesce concat parse boolean scale sql"
    assert set(every.split()) <= verbs


def test_chinook_maps_all_64_columns_of_its_11_tables():
    """Every column of the source feeds a column of the target; nothing is dropped."""
    plan = _load("chinook")
    used = {(mapping.from_, column) for mapping in plan.tables.values() for column in used_columns(mapping)}
    assert len(plan.tables) == 11
    assert len(used) == 64
    assert not any(mapping.drop for mapping in plan.tables.values())
