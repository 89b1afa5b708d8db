"""Which files of a folder are tables, and how they are opened and hashed. What stands in them is not known here."""

import fnmatch
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, cast

from transhume.errors import SystemRefused, SystemUnavailable
from transhume.systems.files.address import Address

_SUFFIXES = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "json lines",
    ".ndjson": "json lines",
    ".parquet": "parquet",
}
_HASHED_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file that is a table: `form` is csv, tsv, json lines or parquet."""

    table: str
    path: Path
    form: str
    packed: bool = False


def table_files(address: Address) -> dict[str, TableFile]:
    """Return the files that the address means, by table name, in order of their names.

    A name that begins with a dot is none of them; without a pattern, nor is one without a known suffix.
    Raises: SystemUnavailable where there is no such folder or no such file; SystemRefused with every file that
    cannot be a table: another suffix, no regular file, a link that leads out of the folder, a stem that occurs twice
    (with regard to case or without).
    """
    found: dict[str, TableFile] = {}
    problems: list[str] = []
    by_stem: dict[str, str] = {}
    for name in _names(address):
        stem, form, packed = _form(name)
        if form is None:
            if address.pattern is not None:
                problems.append(f"'{name}' has none of the suffixes {', '.join(_SUFFIXES)} (and .gz behind a text's)")
            continue
        path = address.folder / name
        problem = _path_problem(path, address.folder)
        other = by_stem.setdefault(stem.casefold(), name)
        if other != name:
            problem = f"'{name}' and '{other}' would be tables of one name, which must differ in more than case"
        if problem:
            problems.append(problem)
        found[stem] = TableFile(stem, path, form, packed)
    if problems:
        raise SystemRefused("\n".join([f"files of {address.identity} cannot be tables:", *problems]))
    if not found:
        message = f"no file to read in {address.identity}; files end in {', '.join(_SUFFIXES)}"
        raise SystemUnavailable(message)
    return found


def hashes(files: Mapping[str, TableFile]) -> dict[str, str]:
    """Return the SHA-256 of each file as it is on the disk now, by table."""
    return {name: _sha256(file) for name, file in files.items()}


def combined(found: Mapping[str, str]) -> str:
    """Return one SHA-256 over names and hashes: the text of `table sha256` lines in the order of the names."""
    return hashlib.sha256("".join(f"{name} {found[name]}\n" for name in sorted(found)).encode()).hexdigest()


@contextmanager
def opened(file: TableFile) -> Iterator[BinaryIO]:
    """Open a file for reading, unpacked; nothing is written, not even its time of access where that can be.

    Raises: SystemUnavailable; SystemRefused for what is no regular file any more, or a packed file that is damaged.
    """
    with _raw(file) as raw:
        try:
            # Parquet is read from the raw file; a packed text is unpacked as it is read.
            yield cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="rb")) if file.packed else raw
        except (gzip.BadGzipFile, EOFError, OSError, zlib.error) as problem:
            message = f"'{file.path}' cannot be read to its end ({problem}); nothing of it is used; repair the file"
            raise SystemRefused(message) from None


@contextmanager
def _raw(file: TableFile) -> Iterator[BinaryIO]:
    try:
        # Without O_NONBLOCK the opening of a pipe that took the file's place would wait for ever.
        descriptor = os.open(os.path.realpath(file.path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as problem:
        message = f"'{file.path}' cannot be opened ({problem.strerror}); nothing was written"
        raise SystemUnavailable(message) from None
    with os.fdopen(descriptor, "rb", buffering=0) as raw:
        if not S_ISREG(os.fstat(descriptor).st_mode):
            message = f"'{file.path}' is no regular file"
            raise SystemRefused(message)
        yield cast("BinaryIO", raw)


def _sha256(file: TableFile) -> str:
    digest = hashlib.sha256()
    with _raw(file) as raw:
        while block := raw.read(_HASHED_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _names(address: Address) -> list[str]:
    try:
        names = sorted(path.name for path in address.folder.iterdir())
    except OSError as problem:
        message = f"the folder '{address.folder}' cannot be read ({problem.strerror}); nothing was written"
        raise SystemUnavailable(message) from None
    shown = [name for name in names if not name.startswith(".")]
    if address.pattern is None:
        return [name for name in shown if not (address.folder / name).is_dir()]
    return [name for name in shown if fnmatch.fnmatchcase(name, address.pattern)]


def _form(name: str) -> tuple[str, str | None, bool]:
    """Return stem, form (None for another suffix) and whether the file is packed."""
    packed = name.lower().endswith(".gz")
    plain = Path(name[:-3] if packed else name)
    form = _SUFFIXES.get(plain.suffix.lower())
    return plain.stem, None if packed and form == "parquet" else form, packed


def _path_problem(path: Path, folder: Path) -> str | None:
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(folder):
        return f"'{path.name}' is a link that leads out of the folder"
    return None if real.is_file() else f"'{path.name}' is no regular file"
