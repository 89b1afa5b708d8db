"""The zone relation against Python's zoneinfo, which shares no code with it."""

# ruff: noqa: DTZ001 - local times without a zone are the point

import datetime as dt
import random
from collections.abc import Iterator

import pytest

from transhume.rules.utc import _zone
from transhume.rules.zone_years import CHANGES_MAX, zone_columns, zone_names, zone_years

_EPOCH = dt.datetime(1970, 1, 1)
_INTERESTING = [
    "America/New_York", "Africa/Casablanca", "Asia/Gaza", "Europe/Dublin", "Australia/Lord_Howe", "Pacific/Apia",
    "Antarctica/Troll", "America/Nuuk", "Europe/London", "Asia/Tehran", "Asia/Kathmandu", "Africa/Monrovia", "UTC",
    "America/Godthab", "Asia/Manila", "Atlantic/Azores",
]  # fmt: skip


def _micros(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


def _offset(rows: dict[str, list[int | None]], moment: dt.datetime, bound: str) -> dt.timedelta:
    """Look an offset up as the relation's docstring says."""
    row = {name: values[moment.year - 1] for name, values in rows.items()}
    assert row["year"] == moment.year
    found = row["offset_0"]
    for number in range(1, CHANGES_MAX + 1):
        at = row[f"{bound}_{number}"]
        if at is not None and _micros(moment) >= at:
            found = row[f"offset_{number}"]
    assert found is not None
    return dt.timedelta(microseconds=found)


def _moments(rows: dict[str, list[int | None]], rng: random.Random, changes: int) -> Iterator[dt.datetime]:
    """Yield moments at and beside the edges of changes, near ones first, and moments anywhere."""
    for number in range(1, CHANGES_MAX + 1):
        edges = [edge for name in ("from", "until") for edge in rows[f"{name}_{number}"] if edge is not None]
        near = [edge for edge in edges if abs(edge) < 70 * 365 * 86_400 * 1_000_000]
        for edge in [*rng.sample(near, min(changes, len(near))), *rng.sample(edges, min(changes, len(edges)))]:
            for beside in (-1, 0, 1):
                yield _EPOCH + dt.timedelta(microseconds=edge + beside)
    for year in [1, 2, 9999, *(rng.randint(1, 9999) for _ in range(changes))]:
        yield dt.datetime(year, 1, 1)
        yield dt.datetime(year, 12, 31, 23, 59, 59, 999999)
        yield dt.datetime(year, rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23))


def _differences(zone: str, changes: int) -> list[str]:
    rows, known, rng = zone_years(zone), _zone(zone), random.Random(zone)
    return [
        f"{zone} {moment} fold={fold}"
        for moment in _moments(rows, rng, changes)
        for fold, bound in ((0, "until"), (1, "from"))
        if _offset(rows, moment, bound) != moment.replace(tzinfo=known, fold=fold).utcoffset()
    ]


@pytest.mark.parametrize("zone", _INTERESTING)
def test_local_years_agree_with_zoneinfo(zone: str) -> None:
    """Both readings of a local time are zoneinfo's, at the edges of changes and anywhere from year 1 to 9999."""
    assert _differences(zone, 25) == []


@pytest.mark.sweep
@pytest.mark.parametrize("zone", sorted(zone_names()))
def test_every_zone_agrees_with_zoneinfo(zone: str) -> None:
    """The same for every zone of the pinned package and thousands of its moments."""
    assert _differences(zone, 400) == []


def test_every_zone_fits_the_relation() -> None:
    """No zone changes its offset more often in a year than the relation has columns for."""
    for zone in zone_names():
        assert len(zone_years(zone, range(1900, 2051))["year"]) == 151


def test_rows_have_the_columns_that_are_promised() -> None:
    """Each row has every column of `zone_columns`, and only the years that were asked for."""
    rows = zone_years("Europe/Berlin", [2024, 1980])
    assert list(rows) == list(zone_columns())
    assert rows["year"] == [2024, 1980]
    assert rows["offset_0"] == [3_600_000_000, 3_600_000_000]


@pytest.mark.parametrize("years", [[0], [10_000], [2024, -1]])
def test_years_outside_the_calendar_are_refused(years: list[int]) -> None:
    """A year that no timestamp can have is an error, not a row."""
    with pytest.raises(ValueError, match="not within 1-9999"):
        zone_years("UTC", years)


@pytest.mark.parametrize("zone", ["", "Nope/Nowhere", "../zones", "/etc/passwd", "america/new_york"])
def test_unknown_zones_are_refused(zone: str) -> None:
    """Only names of the pinned package are zones; no path is opened."""
    with pytest.raises(ValueError, match="not an IANA time zone"):
        zone_years(zone)
