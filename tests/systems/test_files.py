"""Files as a source: which lines are rows, which files are tables, what is refused. Expectations stand by hand."""

import codecs
import gzip
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from transhume.batches import extract_schema
from transhume.errors import SystemRefused, SystemUnavailable, UsageError
from transhume.systems import open_source
from transhume.systems.files import records
from transhume.systems.files.records import Dialect, Grammar, Piece, pieces


def _rows(folder: Path, url: str, name: str = "t", rows_max: int = 65_536, bytes_max: int = 2**25) -> list[Any]:
    """Return line number and values of every row, or the line number and the bytes of a bad line."""
    source = open_source(url, folder)
    table = source.catalog().tables[name]
    with source.snapshot() as snapshot:
        read = pa.Table.from_batches(snapshot.read(table, rows_max, bytes_max), extract_schema(table)).to_pylist()
    assert [row["_row"] for row in read] == list(range(len(read)))
    return [_row(row, [column.name for column in table.columns]) for row in read]


def _row(row: Mapping[str, Any], names: list[str]) -> Any:
    odd = {each["name"]: (each["class"], each["value"]) for each in row["_odd"] or ()}
    if any(kind == "line" for kind, _ in odd.values()):
        assert {name: odd[name][0] for name in names} == dict.fromkeys(names, "line")
        assert all(row[name] is None for name in names)
        return (row["_line"], odd[names[0]][1])
    return (row["_line"], [odd.get(name, row[name]) for name in names])


LINES: list[tuple[str, bytes, list[Any]]] = [
    ("line feeds", b"a,b\n1,2\n3,4\n", [(2, ["1", "2"]), (3, ["3", "4"])]),
    ("CR LF", b"a,b\r\n1,2\r\n", [(2, ["1", "2"])]),
    ("CR alone", b"a,b\r1,2\r3,4\r", [(2, ["1", "2"]), (3, ["3", "4"])]),
    ("mixed ends", b"a,b\r\n1,2\n3,4\r5,6", [(2, ["1", "2"]), (3, ["3", "4"]), (4, ["5", "6"])]),
    ("no end at the end", b"a,b\n1,2", [(2, ["1", "2"])]),
    ("a field too few", b"a,b\n1\n3,4\n", [(2, b"1"), (3, ["3", "4"])]),
    ("a field too many", b"a,b\n1,2,3\n3,4\n", [(2, b"1,2,3"), (3, ["3", "4"])]),
    ("a field too many, over two lines", b'a,b\n1,"x\n7,8\ny",3\n3,4\n', [(2, b'1,"x\n7,8\ny",3'), (5, ["3", "4"])]),
    ("a delimiter at the end is a field", b"a,b\n1,2,\n", [(2, b"1,2,")]),
    ("lines without a sign are none", b"a,b\n\n1,2\n\r\n\n3,4\n\n", [(3, ["1", "2"]), (6, ["3", "4"])]),
    ("a line of a blank is a row", b"a,b\n \n3,4\n", [(2, b" "), (3, ["3", "4"])]),
    ("one column: such a line is NULL", b"a\n1\n\n3\n", [(2, ["1"]), (3, [None]), (4, ["3"])]),
    ("nothing and two quotes", b'a,b\n,""\n', [(2, [None, ""])]),
    ("lines after one of three", b'a,b\n1,"x\n\ny"\n3,4\n', [(2, ["1", "x\n\ny"]), (5, ["3", "4"])]),
    ("an inch sign", b'a,b\n5" pipe,2\n3,4\n', [(2, b'5" pipe,2'), (3, ["3", "4"])]),
    ("a quote inside a field", b'a,b\n1,x"y"z\n3,4\n', [(2, b'1,x"y"z'), (3, ["3", "4"])]),
    ("a blank before a quote", b'a,b\n1, "x"\n3,4\n', [(2, b'1, "x"'), (3, ["3", "4"])]),
    ("a sign behind the closing quote", b'a,b\n1,"x"y\n3,4\n', [(2, b'1,"x"y'), (3, ["3", "4"])]),
    (
        "quotes that are not doubled, over lines",
        b'a,b\n1,"he said "x\n7,8\ny"\n3,4\n',
        [(2, b'1,"he said "x\n7,8\ny"'), (5, ["3", "4"])],
    ),
    (
        "a quote that is not doubled, and fields of two lines behind",
        b'a,b\n1,"he said "x" and\n7,8\ny","z\n7,8\nz"\n3,"4\n5"\n',
        [(2, b'1,"he said "x" and\n7,8\ny","z\n7,8\nz"'), (7, ["3", "4\n5"])],
    ),
    ("a quote never closed, and quotes behind", b'a,b\n1,"x\n3,"4"\n', [(2, b'1,"x'), (3, ["3", "4"])]),
    ("a quote never closed", b'a,b\n1,"x\n3,4\n5,6\n', [(2, b'1,"x'), (3, ["3", "4"]), (4, ["5", "6"])]),
    ("a quote never closed, at the end", b'a,b\n3,4\n1,"x', [(2, ["3", "4"]), (3, b'1,"x')]),
    ("U+0000", b"a,b\n1,x\0y\n3,4\n", [(2, b"1,x\0y"), (3, ["3", "4"])]),
    ("U+0000 in quotes", b'a,b\n1,"x\0y"\n3,4\n', [(2, b'1,"x\0y"'), (3, ["3", "4"])]),
    ("bytes that do not decode", b"a,b\n1,\xff\n3,4\n", [(2, ["1", ("invalid", b"\xff")]), (3, ["3", "4"])]),
    ("a first line that is empty", b"\n\na,b\n1,2\n", [(4, ["1", "2"])]),
    ("a mark in front", codecs.BOM_UTF8 + b"a,b\n1,2\n", [(2, ["1", "2"])]),
    ("UTF-16, little end first", codecs.BOM_UTF16_LE + "a,b\n1,é\n".encode("utf-16-le"), [(2, ["1", "é"])]),
    ("UTF-16, big end first", codecs.BOM_UTF16_BE + "a,b\n1,😀\n".encode("utf-16-be"), [(2, ["1", "😀"])]),
    (
        "half of a pair in UTF-16",
        codecs.BOM_UTF16_LE + "a,b\n1,".encode("utf-16-le") + b"\x3d\xd8" + "\n".encode("utf-16-le"),
        [(2, ["1", ("invalid", b"\xed\xa0\xbd")])],
    ),
    ("semicolons", b"a;b\n1;2,5\n3;4,5\n", [(2, ["1", "2,5"]), (3, ["3", "4,5"])]),
    ("tabs", b"a\tb\n1\t2\n", [(2, ["1", "2"])]),
    ("bars", b"a|b\n1|2\n", [(2, ["1", "2"])]),
    ("commas inside of quotes only", b'a;b\n"1,1";"2,2"\n', [(2, ["1,1", "2,2"])]),
    ("only a header", b"a,b\n", []),
    ("one column and no delimiter", b"a b\n1 2\n", [(2, ["1 2"])]),
]


@pytest.mark.parametrize(("content", "expected"), [each[1:] for each in LINES], ids=[each[0] for each in LINES])
def test_each_line_is_a_row_or_kept_whole_with_its_number(tmp_path: Path, content: bytes, expected: list[Any]) -> None:
    """Rows have the number of the line on which they begin; what is no row is kept whole and shifts nothing."""
    (tmp_path / "t.csv").write_bytes(content)
    assert _rows(tmp_path, "files:t.csv") == expected


@pytest.mark.parametrize("content", [each[1] for each in LINES], ids=[each[0] for each in LINES])
def test_where_the_text_is_cut_does_not_matter(content: bytes) -> None:
    """A text that comes byte by byte gives the rows of one that comes whole: no row is split or joined at a seam."""

    def found(parts: list[bytes]) -> list[Any]:
        rows: list[Any] = []
        for piece in pieces(iter(parts), Grammar(Dialect(b",", b'"'), 2), 1):
            rows += _split(piece)
        return rows

    assert found([content[place : place + 1] for place in range(len(content))]) == found([content])


def _split(piece: Piece) -> list[Any]:
    grammar = Grammar(Dialect(b",", b'"'), 2)
    texts, place = [], 0
    while place < len(piece.text):
        end = grammar.one_end(piece.text, place)
        assert end is not None
        if piece.text[place:end].strip(b"\r\n"):
            texts.append(piece.text[place:end])
        place = end
    assert len(texts) == len(piece.lines)
    return [(line, piece.bad.get(place, texts[place])) for place, line in enumerate(piece.lines)]


@pytest.mark.parametrize(
    ("url", "content", "expected"),
    [
        ("files:t.csv?delimiter=;", b"a,x;b\n1;2\n", [(2, ["1", "2"])]),
        ("files:t.csv?delimiter=tab", b"a\tb\n1\t2\n", [(2, ["1", "2"])]),
        ("files:t.csv?delimiter=^", b"a^b\n1^2\n", [(2, ["1", "2"])]),
        ("files:t.csv?encoding=latin-1", b"a,b\n1,\xe9\n", [(2, ["1", "é"])]),
        ("files:t.csv?encoding=cp1252", b"a,b\n\x80,\x81\n", [(2, ["€", ("invalid", b"\xed\xb2\x81")])]),
        ("files:t.csv?encoding=utf-16-le", "a,b\n1,é\n".encode("utf-16-le"), [(2, ["1", "é"])]),
        ("files:t.csv?header=no", b"1,2\n3,4\n", [(1, ["1", "2"]), (2, ["3", "4"])]),
        (r"files:t.csv?null=\N", b'a,b\n\\N,"\\N"\n,""\n', [(2, [None, "\\N"]), (3, ["", ""])]),
        ("files:t.csv?quote=single", b"a,b\n'1,1','it''s'\n\"x\",2\n", [(2, ["1,1", "it's"]), (3, ['"x"', "2"])]),
        ("files:t.csv?quote=none", b'a,b\n5" pipe,"x\n', [(2, ['5" pipe', '"x'])]),
    ],
)
def test_what_the_url_says_of_the_texts_holds(tmp_path: Path, url: str, content: bytes, expected: list[Any]) -> None:
    """Delimiter, encoding, header, NULL and quote of the URL are those that are read by."""
    (tmp_path / "t.csv").write_bytes(content)
    assert _rows(tmp_path, url) == expected


JSON_LINES: list[tuple[bytes, list[Any]]] = [
    (b'{"a":1,"b":"x"}\n{"b":"y","c":true}\n', [(1, ["1", "x", None]), (2, [None, "y", "true"])]),
    (b'{"a":1}\r\n\r\n{"a":2}', [(1, ["1"]), (3, ["2"])]),
    (b' { "a" : [1, 2.50] , "b":null } \n', [(1, ["[1, 2.50]", None])]),
    (b'{"a":1}\n{"a":1,"a":2}\n{"a":3}\n', [(1, ["1"]), (2, b'{"a":1,"a":2}'), (3, ["3"])]),
    (b'{"a":1}\n{"a":NaN}\n{"a":-Infinity}\n', [(1, ["1"]), (2, b'{"a":NaN}'), (3, b'{"a":-Infinity}')]),
    (b'{"a":1}\n{"a":01}\n{"a":.5}\n', [(1, ["1"]), (2, b'{"a":01}'), (3, b'{"a":.5}')]),
    (b'{"a":1}\n{"a":1},\n{"a":1,}\n', [(1, ["1"]), (2, b'{"a":1},'), (3, b'{"a":1,}')]),
    (b'{"a":1}\n[1]\n1\n"x"\nnull\n', [(1, ["1"]), (2, b"[1]"), (3, b"1"), (4, b'"x"'), (5, b"null")]),
    (b'{"a":1}\n{"a":"x\n{"a":2}\n', [(1, ["1"]), (2, b'{"a":"x'), (3, ["2"])]),
    (b'{"a":1}\n{"a":"\xff"}\n', [(1, ["1"]), (2, b'{"a":"\xff"}')]),
    (b"{'a':1}\n{\"a\":2}\n", [(1, b"{'a':1}"), (2, ["2"])]),
    (b'{"a":1}\n{"a":"tab\t"}\n', [(1, ["1"]), (2, b'{"a":"tab\t"}')]),
    (b'{"a":1}\n{}\n', [(1, ["1"]), (2, [None])]),
    (
        b'{"a":1}\n' + b'{"a":' + b"[" * 9000 + b"]" * 9000 + b"}\n",
        [(1, ["1"]), (2, b'{"a":' + b"[" * 9000 + b"]" * 9000 + b"}")],
    ),
    (b'{"a":' + b"9" * 5000 + b"}\n", [(1, ["9" * 5000])]),
    (codecs.BOM_UTF8 + b'{"a":1}\n', [(1, ["1"])]),
]


@pytest.mark.parametrize(("content", "expected"), JSON_LINES)
def test_each_object_is_a_row_or_kept_whole_with_its_number(tmp_path: Path, content: bytes, expected: Any) -> None:
    """Columns are the keys of all lines by first appearance; numbers keep their digits; what is no object is kept."""
    (tmp_path / "t.jsonl").write_bytes(content)
    assert _rows(tmp_path, "files:.") == expected


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a,a,b\n1,2,3\n", "the name 'a' stands 2 times"),
        (b"a,,b\n1,2,3\n", "column 2 has no name"),
        (b"a,\xff\n1,2\n", "the name of column 2 does not decode"),
        (b'a,"b\n"\n1,2\n', "holds a line end"),
        (b'a,b"c\n1,2\n', "the header cannot be told"),
        (b"a,b;c\n1,2;3\n", "',' and ';' both divide its lines evenly"),
        (b"a,b\n" + codecs.BOM_UTF16_LE, None),
        (codecs.BOM_UTF16_LE + b"a\0,\0b\0\n", "breaks inside a sign"),
    ],
)
def test_a_header_that_cannot_stand_is_refused_by_name(tmp_path: Path, content: bytes, told: str | None) -> None:
    """A file whose columns have no sure names is no table; every reason is told with file and line."""
    (tmp_path / "bad.csv").write_bytes(content)
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,2\n")
    source = open_source("files:*.csv", tmp_path)
    if told is None:
        assert set(source.catalog().tables) == {"bad", "t"}
        return
    with pytest.raises(SystemRefused, match=r"'bad\.csv'") as caught:
        source.catalog()
    assert told in str(caught.value)


def test_an_empty_file_is_an_empty_table(tmp_path: Path) -> None:
    """No byte, or no sign, is a table without columns and rows."""
    for name in ("t.csv", "u.jsonl"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "v.csv").write_bytes(b"\n\r\n")
    tables = open_source("files:.", tmp_path).catalog().tables
    assert {name: table.columns for name, table in tables.items()} == {"t": (), "u": (), "v": ()}
    assert [_rows(tmp_path, "files:.", name) for name in tables] == [[], [], []]


def test_files_that_cannot_be_tables_are_refused_all_at_once(tmp_path: Path) -> None:
    """One stem twice, names that differ in case, links out of the folder and pipes are told by name in one error."""
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.csv").write_text("a\n1\n")
    for name in ("one.csv", "one.tsv", "Two.csv", "two.jsonl", "good.csv"):
        (folder / name).write_text("a\n")
    (folder / "link.csv").symlink_to("../secret.csv")
    (folder / "inside.csv").symlink_to("good.csv")
    os.mkfifo(folder / "pipe.csv")
    with pytest.raises(SystemRefused) as caught:
        open_source("files:in", tmp_path).catalog()
    told = str(caught.value)
    assert "'one.tsv' and 'one.csv'" in told
    assert "'two.jsonl' and 'Two.csv'" in told
    assert "'link.csv' is a link that leads out of the folder" in told
    assert "'pipe.csv' is no regular file" in told
    assert "inside.csv" not in told
    assert "good.csv" not in told


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("files:", "names no folder"),
        ("files://host/x", "names no folder"),
        ("files:a*/b.csv", "names no folder"),
        ("files:x?delimter=;", "did you mean 'delimiter'"),
        ("files:x?delimiter=ab", "delimiter is one ASCII sign"),
        ("files:x?encoding=shift_jis", "is not read"),
        ("files:x?encoding=utf-7", "is not read"),
        ("files:x?encoding=nonsense", "is not known"),
        ("files:x?header=maybe", "header is yes or no"),
        ("files:x?header=no&header=yes", "stands twice"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused(tmp_path: Path, url: str, told: str) -> None:
    """What a URL says wrongly is told in words before any file is looked at."""
    with pytest.raises(UsageError, match="files URL") as caught:
        open_source(url, tmp_path)
    assert told in str(caught.value)


def test_packed_texts_are_read_and_damaged_ones_refused(tmp_path: Path) -> None:
    """Gzip by suffix; a file that ends early or is none is refused by name, not read in part."""
    content = gzip.compress(b"a,b\n" + b"1,2\n" * 50_000)
    (tmp_path / "t.csv.gz").write_bytes(content)
    assert len(_rows(tmp_path, "files:.")) == 50_000
    (tmp_path / "t.csv.gz").write_bytes(content[:-20])
    with pytest.raises(SystemRefused, match=r"t\.csv\.gz"):
        _rows(tmp_path, "files:.")
    (tmp_path / "t.csv.gz").write_bytes(content[:40] + b"\xff" * 20 + content[60:])
    with pytest.raises(SystemRefused, match=r"t\.csv\.gz"):
        _rows(tmp_path, "files:.")
    (tmp_path / "t.csv.gz").write_bytes(b"a,b\n1,2\n")
    with pytest.raises(SystemRefused, match=r"t\.csv\.gz"):
        _rows(tmp_path, "files:.")


def test_a_change_while_files_are_read_is_told_at_the_end(tmp_path: Path) -> None:
    """One byte more, one file more, one file less, or the same size with other bytes: the rows are not to be used."""

    def more() -> None:
        with (tmp_path / "t.csv").open("ab") as file:
            file.write(b"5,6\n")

    def other() -> None:
        (tmp_path / "t.csv").write_bytes(b"a,b\n1,3\n")

    for change in (more, other, (tmp_path / "t.csv").unlink, lambda: (tmp_path / "u.csv").write_text("a\n")):
        (tmp_path / "t.csv").write_bytes(b"a,b\n1,2\n")
        (tmp_path / "u.csv").unlink(missing_ok=True)
        (tmp_path / "s.csv").write_bytes(b"a\n")
        with pytest.raises(SystemUnavailable, match="changed while they were read"):  # noqa: SIM117
            with open_source("files:*.csv", tmp_path).snapshot():
                change()


def test_columns_that_came_since_the_catalog_are_told(tmp_path: Path) -> None:
    """Between catalog and reading a file may get another header or a new key: it is refused, nothing is cut."""
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "u.jsonl").write_bytes(b'{"a":1}\n')
    source = open_source("files:.", tmp_path)
    tables = source.catalog().tables
    (tmp_path / "t.csv").write_bytes(b"b,a\n1,2\n")
    (tmp_path / "u.jsonl").write_bytes(b'{"a":1}\n{"z":1}\n')
    with source.snapshot() as snapshot:
        with pytest.raises(SystemRefused, match="other columns than a moment ago"):
            list(snapshot.read(tables["t"], 10, 2**20))
        with pytest.raises(SystemRefused, match="'z' was not there"):
            list(snapshot.read(tables["u"], 10, 2**20))


def test_files_are_not_touched_and_the_hash_is_told(tmp_path: Path) -> None:
    """Reading changes neither bytes nor times nor the folder; the instant says that there is no snapshot."""
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,2\n")
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    source = open_source("files:.", tmp_path)
    assert source.catalog().one_instant is False
    with source.snapshot() as snapshot:
        list(snapshot.read(source.catalog().tables["t"], 10, 2**20))
        # sha256sum of the line "t <sha256sum of t.csv>"
        assert snapshot.instant.endswith(
            "no snapshot; 1 files sha256 9d6f6b1371b62142a7694dd44b72ef779f9da9ef5fa7ff7e125682baaa111f7c"
        )
    source.close()
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before


def test_batches_keep_their_bounds(tmp_path: Path) -> None:
    """No batch has more rows than asked for, or many more bytes, and together they are the file."""
    (tmp_path / "t.csv").write_bytes(b"a,b\n" + b"".join(b"%d,%s\n" % (n, b"x" * 100) for n in range(10_000)))
    source = open_source("files:t.csv", tmp_path)
    table = source.catalog().tables["t"]
    with source.snapshot() as snapshot:
        read = list(snapshot.read(table, 700, 40_000))
    assert max(batch.num_rows for batch in read) <= 700
    assert max(batch.nbytes for batch in read) <= 44_000
    found = pa.Table.from_batches(read)
    assert found["a"].to_pylist() == [str(n) for n in range(10_000)]
    assert found["_line"].to_pylist() == list(range(2, 10_002))


def test_a_line_longer_than_memory_should_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no line end for very long is told by its line; it is not collected without a bound."""
    monkeypatch.setattr(records, "RECORD_BYTES_MAX", 2**20)
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,2\n" + b"x" * (12 * 2**20))
    with pytest.raises(SystemRefused, match="line 3 has more than"):
        _rows(tmp_path, "files:.")
