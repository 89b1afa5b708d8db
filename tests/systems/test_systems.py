"""The registry: a scheme leads to a driver, a missing one to the extra that brings it."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from transhume import systems
from transhume.errors import DriverMissing, UsageError
from transhume.systems import SYSTEMS, System, open_source, open_target


@pytest.mark.parametrize("scheme", [name for name, system in SYSTEMS.items() if system.target])
def test_a_target_answers_to_its_scheme(scheme: str):
    """What the registry names is there."""
    assert callable(systems._function(f"{scheme}:x", "target"))


@pytest.mark.parametrize("scheme", [name for name, system in SYSTEMS.items() if system.source])
def test_a_source_answers_to_its_scheme(scheme: str):
    """What the registry names is there."""
    assert callable(systems._function(f"{scheme.upper()}:x", "source"))


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("postgresql://u@h/d", "psycopg", "postgres"),
        ("iceberg:./lake", "pyiceberg", "iceberg"),
        ("mysql://u@h/d", "pymysql", "mysql"),
    ],
)
def test_a_missing_driver_names_its_extra(tmp_path: Path, url: str, module: str, extra: str):
    """In a Python that lacks the driver, one line says what to install."""
    code = (
        "import sys; sys.modules[sys.argv[1]] = None\n"
        "from pathlib import Path\n"
        "from transhume.systems import SYSTEMS, open_source, open_target\n"
        "from transhume.errors import DriverMissing\n"
        "opened = open_target if SYSTEMS[sys.argv[2].partition(':')[0]].target else open_source\n"
        "try:\n    opened(sys.argv[2], Path('.')).catalog()\n"
        "except DriverMissing as problem:\n    print(problem)\n"
    )
    command = [sys.executable, "-c", code, module, url]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f"pip install 'transhume[{extra}]'" in found.stdout, found.stderr
    assert len(found.stdout.splitlines()) == 1


def test_the_registry_loads_no_driver():
    """Listing systems costs nothing; a driver is imported when its scheme is used."""
    code = (
        "import sys, transhume.systems as s; print({'psycopg', 'pyiceberg', 'sqlite3', 'sqlglot'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_a_system_of_somebody_else_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """An installed package adds a scheme; it cannot replace one of ours."""
    monkeypatch.setattr(
        systems,
        "entry_points",
        lambda group: [
            EntryPoint("other", f"{__name__}:OTHER", group),
            EntryPoint("sqlite", f"{__name__}:OTHER", group),
        ],
    )
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or sys.modules[open_other.__module__])
    assert open_source("other:place", tmp_path) == ("other:place", tmp_path)
    assert open_source("sqlite:///x.db", tmp_path).identity.startswith("sqlite:")
    with pytest.raises(UsageError, match="'other' cannot be a target"):
        open_target("other:place", tmp_path)


def open_other(url: str, base: Path) -> object:
    """Stand in for a driver of another package."""
    return url, base


OTHER = System(f"{__name__}:open_other", None, "other")


def test_a_module_of_ours_that_is_missing_is_a_bug_not_a_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Only a missing driver is answered with an extra."""
    monkeypatch.setitem(SYSTEMS, "broken", System("transhume.systems.nowhere:open_source", None, "broken"))
    with pytest.raises(ModuleNotFoundError):
        open_source("broken:x", tmp_path)
    monkeypatch.setitem(SYSTEMS, "broken", System("no_such_driver:open_source", None, "broken"))
    with pytest.raises(DriverMissing, match="transhume\\[broken\\]"):
        open_source("broken:x", tmp_path)
