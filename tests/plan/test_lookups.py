"""Lookups from CSV files: what they hold, and which files may be read at all."""

import hashlib
import os
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transhume.errors import PlanError
from transhume.plan.lookups import LookupTable, read_lookup


def _read(folder, raw: bytes, key: str = "id", value: str = "uuid") -> LookupTable:
    (folder / "x.csv").write_bytes(raw)
    return read_lookup(folder, "x.csv", key, value, None)


@pytest.mark.parametrize(
    "raw",
    [
        b"id,uuid\n1,a\n2,b\n",
        b"id,uuid\r\n1,a\r\n2,b\r\n",
        b"\xef\xbb\xbfid,uuid\n1,a\n2,b",
        b"other,uuid,id\nx,a,1\ny,b,2\n",
        b'"id","uuid"\n"1","a"\n\n"2","b"\n\n',
    ],
)
def test_forms_of_csv(tmp_path, raw):
    """Line ends, byte-order mark, quotes, other columns and empty lines change nothing."""
    table = _read(tmp_path, raw)
    assert table.entries == {"1": "a", "2": "b"}
    assert table.sha256 == hashlib.sha256(raw).hexdigest()


def test_values_are_text_as_written(tmp_path):
    """Nothing is trimmed or typed; an empty field is NULL; a quoted field may hold commas, quotes and line feeds."""
    table = _read(tmp_path, b'id,uuid\n01, a \n 1 ,\nNO,"a ""b"", c\nd"\n')
    assert table.entries == {"01": " a ", " 1 ": None, "NO": 'a "b", c\nd'}


def test_a_duplicate_key_names_both_lines(tmp_path):
    """The lines are those of the file, also behind a field of several lines."""
    with pytest.raises(PlanError, match=r"x.csv:5:1: the key '1' stands twice: in line 4 and in line 5"):
        _read(tmp_path, b'id,uuid\n9,"a\nb"\n1,a\n1,b\n')


@pytest.mark.parametrize(
    "file",
    [
        "../secret.csv",
        "a/../../secret.csv",
        "/etc/passwd",
        "file:///etc/passwd",
        "link.csv",
        "linked/secret.csv",
        "http://x/y.csv",
    ],
)
def test_no_file_outside_the_project(tmp_path, file):
    """Neither a path nor a symbolic link leads out of the plan's folder (A9)."""
    home = tmp_path / "project"
    home.mkdir()
    (tmp_path / "secret.csv").write_text("id,uuid\n1,canary\n")
    (home / "link.csv").symlink_to(tmp_path / "secret.csv")
    (home / "linked").symlink_to(tmp_path)
    with pytest.raises(PlanError, match="outside the project") as caught:
        read_lookup(home, file, "id", "uuid", None)
    assert "canary" not in str(caught.value)


def test_a_link_inside_the_project_is_followed(tmp_path):
    """A link that stays inside is a name like any other, also where the folder itself is one."""
    home = tmp_path / "real"
    home.mkdir()
    (home / "a.csv").write_text("id,uuid\n1,a\n")
    (home / "b.csv").symlink_to(home / "a.csv")
    (tmp_path / "project").symlink_to(home)
    assert read_lookup(tmp_path / "project", "b.csv", "id", "uuid", None).entries == {"1": "a"}


@pytest.mark.parametrize("kind", ["fifo", "socket", "folder", "missing", "nul", "empty name", "long name"])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path, kind, monkeypatch):
    """A FIFO does not block; every other oddity is one clear error (A9)."""
    monkeypatch.chdir(tmp_path)
    name = {"nul": "a\0b", "empty name": "", "long name": "x" * 5000}.get(kind, "x")
    if kind == "fifo":
        os.mkfifo(tmp_path / "x")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("x")
    elif kind == "folder":
        (tmp_path / "x").mkdir()
    with pytest.raises(PlanError) as caught:
        read_lookup(tmp_path, name, "id", "uuid", None)
    assert caught.value.findings[0].cure


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.one_of(st.binary(max_size=100), st.text(alphabet='id,u"\n\r\t x', max_size=60).map(str.encode)))
def test_any_bytes_are_a_lookup_or_a_plan_error(tmp_path, raw):
    """Whatever stands in the file, nothing else comes out."""
    try:
        texts, findings = list(_read(tmp_path, b"id,uuid\n" + raw).entries), ()
    except PlanError as problem:
        texts, findings = [], problem.findings
    assert all(isinstance(text, str) for text in texts)
    assert all(finding.position for finding in findings)


def test_a_field_without_end_is_refused(tmp_path):
    """A quote that is never closed does not swallow the memory or the other rows."""
    with pytest.raises(PlanError, match="no CSV"):
        _read(tmp_path, b'id,uuid\n1,"' + b"x" * 2_000_000)
