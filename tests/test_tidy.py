"""The house stays tidy: sizes, names, printing, import direction, and twins that share no code."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from transhume.rules import RULES

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "transhume"
MODULES = sorted(SOURCE.rglob("*.py"))
LINES_MAX = 600
FUNCTION_LINES_MAX = 70
FORBIDDEN_NAMES = {"util", "utils", "helper", "helpers", "common", "base", "misc", "info", "data", "manager", "handler"}


PARAMETERS_OF_BOTH_TWINS = {
    "case._checked": "the types of a condition, as in sql",
    "case.column": "two functions of this name, one for each twin",
    "json._form": "how a member of a type stands in the object, before any value is seen",
    "path._one_form": "a pair of them, kept because the oracle asks for it once a row",
    "path.forms": "the pairs of like and to, as the plan writes them",
    "ref._check_parts": "that the reference has as many parts as the key, before any value is seen",
    "sql._checked": "the types of the expression; both twins take the same tree and evaluate it each for itself",
    "sql._names": "the columns that the expression names",
    "sql.column": "two functions of this name, one inside each twin",
}


def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_file_is_over_600_lines():
    """A file that grows past its bound wants a new room."""
    files = [*MODULES, *(ROOT / "tests").rglob("*.py")]
    assert not [str(path) for path in files if len(path.read_text().splitlines()) > LINES_MAX]


def test_no_function_is_over_70_lines():
    """A function is read at a glance."""
    long = [
        f"{path.name}:{node.name}"
        for path in MODULES
        for node in _functions(path)
        if (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert not long


def test_modules_are_named_for_what_they_hold():
    """No module is called helper, util, common or base."""
    assert not [str(path) for path in MODULES if path.stem in FORBIDDEN_NAMES]


def test_only_the_command_line_prints():
    """Nothing below cli writes to the terminal."""
    printing = [
        str(path)
        for path in MODULES
        if "cli" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printing


def test_twins_of_a_rule_share_no_code():
    """No function that makes values is reached from both twins; what else is shared is listed with a reason."""
    shared = []
    for path in (SOURCE / "rules").glob("*.py"):
        functions = {node.name: node for node in _functions(path)}
        if not {"to_sql", "to_python"} <= set(functions) or path.stem == "rule":
            continue
        both = _reached("to_sql", functions) & _reached("to_python", functions)
        shared += [f"{path.stem}.{name}" for name in sorted(both - {"to_sql", "to_python"})]
    assert sorted(shared) == sorted(PARAMETERS_OF_BOTH_TWINS)


def _reached(start: str, functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for node in ast.walk(functions[name]):
            called = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None
            if called in functions and called not in {"to_sql", "to_python", "arguments", "columns", "needs", "result"}:
                waiting.append(called)
    return seen


def test_every_rule_has_one_file_and_its_cases():
    """A stranger finds a rule, and its cases, by its verb."""
    for verb, rule in RULES.items():
        assert rule.__module__ == f"transhume.rules.{verb}"
        assert (ROOT / "tests" / "rules" / "cases" / f"{verb}.yaml").is_file()


def test_no_trace_of_a_machine():
    """Nothing in the project names a path of a machine or a registry's host."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    words = re.compile(
        "|".join(["/wo" + "rk/", "/ro" + "ot/", "pypi" + r"\.org", "pythonhosted" + r"\.org", "reg" + "istry.npm"])
    )
    text = {name: (ROOT / name).read_text(errors="ignore") for name in tracked if (ROOT / name).is_file()}
    assert not [name for name, content in text.items() if words.search(content)]


@pytest.fixture
def copy_of_source(tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _contracts(folder: Path) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; sys.path.insert(0, 'src');"
        "from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("schema.py", "import transhume.plan.model", "Imports point down only"),
        ("oracle.py", "import transhume.compiler", "The oracle recomputes on its own"),
        ("journal.py", "import transhume.plan.model", "Drivers know tables and batches, never a plan or a rule"),
        ("rules/codes.py", "import transhume.rules.names", "Rules know nothing of one another"),
        ("compiler/__init__.py", "import duckdb", "The core touches no driver, no process, no network"),
        ("newcomer.py", "", "Imports point down only"),
    ],
)
def test_a_planted_import_is_refused(copy_of_source, module, line, contract):
    """Each contract fails when exactly its rule is broken, and holds before."""
    path = copy_of_source / "src" / "transhume" / module
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    result = _contracts(copy_of_source)
    assert result.returncode != 0
    assert f"{contract} BROKEN" in result.stdout


def test_the_contracts_hold():
    """Imports point down only."""
    result = _contracts(ROOT)
    assert result.returncode == 0, result.stdout
