"""Messages about plans, word by word. `UPDATE_GOLDEN=1 pytest` writes them anew; read them before a commit."""

import os
import re
from pathlib import Path

import pytest

from tests.plan.rendering import rendered
from transhume.errors import Finding, PlanError
from transhume.plan.check import check_plan
from transhume.plan.load import load, read

GOLDEN = Path(__file__).parent / "golden"
PLANS = sorted(GOLDEN.glob("*.yaml"))


def _findings(path: Path) -> list[Finding]:
    try:
        plan, findings = read(path, {})
    except PlanError as problem:
        return list(problem.findings)
    return findings or (check_plan(plan) if plan is not None else [])


@pytest.fixture(autouse=True)
def _in_golden(monkeypatch):
    monkeypatch.chdir(GOLDEN)


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_messages_are_as_written(path):
    """A wrong plan gives these messages, all of them, in the file's order."""
    found = rendered(_findings(Path(path.name)))
    golden = path.with_suffix(".txt")
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(found)
    assert found == golden.read_text()


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_load_raises_what_it_finds(path):
    """`load` returns no plan that has an error."""
    if any(finding.severity == "error" for finding in _findings(Path(path.name))):
        with pytest.raises(PlanError) as caught:
            load(Path(path.name), {})
        assert all(finding.severity == "error" for finding in caught.value.findings)


def test_the_messages_are_many():
    """At least 100 different messages have a golden text."""
    messages = {finding.message for path in PLANS for finding in _findings(Path(path.name))}
    assert len(messages) >= 100


def test_every_message_has_place_and_cure():
    """Each message says where and what to do, begins in lower case or with a quote, and speaks no Python."""
    for path in PLANS:
        for finding in _findings(Path(path.name)):
            assert finding.position is not None, finding
            assert finding.cure, finding
            for text in (finding.message, finding.cure):
                assert not text[0].isupper() or text.split()[0].strip("',.").isupper(), text
                assert not re.search(
                    r"Input should|validat|NoneType|(?<!!)\bstr\b|\bdict\b|\btuple\b|Traceback|pydantic", text
                )
                assert "hunter" not in text
            assert "hunter" not in finding.position.quoted_line
