"""Lookups from CSV files of the project: which files may be read, what is in them, what is wrong with them."""

import csv
import hashlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from transhume.errors import Finding, PlanError, Position
from transhume.plan.document import decode, quoted, read_regular
from transhume.words import hint, printable

SIZE_BYTES_MAX = 64 * 2**20
_FIELD_LENGTH_MAX = 2**20


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A lookup as read: key text to value text (None for an empty field), and the file's hash."""

    file: str
    sha256: str
    entries: Mapping[str, str | None]


def read_lookup(directory: Path, file: str, key: str, value: str, position: Position | None) -> LookupTable:
    """Read one CSV lookup (RFC 4180, header, UTF-8 with or without a byte-order mark).

    Only a regular file inside `directory` is read, also after following symbolic links; nothing blocks.
    Raises: PlanError with every problem; `position` is where the plan names the file.
    """
    raw = _read(directory, file, position)
    text = decode(raw, file, size_bytes_max=SIZE_BYTES_MAX)
    rows = _rows(text, file)
    if not rows:
        raise _problem("lookup_empty", f"'{file}' is empty", "write a header and rows", Position(file, 1, 1))
    header = [name.strip() for name in rows[0][1]]
    findings = _header_findings(file, header, key, value, text.splitlines()[0])
    if findings:
        raise PlanError(findings)
    at_key, at_value = header.index(key), header.index(value)
    entries: dict[str, str | None] = {}
    seen: dict[str, int] = {}
    for line, row in rows[1:]:
        place = Position(file, line, 1)  # the line itself is not quoted: lookups may hold personal data
        if len(row) != len(header):
            message = f"line {line} has {len(row)} fields and the header {len(header)}"
            findings.append(_finding("lookup_row", message, "put fields with commas in quotes", place))
        elif row[at_key] in seen:
            message = f"the key '{row[at_key]}' stands twice: in line {seen[row[at_key]]} and in line {line}"
            findings.append(_finding("lookup_duplicate", message, "remove one of them", place))
        else:
            seen[row[at_key]] = line
            entries[row[at_key]] = row[at_value] or None
    if findings:
        raise PlanError(findings[:100])
    return LookupTable(file, hashlib.sha256(raw).hexdigest(), entries)


def _read(directory: Path, file: str, position: Position | None) -> bytes:
    outside = f"'{file}' lies outside the project's folder; a plan reads no other file"
    cure = "copy it into lookups/ and name it by its path from the plan"
    home = os.path.realpath(directory)
    try:
        real = os.path.realpath(directory / file)
        if "://" in file or Path(file).is_absolute() or os.path.commonpath([home, real]) != home:
            raise _problem("file_outside", outside, cure, position)
        descriptor = os.open(real, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    except (OSError, ValueError) as problem:
        reason = (problem.strerror or "").lower() if isinstance(problem, OSError) else "not a file name"
        message = f"cannot read '{file}': {reason}"
        raise _problem("file", message, "paths count from the plan's folder", position) from None
    raw = read_regular(descriptor, SIZE_BYTES_MAX + 1)
    if raw is None:
        raise _problem("file", f"'{file}' is not a regular file", "name a CSV file", position)
    if len(raw) > SIZE_BYTES_MAX:
        message = f"'{file}' is larger than {SIZE_BYTES_MAX // 2**20} MiB"
        raise _problem("file", message, "name a table of a system instead: {system:, table:}", position)
    return raw


def _rows(text: str, file: str) -> list[tuple[int, list[str]]]:
    """Return (line where the row begins, fields) of every row that is not empty."""
    csv.field_size_limit(_FIELD_LENGTH_MAX)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    begins = 1
    try:
        for row in reader:
            if row:
                rows.append((begins, row))
            begins = reader.line_num + 1
    except csv.Error as problem:
        said = str(problem)
        cure = "close every quote, and write a quote inside quotes twice"
        message = f"line {begins} is no CSV: {'a quote is not closed' if 'unexpected end' in said else said}"
        raise _problem("lookup_csv", message, cure, Position(file, begins, 1)) from None
    return rows


def _header_findings(file: str, header: list[str], key: str, value: str, line: str) -> list[Finding]:
    place = Position(file, 1, 1, quoted(line))
    findings = [
        _finding("lookup_column", f"'{file}' has no column '{name}'", hint(name, header, "its columns are"), place)
        for name in dict.fromkeys((key, value))
        if name not in header
    ]
    twice = [name for number, name in enumerate(header) if name in header[:number]]
    findings += [
        _finding("lookup_column", f"the header of '{file}' names '{name}' twice", "rename one", place) for name in twice
    ]
    return findings


def _finding(code: str, message: str, cure: str, position: Position | None) -> Finding:
    return Finding(code, "error", printable(message), printable(cure), position)


def _problem(code: str, message: str, cure: str, position: Position | None) -> PlanError:
    return PlanError([_finding(code, message, cure, position)])
