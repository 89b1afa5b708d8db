"""Time zone files made for a test, of every form that RFC 9636 allows, against Python's zoneinfo and by hand."""

# ruff: noqa: DTZ001 - local times without a zone are the point

import datetime as dt
import importlib.resources
import io
import struct
import zoneinfo
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from transhume.rules import zone_years as reader
from transhume.rules.zone_years import zone_columns, zone_names, zone_years

HOUR = 3600
Changes = Sequence[tuple[dt.datetime, int]]
Maker = Callable[[bytes], str]
_EPOCH = dt.datetime(1970, 1, 1)


def _block(
    size: int, times: Sequence[int], kinds: Sequence[int], offsets: Sequence[int], others: Sequence[int]
) -> bytes:
    """Return a data block whose times have `size` bytes; `others` are letters, leap seconds, two sorts of flags."""
    letters, leaps, standard, utc = others
    form = {4: "l", 8: "q"}[size]
    counts = struct.pack(">6l", utc, standard, leaps, len(times), len(offsets), letters)
    data = struct.pack(f">{len(times)}{form}", *times) + bytes(kinds)
    data += b"".join(struct.pack(">lBB", offset, 0, 0) for offset in offsets)
    data += b"\0" * letters + b"\7" * (leaps * (size + 4)) + b"\1" * standard + b"\1" * utc
    return counts + data


def _file(first: int, changes: Changes, footer: str) -> bytes:
    """Return a file whose first block, for readers of 32 bits, says something else and has every part."""
    times = [int((moment - _EPOCH).total_seconds()) for moment, _ in changes]
    offsets = sorted({first, *(offset for _, offset in changes)}, key=lambda offset: offset != first)
    kinds = [offsets.index(offset) for _, offset in changes]
    old = _block(4, [1, 2, 3], [0, 1, 0], [7, -7], (5, 2, 3, 4))
    new = _block(8, times, kinds, offsets, (6, 3, 5, 2))
    head = b"TZif2" + bytes(15)
    return head + old + head + new + f"\n{footer}\n".encode()


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    """A package of zones whose only one is `Made/Zone`: takes the file and returns the name."""
    (tmp_path / "zoneinfo" / "Made").mkdir(parents=True)
    (tmp_path / "zones").write_text("Made/Zone\nMade/Other\n")

    def make(content: bytes) -> str:
        (tmp_path / "zoneinfo" / "Made" / "Zone").write_bytes(content)
        _forget()
        return "Made/Zone"

    monkeypatch.setattr(importlib.resources, "files", lambda _: tmp_path)
    yield make
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    for function in (zone_names, reader._read, reader._points):
        function.cache_clear()


def _offset(rows: dict[str, list[int | None]], place: int, moment: dt.datetime, bound: str) -> int | None:
    """Look the offset of a local time up, in seconds, as the docstring of `zone_columns` says."""
    micros = (moment - _EPOCH) // dt.timedelta(microseconds=1)
    found = rows["offset_0"][place]
    for number in range(1, 5):
        at = rows[f"{bound}_{number}"][place]
        if at is not None and micros >= at:
            found = rows[f"offset_{number}"][place]
    return None if found is None else found // 1_000_000


def _differences(name: str, content: bytes, years: Sequence[int]) -> list[str]:
    known = zoneinfo.ZoneInfo.from_file(io.BytesIO(content))
    rows, found = zone_years(name, years), []
    for place, year in enumerate(years):
        edges = [rows[f"{name}_{number}"][place] for name in ("from", "until") for number in range(1, 5)]
        beside = [edge + by for edge in edges if edge is not None for by in (-1, 0, 1)]
        moments = [_EPOCH + dt.timedelta(microseconds=edge) for edge in beside]
        moments += [dt.datetime(year, month, day, 12, 30) for month in range(1, 13) for day in (1, 15, 28)]
        moments += [dt.datetime(year, 12, 31, 23, 59, 59), dt.datetime(year, 1, 1)]
        for moment in moments:
            for fold, bound in ((0, "until"), (1, "from")):
                shift = known.utcoffset(moment.replace(fold=fold))
                assert shift is not None
                if moment.year == year and _offset(rows, place, moment, bound) != shift.total_seconds():
                    found.append(f"{moment} fold={fold}: {shift}")
    return found


LAST = [(dt.datetime(1950, 6, 1), 2 * HOUR), (dt.datetime(2001, 1, 1, 10), HOUR)]
FOOTERS = [
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "AAA-1BBB,J58,J300/3",
    "AAA-1BBB,J60/0:30:15,J365/12",
    "AAA-1BBB,J61/12,J365/5",
    "AAA-1BBB-3:30:20,M2.5.3/2:05:07,M9.1.6",
    "<+01>-1<+03>-3,M4.4.5/-2,M11.5.1/-1:30",
    "AAA-1",
    "",
]


@pytest.mark.parametrize("footer", FOOTERS)
def test_every_form_of_a_rule_is_read_as_zoneinfo_reads_it(footer: str, made: Maker) -> None:
    """Days by week and by number, times with seconds and before midnight, offsets of daylight saving of their own."""
    content = _file(-5 * HOUR, LAST, footer)
    years = [1949, 1950, 1951, 2000, 2001, 2002, 2003, 2004, 2023, 2024, 2100, 2400, 2401, 9998, 9999]
    assert _differences(made(content), content, years) == []


def test_the_standard_time_may_be_the_one_of_summer(made: Maker) -> None:
    """Ireland's law: winter has the saving, and it is negative."""
    content = _file(HOUR, [(dt.datetime(2001, 1, 1, 10), 0)], "AAA-1BBB0,M10.5.0,M3.5.0/1")
    assert _differences(made(content), content, [2000, 2001, 2002, 2024, 9999]) == []


@pytest.mark.parametrize(
    ("footer", "days"),
    [
        ("AAA0BBB,J59/0,J300/0", [(2003, 2, 28), (2004, 2, 28)]),
        ("AAA0BBB,J60/0,J300/0", [(2003, 3, 1), (2004, 3, 1)]),
        ("AAA0BBB,58/0,300/0", [(2003, 2, 28), (2004, 2, 28)]),
        ("AAA0BBB,59/0,300/0", [(2003, 3, 1), (2004, 2, 29)]),
        ("AAA0BBB,0/12,300/0", [(2003, 1, 1, 12), (2004, 1, 1, 12)]),
        ("AAA0BBB,59/26,300/0", [(2003, 3, 2, 2), (2004, 3, 1, 2)]),
        ("AAA0BBB,J1/12,J300/0", [(2003, 1, 1, 12), (2004, 1, 1, 12)]),
        ("AAA0BBB,J20/167,J300/0", [(2003, 1, 26, 23), (2004, 1, 26, 23)]),
        ("AAA0BBB,J20/-167,J300/0", [(2003, 1, 13, 1), (2004, 1, 13, 1)]),
    ],
)
def test_days_of_a_rule_are_counted_with_or_without_the_leap_day(
    footer: str, days: list[tuple[int, ...]], made: Maker
) -> None:
    """By hand after POSIX: `Jn` begins at 1 and skips 29 February, `n` begins at 0 and counts it (zoneinfo errs)."""
    rows = zone_years(
        made(_file(0, [(dt.datetime(2001, 1, 1), HOUR), (dt.datetime(2001, 11, 1), 0)], footer)), [2003, 2004]
    )
    wanted = [(dt.datetime(*day) - _EPOCH) // dt.timedelta(microseconds=1) for day in days]  # type: ignore[arg-type]
    assert rows["from_1"] == wanted
    assert rows["offset_1"] == [HOUR * 1_000_000] * 2


@pytest.mark.parametrize(
    ("offset", "footer"), [(-8 * HOUR, "AAA8BBB,M3.2.0,M11.1.0"), (-(5 * HOUR + 30 * 60 + 20), "<-0530>5:30:20")]
)
def test_a_zone_without_changes_is_its_rule_from_the_first_year_on(offset: int, footer: str, made: Maker) -> None:
    """Nothing is listed, so the rule makes all there is."""
    content = _file(offset, [], footer)
    assert _differences(made(content), content, [1, 2, 3, 400, 401, 1969, 1970, 2024, 9999]) == []


@pytest.mark.parametrize(
    ("last", "offset"),
    [
        (dt.datetime(1900, 12, 31, 20), HOUR),
        (dt.datetime(1904, 1, 1, 1), 2 * HOUR),
        (dt.datetime(2009, 12, 31, 20), HOUR),
        (dt.datetime(2012, 1, 1, 1), 2 * HOUR),
    ],
)
def test_a_rule_takes_over_right_behind_the_last_change(last: dt.datetime, offset: int, made: Maker) -> None:
    """Its first change may be one of the next days, before 1970 and after."""
    content = _file(0, [(last, 0), (last + dt.timedelta(minutes=1), offset)], "AAA-1BBB,J365/23,J2/3")
    years = [last.year - 1, last.year, last.year + 1, last.year + 2, 2024]
    assert _differences(made(content), content, years) == []


def test_a_row_holds_the_changes_of_its_own_year(made: Maker) -> None:
    """From the first second to the last; by hand. A change at midnight of New Year is the next year's."""
    changes = [
        (dt.datetime(2001, 1, 1, 10), 2 * HOUR),  # the clock goes from 11 to 12
        (dt.datetime(2001, 12, 31, 21), HOUR),  # from 23 to 22
        (dt.datetime(2002, 12, 31, 23), 2 * HOUR),  # from midnight of New Year to 1
        (dt.datetime(2004, 1, 1, 22), 3 * HOUR),  # from midnight of 2 January to 1
    ]
    rows = zone_years(made(_file(HOUR, changes, "")), [2000, 2001, 2002, 2003, 2004])

    def micros(*moment: int) -> int:
        return (dt.datetime(*moment) - _EPOCH) // dt.timedelta(microseconds=1)  # type: ignore[arg-type]

    one, two, three = (hours * HOUR * 1_000_000 for hours in (1, 2, 3))
    assert rows["year"] == [2000, 2001, 2002, 2003, 2004]
    assert rows["offset_0"] == [one, one, one, one, two]
    assert rows["from_1"] == [None, micros(2001, 1, 1, 11), None, micros(2003, 1, 1), micros(2004, 1, 2)]
    assert rows["until_1"] == [None, micros(2001, 1, 1, 12), None, micros(2003, 1, 1, 1), micros(2004, 1, 2, 1)]
    assert rows["offset_1"] == [None, two, None, two, three]
    assert rows["from_2"] == [None, micros(2001, 12, 31, 22), None, None, None]
    assert rows["until_2"] == [None, micros(2001, 12, 31, 23), None, None, None]
    assert rows["offset_2"] == [None, one, None, None, None]
    assert rows["offset_3"] == rows["from_4"] == [None] * 5


def test_a_year_has_four_changes_at_most(made: Maker) -> None:
    """The relation has columns for no more."""
    names = [f"{name}_{number}" for number in (1, 2, 3, 4) for name in ("from", "until", "offset")]
    assert list(zone_columns()) == ["year", "offset_0", *names]
    changes = [(dt.datetime(2001, month, 1), HOUR * (month % 2)) for month in range(1, 6)]
    assert zone_years(made(_file(0, changes[1:], "")), [2001])["offset_3"] == [3_600_000_000]
    with pytest.raises(ValueError, match="'Made/Zone' changes its offset more than 4 times in 2001"):
        zone_years(made(_file(0, changes, "")), [2000, 2001])
    assert zone_years("Made/Zone", [2002])["offset_0"] == [3_600_000_000]


def test_a_change_to_the_same_offset_is_none(made: Maker) -> None:
    """Only the name of the time changes there."""
    changes = [(dt.datetime(2001, month, 1), HOUR) for month in range(1, 9)]
    rows = zone_years(made(_file(0, changes, "AAA-1")), [2001, 2002])
    assert (rows["offset_0"], rows["offset_1"], rows["offset_2"]) == (
        [0, 3_600_000_000],
        [3_600_000_000, None],
        [None] * 2,
    )


@pytest.mark.parametrize("wrong", [b"TZif\0", b"TZif1", b"TZof2"])
def test_a_file_of_another_version_is_refused(wrong: bytes, made: Maker) -> None:
    """Version 1 knows 32 bits only."""
    name = made(wrong + _file(0, LAST, "")[5:])
    with pytest.raises(ValueError, match="is not TZif version 2 or later"):
        zone_years(name, [2001])


@pytest.mark.parametrize(
    "footer", ["AAA-1BBB,M3.2.0", "AAA-1BBB,M3.2.0,M4.1.0,x", "x", "<>3", "AA3", "AAA3 ", "AAA", "3"]
)
def test_a_rule_of_another_form_is_refused(footer: str, made: Maker) -> None:
    """The message holds it."""
    name = made(_file(0, LAST, footer))
    with pytest.raises(ValueError, match=f"the rule '{footer}' of a zone is not understood"):
        zone_years(name, [2001])


def test_only_listed_zones_are_opened(made: Maker) -> None:
    """And no years are a relation without rows."""
    made(_file(0, LAST, ""))
    with pytest.raises(ValueError, match="'Made/zone' is not an IANA time zone"):
        zone_years("Made/zone", [2001])
    assert zone_names() == {"Made/Zone", "Made/Other"}
    assert zone_years("Made/Zone", []) == {name: [] for name in zone_columns()}
    with pytest.raises(ValueError, match="the years 2001 to 10000 are not within 1-9999"):
        zone_years("Made/Zone", [2001, 10_000])
    assert zone_years("Made/Zone", [9999])["year"] == [9999]
