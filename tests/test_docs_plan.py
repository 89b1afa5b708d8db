"""docs/plan.md is true: its keys are the model's, its rules and reasons are generated from the code and its tests.

`UPDATE_DOCS=1 pytest tests/test_docs_plan.py` writes the generated parts anew. The examples of rules are cases that
both twins are held to (tests/rules/cases), so an example that is wrong fails there.
"""

import inspect
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.rules.cases import FOLDER
from transhume.plan import model
from transhume.plan.document import parse_document
from transhume.plan.reasons import REASONS
from transhume.rules import RULES
from transhume.rules.rule import is_quoted

PAGE = Path(__file__).parent.parent / "docs" / "plan.md"
ROWS_SHOWN = 4
MODELS = (
    "Plan",
    "Phase",
    "PlanRisk",
    "FileLookup",
    "TableMapping",
    "Join",
    "Pivot",
    "RowCheck",
    "TableCheck",
    "PerformanceCheck",
)
NAMES = {"column": "column", "target": "target_column", "key": "key", "name": "name", "table": "table"}


def _flow(node: Any) -> str:
    """Write a node of a plan in one line, as the plan would hold it."""
    if isinstance(node, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(value)}" for key, value in node.items()) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(map(_flow, node)) + "]"
    text = str(node)
    plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_. -]*", text) and not text.endswith(" ")
    return text if plain and not is_quoted(node) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _cell(text: str) -> str:
    return "`" + text.replace("|", "\\|").replace("\n", "\\n").replace("\t", "\\t") + "`" if text else "`''`"


def _value(node: Any) -> str:
    if isinstance(node, str) and node == "null" and not is_quoted(node):
        return "NULL"
    if isinstance(node, Mapping):
        ((storage, content),) = node.items()
        return f"{storage} {_cell(str(content))}"
    return _cell(_flow(node) if isinstance(node, list) else str(node))


def _example(verb: str) -> list[str]:
    document = parse_document((FOLDER / f"{verb}.yaml").read_text("utf-8"), verb)
    case = document.content["cases"][0]
    lines = ["```yaml", f"target_column: {_flow(case['rule'])}", "```", ""]
    columns = list(case["columns"])
    lines += [f"| {' | '.join([*columns, 'gives'])} |", f"|{'---|' * (len(columns) + 1)}"]
    for row in case["rows"][:ROWS_SHOWN]:
        given = [_value(row["given"][name]) for name in columns]
        gives = _value(row["value"]) if "value" in row else f"reject: {', '.join(f'`{r}`' for r in row['reasons'])}"
        lines.append(f"| {' | '.join([*given, gives])} |")
    return [*lines, ""]


def _rules() -> str:
    lines = []
    for verb, rule in RULES.items():
        keys = []
        for name, field in rule.model_fields.items():
            key = field.alias or name
            keys.append(f"`{key}`" if field.is_required() or key == verb else f"`{key}` (optional)")
        lines += [f"### {verb}", "", inspect.cleandoc(rule.__doc__ or ""), "", f"Keys: {', '.join(keys)}.", ""]
        lines += _example(verb)
    return "\n".join(lines)


def _reasons() -> str:
    lines = ["| kind | such a row | cure |", "|---|---|---|"]
    for kind, meaning in REASONS.items():
        what, cure = (_filled(text).replace("|", "\\|") for text in (meaning.what, meaning.cure))
        lines.append(f"| `{kind}` | {what} | {cure} |")
    return "\n".join([*lines, ""])


def _filled(text: str) -> str:
    names = dict.fromkeys(re.findall(r"(?<!{){(\w+)}(?!})", text))
    return text.format(**{name: NAMES.get(name, name) for name in names})


def _part(text: str, start: str) -> str:
    found = re.search(rf"<!-- {re.escape(start)} -->\n(.*?)<!-- end -->", text, re.DOTALL)
    assert found, start
    return found[1]


@pytest.mark.parametrize(("name", "made"), [("rules", _rules), ("reasons", _reasons)])
def test_the_generated_parts_are_what_the_code_says(name, made):
    """Rules with their keys and examples, and reject reasons, are those of the code."""
    text = PAGE.read_text()
    if os.environ.get("UPDATE_DOCS"):
        text = text.replace(f"<!-- {name} -->\n{_part(text, name)}", f"<!-- {name} -->\n{made()}")
        PAGE.write_text(text)
    assert _part(text, name) == made()


@pytest.mark.parametrize("name", MODELS)
def test_every_key_is_explained_and_no_other(name):
    """The table of a part of the plan lists exactly the keys that the program reads there."""
    fields = getattr(model, name).model_fields
    keys = [field.alias or own for own, field in fields.items() if (name, own) != ("TableMapping", "name")]
    listed = re.findall(r"^\| `(\w+)` \|", _part(PAGE.read_text(), f"keys: {name}"), re.MULTILINE)
    assert listed == keys


def test_every_rule_has_a_cases_file():
    """The page's examples come from cases; a rule without any would have none."""
    assert {path.stem for path in FOLDER.glob("*.yaml")} >= RULES.keys()


def test_links_of_the_pages_lead_somewhere():
    """Every relative link of the pages and the README names a file of the project and, inside a page, a heading."""
    root = PAGE.parent.parent
    for page in [root / "README.md", *PAGE.parent.glob("*.md")]:
        text = page.read_text()
        headings = {
            re.sub(r"[^\w -]", "", line.lstrip("# ")).strip().lower().replace(" ", "-")
            for line in text.splitlines()
            if line.startswith("#")
        }
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", link):
                continue
            place, _, anchor = link.partition("#")
            assert not place or (page.parent / place).exists(), (page.name, link)
            assert place or anchor in headings, (page.name, link)
