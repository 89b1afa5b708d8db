"""Copies of a SQLite source: every value comes back, by sqlite3 alone; a copy that bends one is not called verified."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from transhume.systems.sqlite import dump
from transhume.systems.sqlite.backup import open_backup

SCHEMA = """
CREATE TABLE "a; b" (id INTEGER PRIMARY KEY AUTOINCREMENT, t TEXT, b BLOB, r REAL, n NUMERIC, "q""q" INT,
                        twice INT GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE keyed (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE log (x);
CREATE INDEX "by;t" ON "a; b" (t);
CREATE VIEW seen AS SELECT t FROM "a; b";
CREATE TRIGGER logs AFTER INSERT ON "a; b" BEGIN INSERT INTO log VALUES (NEW.t); END;
PRAGMA user_version = 7;
"""
NASTY = [
    ("it's; two\r\nlines", b"\x00\xff", 0.1 + 0.2, 1),
    ("nul \x00 inside", b"", float("inf"), 2.5),
    ("", None, 1e-310, "text"),
    ("日本 \U0001f40f é", b"x'y", float("-inf"), 2**63 - 1),
    (None, b"\n", 1.7976931348623157e308, -(2**63)),
]
CONTENT = 'SELECT *, typeof(n), hex(t), length(t) FROM "a; b" ORDER BY id'


def _make(path: Path, encoding: str = "UTF-8") -> None:
    with closing(sqlite3.connect(path)) as made:
        made.execute(f"PRAGMA encoding = '{encoding}'")
        made.executescript(SCHEMA)
        made.executemany('INSERT INTO "a; b" (t, b, r, n) VALUES (?, ?, ?, ?)', NASTY)
        made.execute('DELETE FROM "a; b" WHERE id = 3')
        made.execute("INSERT INTO keyed VALUES ('k', 1.0)")
        made.commit()


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_a_dump_makes_every_value_again(tmp_path, encoding):
    """Line ends, NULs, infinities, the greatest integers, triggers that must not fire, numbers given: all as it was."""
    _make(tmp_path / "a.db", encoding)
    (tmp_path / "copies").mkdir()
    parts = list(open_backup("sqlite:///a.db", tmp_path).parts(tmp_path / "copies"))
    assert [part.state for part in parts] == ["verified", "verified"]
    with closing(sqlite3.connect(tmp_path / "made.db")) as made, closing(sqlite3.connect(tmp_path / "a.db")) as source:
        made.executescript((tmp_path / "copies" / "source.sql").read_text(encoding="utf-8"))
        asked = [
            CONTENT,
            "SELECT k, v, typeof(v) FROM keyed",
            "SELECT x FROM log",
            "SELECT name, seq FROM sqlite_sequence",
            "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name",
            "PRAGMA user_version",
            "PRAGMA encoding",
        ]
        for query in asked:
            assert made.execute(query).fetchall() == source.execute(query).fetchall(), query


def test_bytes_that_are_no_text_come_back(tmp_path):
    """A TEXT whose bytes are no UTF-8 is a TEXT of the same bytes in both copies."""
    with closing(sqlite3.connect(tmp_path / "a.db")) as made:
        made.executescript("CREATE TABLE t (x TEXT); INSERT INTO t VALUES (CAST(X'FF00FE' AS TEXT));")
    (tmp_path / "copies").mkdir()
    parts = list(open_backup("sqlite:///a.db", tmp_path).parts(tmp_path / "copies"))
    assert [part.state for part in parts] == ["verified", "verified"]


def test_a_dump_that_bends_one_value_is_not_verified(tmp_path, monkeypatch):
    """Planted: reals lose a digit on their way into the dump. The dump fails, by table; the online backup is sound."""
    _make(tmp_path / "a.db")
    (tmp_path / "copies").mkdir()
    literal = dump._literal
    bent = lambda value, encoding: f"{value:.15g}" if isinstance(value, float) else literal(value, encoding)  # noqa: E731
    monkeypatch.setattr(dump, "_literal", bent)
    physical, logical = open_backup("sqlite:///a.db", tmp_path).parts(tmp_path / "copies")
    assert (physical.state, logical.state) == ("verified", "failed")


def test_the_sign_changes_with_the_rows(tmp_path):
    """Looked at twice the sign is the same; after a write it is another, also while the row stands in the log only."""
    _make(tmp_path / "a.db")
    source = open_backup("sqlite:///a.db", tmp_path)
    first = source.sign()
    assert source.sign() == first
    with closing(sqlite3.connect(tmp_path / "a.db")) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        second = source.sign()
        writer.execute("INSERT INTO log VALUES (1)")
        writer.commit()
        assert len({first, second, source.sign()}) == 3
