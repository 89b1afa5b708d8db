"""Parquet files as a source: each type arrives exactly, or is told by name. Expectations stand by hand."""

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transhume.batches import extract_schema
from transhume.errors import SystemRefused
from transhume.systems import open_source

_NOON = dt.datetime(2024, 1, 15, 12, 0, 0, 1, tzinfo=dt.UTC)
TYPES: list[tuple[pa.DataType, list[Any], str, list[Any]]] = [
    (pa.bool_(), [True, None], "boolean", [True, None]),
    (pa.int8(), [-128, 127], "int", [-128, 127]),
    (pa.uint16(), [65535], "int", [65535]),
    (pa.int32(), [-(2**31)], "int", [-(2**31)]),
    (pa.uint32(), [2**32 - 1], "bigint", [2**32 - 1]),
    (pa.int64(), [2**63 - 1, -(2**63)], "bigint", [2**63 - 1, -(2**63)]),
    (pa.float32(), [16777216.0, 0.1], "double", [16777216.0, 0.10000000149011612]),
    (pa.float64(), [0.1 + 0.2, float("inf")], "double", [0.30000000000000004, float("inf")]),
    (pa.string(), ["", "é😀\0", None], "text", ["", "é😀\0", None]),
    (pa.large_string(), ["x"], "text", ["x"]),
    (pa.binary(), [b"\x00\xff", b""], "bytes", [b"\x00\xff", b""]),
    (pa.binary(3), [b"abc"], "bytes", [b"abc"]),
    (pa.uuid(), [uuid.UUID(int=7).bytes], "uuid", [uuid.UUID(int=7).bytes]),
    (pa.decimal128(10, 2), [Decimal("1.10"), Decimal("-0.01")], "decimal(10,2)", ["1.10", "-0.01"]),
    (pa.decimal128(38, 38), [Decimal("0." + "0" * 37 + "1")], "decimal(38,38)", ["1E-38"]),
    (pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31)], "date", ["0001-01-01", "9999-12-31"]),
    (pa.timestamp("us"), [_NOON.replace(tzinfo=None)], "timestamp", ["2024-01-15 12:00:00.000001"]),
    (pa.timestamp("ms"), [dt.datetime(1, 1, 1)], "timestamp", ["0001-01-01 00:00:00.000000"]),  # noqa: DTZ001
    (pa.timestamp("us", tz="Europe/Berlin"), [_NOON], "timestamptz", ["2024-01-15 12:00:00.000001+00:00"]),
    (pa.time64("us"), [dt.time(23, 59, 59, 999999)], "time", ["23:59:59.999999"]),
    (pa.time32("ms"), [dt.time(1, 2, 3)], "time", ["01:02:03.000"]),
]
REFUSED = [
    (pa.uint64(), "uint64"),
    (pa.timestamp("ns"), "timestamp[ns]"),
    (pa.time64("ns"), "time64[ns]"),
    (pa.decimal256(50, 2), "decimal256(50, 2)"),
    (pa.float16(), "halffloat"),
    (pa.list_(pa.int32()), "list<element: int32>"),
    (pa.struct([("a", pa.int32())]), "struct<a: int32>"),
    (pa.dictionary(pa.int32(), pa.string()), "dictionary<values=string, indices=int32, ordered=0>"),
]


def _write(folder: Path, kind: pa.DataType, values: list[Any], **options: Any) -> Any:
    pq.write_table(pa.table({"v": pa.array(values, kind)}), folder / "t.parquet", **options)
    return open_source("files:.", folder)


@pytest.mark.parametrize(("kind", "values", "logical", "expected"), TYPES, ids=[str(each[0]) for each in TYPES])
def test_a_type_arrives_exactly(
    tmp_path: Path, kind: pa.DataType, values: list[Any], logical: str, expected: list[Any]
) -> None:
    """Values come in their logical type; times and decimals as texts that hold every digit."""
    source = _write(tmp_path, kind, values)
    table = source.catalog().tables["t"]
    assert str(table.column("v").type) == logical
    assert (table.row_count, table.located) == (len(values), False)
    with source.snapshot() as snapshot:
        read = pa.Table.from_batches(snapshot.read(table, 100, 2**20), extract_schema(table))
    found = read["v"].to_pylist()
    assert [type(each) for each in found] == [type(each) for each in expected]
    assert found == expected


@pytest.mark.parametrize(("kind", "native"), REFUSED, ids=[each[1] for each in REFUSED])
def test_a_type_that_would_be_cut_is_not_carried(tmp_path: Path, kind: pa.DataType, native: str) -> None:
    """The column has no type and its own name, so a plan that uses it is refused; the rows can still be counted."""
    source = _write(tmp_path, kind, [None, None])
    table = source.catalog().tables["t"]
    assert (table.column("v").type, table.column("v").native) == (None, native)
    with source.snapshot() as snapshot:
        assert sum(batch.num_rows for batch in snapshot.read(table, 100, 2**20)) == 2


def test_int96_is_not_carried(tmp_path: Path) -> None:
    """INT96 counts nanoseconds, and is told by its own name."""
    source = _write(tmp_path, pa.timestamp("us"), [_NOON.replace(tzinfo=None)], use_deprecated_int96_timestamps=True)
    column = source.catalog().tables["t"].column("v")
    assert (column.type, column.native) == (None, "INT96")


def test_years_beyond_9999_are_no_date_of_a_target(tmp_path: Path) -> None:
    """A legal Parquet value that no target holds comes as a text that is no timestamp: the row is rejected later."""
    source = _write(tmp_path, pa.timestamp("us"), [2**62])
    table = source.catalog().tables["t"]
    with source.snapshot() as snapshot:
        (batch,) = snapshot.read(table, 100, 2**20)
    text = batch["v"][0].as_py()
    assert not text[:4].isdigit() or text[4] != "-"


def test_text_that_is_not_utf8_and_damage_are_refused(tmp_path: Path) -> None:
    """A damaged footer, a file cut off, a text that is none: told with the file's name, nothing is used."""
    source = _write(tmp_path, pa.binary(), [b"\xff\xfe"])
    content = (tmp_path / "t.parquet").read_bytes()
    for damaged in (content[:-6], content[: len(content) // 2], b"", b"PAR1"):
        (tmp_path / "t.parquet").write_bytes(damaged)
        with pytest.raises(SystemRefused, match=r"t\.parquet"):
            source.catalog()
    # The same bytes as a file that says they are text.
    text = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff\xfe"], pa.binary()).buffers())
    pq.write_table(pa.table({"v": text}), tmp_path / "t.parquet")
    table = source.catalog().tables["t"]
    with source.snapshot() as snapshot, pytest.raises(SystemRefused, match=r"t\.parquet"):
        list(snapshot.read(table, 100, 2**20))
