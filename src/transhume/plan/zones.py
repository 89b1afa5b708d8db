"""Time zone names of a plan: IANA names of places, no abbreviations."""

import re
from types import MappingProxyType

from transhume.rules.zone_years import zone_names
from transhume.words import did_you_mean

_ABBREVIATIONS = MappingProxyType(
    {
        "EST": ("America/New_York", "Australia/Sydney"),
        "EDT": ("America/New_York",),
        "CST": ("America/Chicago", "Asia/Shanghai", "America/Havana"),
        "CDT": ("America/Chicago",),
        "MST": ("America/Denver", "America/Phoenix", "Asia/Kuala_Lumpur"),
        "MDT": ("America/Denver",),
        "PST": ("America/Los_Angeles", "Asia/Manila"),
        "PDT": ("America/Los_Angeles",),
        "HST": ("Pacific/Honolulu",),
        "AST": ("America/Halifax", "Asia/Riyadh"),
        "IST": ("Asia/Kolkata", "Asia/Jerusalem", "Europe/Dublin"),
        "BST": ("Europe/London", "Asia/Dhaka"),
        "WET": ("Europe/Lisbon",),
        "CET": ("Europe/Berlin", "Europe/Paris"),
        "CEST": ("Europe/Berlin", "Europe/Paris"),
        "MET": ("Europe/Berlin",),
        "EET": ("Europe/Helsinki", "Europe/Athens"),
        "EEST": ("Europe/Helsinki", "Europe/Athens"),
        "MSK": ("Europe/Moscow",),
        "JST": ("Asia/Tokyo",),
        "KST": ("Asia/Seoul",),
        "SST": ("Asia/Singapore", "Pacific/Pago_Pago"),
        "AEST": ("Australia/Brisbane", "Australia/Sydney"),
        "AEDT": ("Australia/Sydney",),
        "NZST": ("Pacific/Auckland",),
        "EST5EDT": ("America/New_York",),
        "CST6CDT": ("America/Chicago",),
        "MST7MDT": ("America/Denver",),
        "PST8PDT": ("America/Los_Angeles",),
    }
)
"""Abbreviations and the places that may be meant, likeliest first. Some are zones of tzdata that ignore summer time
(EST, MST, HST: https://data.iana.org/time-zones/tzdb/NEWS, 2024b), which is hardly ever meant."""


def zone_problem(name: str) -> tuple[str, str] | None:
    """Return (what is wrong, cure) for a name that is not the zone of a place; None for one that is."""
    places = _ABBREVIATIONS.get(name.upper())
    if places is not None:
        return f"'{name}' is an abbreviation, not the zone of a place", f"write {_either(places)}"
    if name in zone_names():
        return None
    if re.match(r"(UTC|GMT)?[+-][0-9]", name, re.IGNORECASE):
        return f"'{name}' is an offset, not a time zone", "name the zone of the place, such as 'Europe/Berlin'"
    near = did_you_mean(name, zone_names())
    cure = f"did you mean '{near}'?" if near else "name the zone of the place, such as 'America/New_York'"
    return f"'{name}' is not an IANA time zone", cure


def _either(places: tuple[str, ...]) -> str:
    quoted = [f"'{place}'" for place in places]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
