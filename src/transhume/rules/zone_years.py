"""The local years of a time zone as rows that a SELECT can join, made from the pinned tzdata package."""

import functools
import importlib.resources


@functools.cache
def zone_names() -> frozenset[str]:
    """Return the names of all zones of the pinned tzdata package."""
    return frozenset(importlib.resources.files("tzdata").joinpath("zones").read_text("utf-8").split())

CHANGES_MAX = 4
def zone_info():
    pass
