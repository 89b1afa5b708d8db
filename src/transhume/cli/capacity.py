"""The options that say how much of the machine a command may use."""

import re
from collections.abc import Callable

import click

from transhume.capacity import MEMORY_BYTES_MIN

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def uses_capacity(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command `--jobs` and `--memory`; it takes `jobs` and `memory_bytes`, None where nothing was said."""
    jobs = click.option(
        "--jobs", type=click.IntRange(1, 256), metavar="N", help="Processors to use (default: those that there are)."
    )
    memory = click.option(
        "--memory",
        "memory_bytes",
        callback=_size_bytes,
        metavar="SIZE",
        help="Memory to keep to, as 512MB or 2GB (default: 768MB, more from 3 processors on; at most half of all).",
    )
    return jobs(memory(command))


def _size_bytes(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Return a size as people write it, in bytes; units are powers of 1024."""
    if text is None:
        return None
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        message = f"'{text}' is no size; write a number with MB or GB, as 1.5GB"
        raise click.BadParameter(message, context, parameter)
    size_bytes = int(float(found[1]) * _UNITS[found[2].lower()])
    if size_bytes < MEMORY_BYTES_MIN:
        message = f"'{text}' is too little: a batch and the engine need {MEMORY_BYTES_MIN // 2**20}MB"
        raise click.BadParameter(message, context, parameter)
    return size_bytes
