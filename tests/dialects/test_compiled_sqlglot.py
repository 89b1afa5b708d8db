"""An environment in which SQLGlot is compiled: its classes cannot be extended, so it is named with the cure."""

import os
import subprocess
import sys


def test_a_compiled_sqlglot_is_named_with_its_cure(tmp_path):
    """A command says which package is in the way and how to be rid of it, before it does anything."""
    (tmp_path / "sqlglotc").mkdir()
    (tmp_path / "sqlglotc" / "__init__.py").touch()
    command = [sys.executable, "-c", "from transhume.cli import main; main()", "check", "--offline"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 2, done.stderr
    assert "pip uninstall sqlglotc" in done.stderr
    assert "a bug" not in done.stderr
