"""The local years of a time zone as rows that a SELECT can join, made from the pinned tzdata package.

Read straight from the TZif files (RFC 9636), with no part of Python's zoneinfo, which the other twin uses.
"""

import calendar
import datetime as dt
import functools
import importlib.resources
import re
import struct
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from transhume.schema import BIGINT, LogicalType

CHANGES_MAX = 4
"""Changes of offset that one local year may hold; Morocco's years have four (Ramadan)."""

_SECOND = 1_000_000
_DAY = 86_400
_YEAR = 31_556_952
"""Seconds of a mean Gregorian year."""
_EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()
_CYCLE_YEARS = 400
_CYCLE = 146_097 * 86_400
"""Seconds of 400 years: a whole number of weeks."""
_YEAR_MAX = 9999


def zone_columns() -> dict[str, LogicalType]:
    """Return the columns of the relation ("zone", name), all BIGINT and in microseconds but for `year`.

    `offset_0` holds at the year's start. At change number i the clock goes from the offset before it to `offset_i`;
    local times from `from_i` to before `until_i` (microseconds since 1970-01-01T00:00:00 on the clock) occur
    twice, or never: so a time's earlier reading is of the last change whose `until_i` is not after it, the later
    reading of the last whose `from_i` is not. NULL where a year has fewer changes.
    """
    names = ["year", "offset_0"]
    for number in range(1, CHANGES_MAX + 1):
        names += [f"from_{number}", f"until_{number}", f"offset_{number}"]
    return dict.fromkeys(names, BIGINT)


def zone_years(zone: str, years: Iterable[int] = range(1, _YEAR_MAX + 1)) -> dict[str, list[int | None]]:
    """Return the rows of these local years of a zone, column by column, in the order of `zone_columns()`.

    Raises: ValueError for an unknown zone, or a year outside 1-9999 or with more than CHANGES_MAX changes.
    """
    wanted = list(years)
    columns: dict[str, list[int | None]] = {name: [] for name in zone_columns()}
    if wanted and not 1 <= min(wanted) <= max(wanted) <= _YEAR_MAX:
        message = f"the years {min(wanted)} to {max(wanted)} are not within 1-{_YEAR_MAX}"
        raise ValueError(message)
    table = _read(zone)
    changes = table.changes(max(wanted, default=1))
    ends = [change.end for change in changes]
    for year in wanted:
        start, next_start = _day(year, 1, 1) * _DAY, (_day(year, 12, 31) + 1) * _DAY
        place = bisect_right(ends, start)
        offset = changes[place - 1].after if place else table.first_offset
        row: list[int | None] = [year, offset * _SECOND]
        while place < len(changes) and changes[place].begin < next_start:
            change = changes[place]
            row += [change.begin * _SECOND, change.end * _SECOND, change.after * _SECOND]
            place += 1
        if len(row) > len(columns):
            message = f"'{zone}' changes its offset more than {CHANGES_MAX} times in {year}"
            raise ValueError(message)
        row += [None] * (len(columns) - len(row))
        for values, value in zip(columns.values(), row, strict=True):
            values.append(value)
    return columns


@functools.cache
def zone_names() -> frozenset[str]:
    """Return the names of all zones of the pinned tzdata package."""
    return frozenset(importlib.resources.files("tzdata").joinpath("zones").read_text("utf-8").split())


@dataclass(frozen=True, slots=True)
class _Change:
    """At `instant` (seconds since 1970 UTC) the offset goes from `before` to `after` (seconds)."""

    instant: int
    before: int
    after: int

    @property
    def begin(self) -> int:
        return self.instant + min(self.before, self.after)

    @property
    def end(self) -> int:
        return self.instant + max(self.before, self.after)


@dataclass(frozen=True, slots=True)
class _Zone:
    first_offset: int
    listed: tuple[_Change, ...]
    """The changes that the file lists, in order."""
    rule: "_Rule"
    rule_from: int
    """The instant after which `rule` makes the changes."""

    def changes(self, year_max: int) -> list[_Change]:
        """Return every change until the end of a year, and a little beyond."""
        first_ruled = max(1, 1970 + self.rule_from // _YEAR - 1)
        years = range(first_ruled, year_max + 2)
        points = sorted(point for year in years for point in self.rule.points(year) if point[0] > self.rule_from)
        before = self.listed[-1].after if self.listed else self.first_offset
        changes = list(self.listed)
        for instant, after in points:
            if after != before:
                changes.append(_Change(instant, before, after))
            before = after
        return changes


@dataclass(frozen=True, slots=True)
class _Rule:
    """The footer of a TZif file: an offset, and where there is daylight saving, its offset, start and end."""

    standard: int
    daylight: int | None = None
    start: str = ""
    end: str = ""

    def points(self, year: int) -> list[tuple[int, int]]:
        """Return (instant, offset from then on) of the changes that this rule makes in a year.

        The calendar, its weekdays included, comes again every 400 years.
        """
        cycle, year_in_cycle = divmod(year - 1, _CYCLE_YEARS)
        return [(instant + cycle * _CYCLE, offset) for instant, offset in _points(self, year_in_cycle + 1)]


@functools.cache
def _points(rule: _Rule, year: int) -> list[tuple[int, int]]:
    if rule.daylight is None:
        return []
    return [
        (_local_second(rule.start, year) - rule.standard, rule.daylight),
        (_local_second(rule.end, year) - rule.daylight, rule.standard),
    ]


@functools.cache
def _read(zone: str) -> _Zone:
    if zone not in zone_names():
        message = f"'{zone}' is not an IANA time zone of the pinned tzdata package"
        raise ValueError(message)
    content = importlib.resources.files("tzdata").joinpath("zoneinfo", *zone.split("/")).read_bytes()
    if content[:4] != b"TZif" or content[4:5] < b"2":
        message = f"the file of the zone '{zone}' is not TZif version 2 or later"
        raise ValueError(message)
    # The first block is for readers of 32 bits; the one that counts follows it.
    *_, leaps, times, types, letters = counts = struct.unpack(">6l", content[20:44])
    second = 44 + times * 5 + types * 6 + letters + leaps * 8 + counts[0] + counts[1]
    block = content[second:]
    utc_flags, standard_flags, leaps, times, types, letters = struct.unpack(">6l", block[20:44])
    at = 44
    instants = struct.unpack(f">{times}q", block[at : at + 8 * times])
    at += 8 * times
    kinds = block[at : at + times]
    at += times
    offsets = [struct.unpack(">l", block[at + 6 * kind : at + 6 * kind + 4])[0] for kind in range(types)]
    at += 6 * types + letters + leaps * 12 + standard_flags + utc_flags
    pairs = list(zip(instants, (offsets[kind] for kind in kinds), strict=True))
    changes = []
    before = offsets[0]
    for instant, after in pairs:
        if after != before:
            changes.append(_Change(instant, before, after))
        before = after
    rule = _rule(block[at:].strip(b"\n").decode("ascii"), before)
    return _Zone(offsets[0], tuple(changes), rule, instants[-1] if instants else -(1 << 60))


_NAME = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]+>)"
_CLOCK = r"[+-]?[0-9]{1,3}(?::[0-9]{2}){0,2}"
_FOOTER = re.compile(rf"{_NAME}({_CLOCK})(?:{_NAME}({_CLOCK})?,([^,]+),([^,]+))?")


def _rule(footer: str, last_offset: int) -> _Rule:
    if not footer:
        return _Rule(last_offset)
    match = _FOOTER.fullmatch(footer)
    if match is None:
        message = f"the rule '{footer}' of a zone is not understood"
        raise ValueError(message)
    # The footer counts offsets westward; everything else counts them eastward.
    standard = -_seconds(match[1])
    if match[3] is None:
        return _Rule(standard)
    daylight = -_seconds(match[2]) if match[2] else standard + 3600
    return _Rule(standard, daylight, match[3], match[4])


def _seconds(clock: str) -> int:
    sign = -1 if clock.startswith("-") else 1
    parts = [int(part) for part in clock.lstrip("+-").split(":")]
    return sign * sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))


def _local_second(moment: str, year: int) -> int:
    """Return the second of a footer's `Mm.w.d`, `Jn` or `n` with its time of day, on the clock since 1970."""
    date, _, clock = moment.partition("/")
    second = _seconds(clock or "2")
    if date.startswith("M"):
        month, week, weekday = (int(part) for part in date[1:].split("."))
        first = _day(year, month, 1)
        # Day 0 of the count (1970-01-01) was a Thursday; the footer's weekday 0 is Sunday.
        day = first + (weekday - (first + 4)) % 7 + 7 * (week - 1)
        if day - first >= calendar.monthrange(year, month)[1]:
            day -= 7
    elif date.startswith("J"):
        number = int(date[1:])
        day = _day(year, 1, 1) + number - 1 + int(calendar.isleap(year) and number > 59)  # noqa: PLR2004 - 28 February
    else:
        day = _day(year, 1, 1) + int(date)
    return day * _DAY + second


def _day(year: int, month: int, day: int) -> int:
    return dt.date(year, month, day).toordinal() - _EPOCH_ORDINAL
