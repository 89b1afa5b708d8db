"""Without their packages, Spark and Sail are neither imported nor needed, and the message says how to get them."""

import subprocess
import sys
from pathlib import Path

import pytest

from transhume.engines.spark import SparkEngine
from transhume.errors import UsageError


@pytest.mark.parametrize(
    ("engine", "extra"),
    [("local[1]", "spark"), ("spark://127.0.0.1:1", "spark"), ("sc://127.0.0.1:1", "spark"), ("sail", "sail")],
)
def test_a_missing_package_is_named_with_its_extra(
    engine: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pyspark cannot be imported the engine does not start, and says which extra brings it."""
    for module in ("pyspark", "pysail"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf"'transhume\[{extra}\]'"):
        SparkEngine(tmp_path, engine, {}).start()


def test_nothing_of_spark_is_imported_by_a_project() -> None:
    """A process that has imported what a run needs knows no module of Spark's."""
    code = "import sys, transhume.project.running; print([m for m in sys.modules if m.startswith(('pysp', 'pysail'))])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
