"""docs/checks.md names the checks that there are, no more and no fewer."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACES = {"CheckResult": 0, "wrong_rows_result": 1, "BusinessRule": 0}
"""Where a call holds the check's name, by the function's name."""


def _names_in_code() -> set[str]:
    found = set()
    for path in (ROOT / "src" / "transhume").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in PLACES):
                continue
            name = node.args[PLACES[node.func.id]] if len(node.args) > PLACES[node.func.id] else None
            if isinstance(name, ast.Constant):
                found.add(str(name.value))
            elif isinstance(name, ast.JoinedStr):
                kind = name.values[0]
                found.add(f"{kind.value}NAME" if isinstance(kind, ast.Constant) else "")
    return found


def test_the_tables_of_the_page_name_every_check_and_no_other():
    """What stands first in the tables with five columns is the name of a check."""
    text = (ROOT / "docs" / "checks.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `") and line.count(" | ") == 4]
    documented = {re.match(r"\| `([^`]+)`", row)[1] for row in rows}
    assert documented == _names_in_code()


def test_findings_of_the_source_that_the_page_names_are_in_the_code():
    """Every code that `validate --before` gives of itself stands in its module, and the other way round."""
    text = (ROOT / "docs" / "checks.md").read_text().partition("## Before a run")[2]
    documented = {
        name
        for line in text.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([a-z_]+)`", line.split(" | ")[0])
    }
    source = (ROOT / "src" / "transhume" / "stages" / "before.py").read_text()
    own = documented - {"reject_limit"}
    assert {name for name in own if f'"{name}"' not in source} == {"likely_secret", "likely_personal"}
    assert 'f"likely_{found.kind}"' in source
