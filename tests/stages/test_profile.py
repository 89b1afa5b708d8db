"""A profile against tables whose every value was written by hand, so that each number can be counted."""

import json
import sqlite3
import subprocess
import sys

import pytest

from tests.cli.test_commands import transhume
from transhume.project.profiling import profile_url
from transhume.stages.profile import ProfileBounds

SCHEMA = """
CREATE TABLE datasets (dataset_id INTEGER PRIMARY KEY, dataset_name TEXT);
CREATE TABLE models (
    model_id INT PRIMARY KEY, contact TEXT, status CHAR(1), created_ts DATETIME, model_path TEXT,
    dataset_id INT REFERENCES datasets (dataset_id), score FLOAT, price DECIMAL(10,2)
);
CREATE TABLE runs (id INTEGER PRIMARY KEY, model_id INT, team TEXT, day TEXT);
CREATE TABLE vacant (a INTEGER, b TEXT);
CREATE TABLE members (team TEXT NOT NULL, person TEXT NOT NULL);
"""
MODELS = [
    (1, "ada@example.org", "A", "2024-01-15 10:30:00", "/legacy/storage/models/v1/model_1.pkl", 1, 0.5, "9.50"),
    (2, "bob@example.org", "D", "2024-02-30 10:30:00", "/legacy/storage/models/v2/model_2.pkl", 1, 0.75, "10.25"),
    (3, "eve@example.org", "A", "0000-00-00 00:00:00", "/legacy/storage/models/v2/model_33.onnx", 7, "n/a", "-3"),
    (None, None, "A", None, None, None, None, None),
]


@pytest.fixture
def url(tmp_path):
    connection = sqlite3.connect(tmp_path / "legacy.db")
    connection.executescript(SCHEMA)
    connection.executemany("INSERT INTO datasets VALUES (?, ?)", [(1, "churn"), (2, "fraud")])
    connection.executemany("INSERT INTO models VALUES (?, ?, ?, ?, ?, ?, ?, ?)", MODELS)
    connection.executemany(
        "INSERT INTO runs VALUES (?, ?, ?, ?)", [(n, n % 3 + 1, "red" if n % 2 else "blue", "") for n in range(1, 41)]
    )
    connection.executemany("INSERT INTO members VALUES (?, ?)", [("a", "x"), ("a", "y"), ("b", "x")])
    connection.commit()
    connection.close()
    return f"sqlite:////{tmp_path}/legacy.db"


@pytest.fixture
def profile(url, tmp_path):
    return profile_url(url, tmp_path).tables


def test_values_are_counted_and_measured(profile):
    """NULLs, different values, range, lengths, patterns, top values: each as counted by hand."""
    models = profile["models"]
    assert (models.row_count, models.rows_read, models.sampled) == (4, 4, False)
    status, path, price = (models.columns[name] for name in ("status", "model_path", "price"))
    assert (status.null_count, status.distinct, status.distinct_exact, status.top) == (0, 2, True, (("A", 3), ("D", 1)))
    assert path.patterns == (("/a/a/a/v9/a_9.pkl", 2), ("/a/a/a/v9/a_9.onnx", 1))
    assert (path.null_count, path.length_min, path.length_max) == (1, 37, 39)
    assert (float(price.minimum), float(price.maximum)) == (-3, 10.25)


def test_odd_values_zero_dates_and_impossible_dates_are_told_apart(profile):
    """A text among numbers is an odd value and no NULL; `0000-00-00` is no mistake in writing, February 30 is one."""
    columns = profile["models"].columns
    assert dict(columns["score"].classes) == {"text": 1}
    assert columns["score"].null_count == 1
    assert (columns["created_ts"].zero_dates, columns["created_ts"].bad_dates) == (1, 1)


def test_keys_duplicates_references_and_orphans(profile):
    """A declared reference shows its orphan, one that is only a habit is found, a pair of columns is found as a key."""
    models, runs, members = profile["models"], profile["runs"], profile["members"]
    assert models.keys == ()  # the one INT PRIMARY KEY holds a NULL, as SQLite allows
    (declared,) = models.references
    assert (declared.table, declared.declared, declared.rows, declared.orphans) == ("datasets", True, 3, 1)
    assert runs.keys == (("id",),)
    assert members.keys == (("team", "person"),)
    assert profile["vacant"].row_count == 0
    assert profile["vacant"].columns["b"].distinct == 0


def test_a_reference_that_nobody_declared_is_found_by_name_and_values(url, tmp_path):
    """`runs.model_id` points to `models` once the NULL that spoils its key is gone."""
    with sqlite3.connect(tmp_path / "legacy.db") as connection:
        connection.execute("DELETE FROM models WHERE model_id IS NULL")
    connection.close()
    (found,) = profile_url(url, tmp_path).tables["runs"].references
    assert (found.columns, found.table, found.declared, found.orphans) == (("model_id",), "models", False, 0)


def test_a_large_table_is_sampled_evenly_and_says_so(url, tmp_path):
    """Of 40 rows at most 10 are looked at: every fourth; the number of rows stays exact, references are left alone."""
    runs = profile_url(url, tmp_path, tables=["runs"], bounds=ProfileBounds(rows_max=10)).tables["runs"]
    assert (runs.row_count, runs.rows_read, runs.sampled, runs.references) == (40, 10, True, ())
    assert runs.columns["id"].minimum == "1"
    assert runs.columns["id"].maximum == "37"


def test_the_command_masks_what_looks_personal_unless_values_are_asked_for(url):
    """No address stands on the screen or in the JSON; with --show-values it does."""
    done = transhume("--json", "profile", "--url", url, "models")
    column = json.loads(done.stdout)["tables"]["models"]["columns"]["contact"]
    assert done.returncode == 0
    assert "ada@example.org" not in done.stdout
    assert column["likely"] == "personal: e-mail address (3 of 3 values)"
    assert "ada@example.org" in transhume("--json", "profile", "--url", url, "models", "--show-values").stdout
    screen = transhume("profile", "--url", url, "models", "datasets").stdout
    assert "ada@example.org" not in screen
    assert "1 orphan in 3 rows" in screen


def test_the_command_takes_an_empty_table(tmp_path):
    """No row is a result as good as any: 0 rows, exit 0."""
    with sqlite3.connect(tmp_path / "empty.db") as connection:
        connection.execute("CREATE TABLE blank (id INTEGER PRIMARY KEY, name TEXT)")
    connection.close()
    done = transhume("profile", "--url", f"sqlite:////{tmp_path / 'empty.db'}")
    assert done.returncode == 0, done.stderr
    assert "blank: 0 rows" in done.stdout


@pytest.mark.sweep
def test_four_times_the_rows_take_no_more_memory(tmp_path):
    """250,000 and 1,000,000 rows of 12 columns, each profiled in a process of its own: the peaks are within a tenth."""
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(("INTEGER", "TEXT", "REAL", "DATETIME") * 3))
    values = ("value", "'name ' || value % 977", "value / 7.0", "'2024-01-15 10:30:' || printf('%02d', value % 60)")
    peaks = []
    for rows in (250_000, 1_000_000):
        path = tmp_path / f"{rows}.db"
        with sqlite3.connect(path) as connection:
            connection.execute(f"CREATE TABLE t ({columns})")
            select = f"SELECT {', '.join(values * 3)} FROM series"
            series = f"WITH RECURSIVE series(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM series LIMIT {rows})"
            connection.execute(f"INSERT INTO t {series} {select}")
        connection.close()
        code = (
            "import resource, sys; from pathlib import Path; from transhume.project.profiling import profile_url;"
            "found = profile_url(sys.argv[1], Path(sys.argv[2])).tables['t'];"
            "peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)];"
            "print(found.row_count, found.rows_read, len(found.columns), max(peaks))"
        )
        command = [sys.executable, "-c", code, f"sqlite:////{path}", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        count, read, width, peak = map(int, done.stdout.split())
        assert (count, read, width) == (rows, rows, 12)
        peaks.append(peak)
    assert peaks[1] < 1.1 * peaks[0]
