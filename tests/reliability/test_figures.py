"""The lines of a sweep say what was counted, say so where it is a part only, and are kept where it is whole."""

from collections import Counter

from tests.reliability import figures

WHOLE = Counter(
    {
        "PostgreSQL:load": 250,
        "PostgreSQL:rollback": 60,
        "Iceberg:publish": 301,
        "network_cuts": 60,
        "disk_full_extract": 2,
        "disk_full_journal": 2,
        "disk_full_target": 2,
        "corruptions": 500,
        "steps": 2000,
        "states": 13,
    }
)


def test_a_part_says_what_is_lacking():
    """Ten kills fewer, and no step of the state machine: both are named with their numbers."""
    part = WHOLE - Counter({"PostgreSQL:rollback": 11, "steps": 2000})
    lines = figures.told(part)
    assert lines[-1].startswith("a part only: 299 of 300 kills of PostgreSQL, 0 of 2000 steps; commit ")
    assert not any("state machine" in line for line in lines)


def test_a_whole_sweep_is_kept_between_its_marks(tmp_path):
    """The lines stand in the place of those before, and nothing else of the page changes."""
    lines = figures.told(WHOLE)
    assert lines[-1].startswith("a whole sweep; commit ")
    assert "PostgreSQL: 310 kills (load 250, rollback 60), 0 rows lost" in lines[0]
    page = tmp_path / "page.md"
    page.write_text(f"before\n{figures.BEGIN}\n- old\n{figures.END}\nafter\n")
    figures.keep(["new", "newer"], page, "2026-01-01", 42)
    text = f"before\n{figures.BEGIN}\n- new\n- newer\n- 2026-01-01, 42 minutes\n{figures.END}\nafter\n"
    assert page.read_text() == text
    figures.keep(["new", "newer"], page, "2026-01-01", 42)
    assert page.read_text() == text


def test_nothing_counted_is_nothing_told():
    """A session without such tests prints no line."""
    assert figures.told(Counter()) == []
