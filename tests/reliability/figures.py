"""Figures of a sweep: tests count as they go, in all processes of the session, and the end of the session sums up."""

import json
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests import servers

_FILE = "figures.jsonl"
_CLAUSES = {
    "network_cuts": "{network_cuts} network cuts ({reset} reset, {stalled} stalled, {hidden} acknowledgements hidden), "
    "{partial_rows} partial rows, {cut_unfinished} runs that cannot be finished",
    "server_restarts": "{server_restarts} restarts of a server in a run, {restart_unequal} targets that differ",
    "disk_full": "{disk_full} full disks (extract {disk_full_extract}, journal {disk_full_journal}, "
    "target {disk_full_target}), {acknowledged_lost} acknowledged rows lost",
    "corruptions": "{corruptions} corruptions of a journal that change what is read (truncated {truncated}, "
    "bit flipped {flipped}, older copy {older}, deleted {deleted}), {corruptions_found} detected",
    "steps": "{steps} steps of the state machine ({life_run_or_go_on} runs and {life_take_back} rollbacks, "
    "{life_kills} of them killed), {violations} violations",
    "states": "model of the commit protocol: {states} states, {model_violations} violations",
    "canaries": "{canaries} canaries in {artefacts} artefacts, {canaries_found} found",
}
"""By the number that a line is about: the line, told only where something was counted."""
_KILLED = ("load", "publish", "rollback")
ASKED = {
    "kills of PostgreSQL": 300,
    "kills of Iceberg": 300,
    "network_cuts": 60,
    "disk_full_extract": 1,
    "disk_full_journal": 1,
    "disk_full_target": 1,
    "corruptions": 500,
    "steps": 2000,
    "states": 1,
}
"""What a whole sweep counts at least; one that counts less says that it is a part."""
BEGIN, END = "<!-- the last whole sweep -->", "<!-- until here -->"


def count(**numbers: int) -> None:
    """Add numbers to the session's figures; each call is one line of a file, written at once."""
    line = json.dumps(numbers) + "\n"
    descriptor = os.open(_path(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def totals() -> Counter[str]:
    """Return what was counted so far."""
    sums: Counter[str] = Counter()
    if _path().exists():
        for line in _path().read_text().splitlines():
            sums.update(json.loads(line))
    return sums


def told(sums: Mapping[str, int]) -> list[str]:
    """Return the lines that the end of a session prints; only what was counted is told."""
    lines = [line for system in ("PostgreSQL", "Iceberg") if (line := _kills(sums, system))]
    lines += [text.format_map(Counter(sums)) for name, text in _CLAUSES.items() if sums.get(name)]
    if not lines:
        return []
    missing = lacking(sums)
    part = f"a part only: {', '.join(missing)}" if missing else "a whole sweep"
    return [*lines, f"{part}; {_where()}"]


def lacking(sums: Mapping[str, int]) -> list[str]:
    """Return what was counted less often than a whole sweep counts it, with both numbers."""
    found = Counter(sums)
    for system in ("PostgreSQL", "Iceberg"):
        found[f"kills of {system}"] = sum(sums.get(f"{system}:{name}", 0) for name in _KILLED)
    return [
        f"{found[name]} of {least} {name.replace('_', ' ')}" for name, least in ASKED.items() if found[name] < least
    ]


def keep(lines: list[str], page: Path, day: str, minutes: int) -> None:
    """Put the lines of a whole sweep in the place that a page has for them.

    Effects: writes the page, from its mark `BEGIN` to its mark `END`.
    """
    text = page.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    block = "\n".join(f"- {line}" for line in [*lines, f"{day}, {minutes} minutes"])
    page.write_text(f"{before}{BEGIN}\n{block}\n{END}{after}")


def _kills(sums: Mapping[str, int], system: str) -> str:
    found = {name: sums.get(f"{system}:{name}", 0) for name in _KILLED}
    if not (kills := sum(found.values())):
        return ""
    stages = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    ends = ", ".join(
        f"{sums.get(f'{system}:{name}', 0)} {words}"
        for name, words in (
            ("lost", "rows lost"),
            ("duplicated", "duplicated"),
            ("different", "different"),
            ("unfinished", "runs that cannot be finished"),
        )
    )
    return f"{system}: {kills} kills ({stages}), {ends}"


def _where() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
        commit = found.stdout.strip() or "unknown"
    except OSError:
        commit = "unknown"
    return f"commit {commit}, {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"


def _path() -> Path:
    return Path(os.environ[servers.FOLDER_VARIABLE]) / _FILE
