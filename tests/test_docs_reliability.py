"""The page about reliability names every fault once, and no test that does not exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "reliability.md").read_text()
FAULTS = {"A": 17, "B": 10, "C": 12, "D": 12, "E": 15, "F": 16, "G": 8, "H": 9, "I": 11}
"""How many faults each part of the catalogue has."""


def test_every_named_test_exists():
    """A test that was renamed or removed is found here."""
    files = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "src" / "transhume" / "testing").rglob("*.py")]
    there = {name for path in files for name in re.findall(r"def (test_\w+)", path.read_text())}
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert sorted(named - there) == []
    assert len(named) > 100


def test_every_fault_has_a_test_or_a_reason():
    """Each line of the catalogue ends in a test, or says why the fault cannot occur."""
    lines = re.findall(r"^\| ([A-I]\d+) \|(.*)\|$", PAGE, re.MULTILINE)
    wanted = [f"{part}{number}" for part, last in FAULTS.items() for number in range(1, last + 1)]
    assert [fault for fault, _ in lines] == wanted
    assert [fault for fault, rest in lines if "`test_" not in rest and "cannot occur: " not in rest] == []
