"""Files as a source: a folder becomes a catalog and, hashed before and after, batches of Arrow."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from transhume.batches import extract_schema
from transhume.errors import SystemRefused, SystemUnavailable
from transhume.facts import Answer, Catalog
from transhume.schema import TEXT, Column, Table
from transhume.systems.files import delimited, json_lines, parquet
from transhume.systems.files.address import Address, parse_url
from transhume.systems.files.folder import TableFile, combined, hashes, opened, table_files
from transhume.systems.files.parts import Part, batches


def open_source(url: str, base: Path) -> "FilesSource":
    """Return the source behind `files:folder/*.csv`; nothing is opened yet. Raises: UsageError."""
    return FilesSource(parse_url(url, base))


class FilesSource:
    """The files of one folder. They are opened for reading only, one after the other."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.identity = address.identity

    def catalog(self) -> Catalog:
        """Return every file as a table named by its stem; see systems.system.Source.catalog.

        Values of texts are texts: no type is guessed. Files have no snapshot, and the catalog says so.
        Raises: SystemRefused with the reasons of all files that cannot be tables.
        """
        tables: dict[str, Table] = {}
        problems: list[str] = []
        for name, file in table_files(self.address).items():
            try:
                tables[name] = self._table(file)
            except SystemRefused as problem:
                problems.append(str(problem))
        if problems:
            raise SystemRefused("\n".join([f"files of {self.identity} cannot be tables:", *problems]))
        return Catalog(self.identity, tables, one_instant=False)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator["FilesSnapshot"]:
        """Hash every file, give the rows, and hash every file again; see systems.system.Source.snapshot.

        Raises: SystemUnavailable at the end if a file is not what it was at the begin: the rows are not to be used.
        """
        files = table_files(self.address)
        before = hashes(files)
        yield FilesSnapshot(self.address, files, before)
        after = hashes(table_files(self.address))
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        if changed:
            names = ", ".join(f"'{name}'" for name in changed)
            message = (
                f"files of {self.identity} changed while they were read: {names}; the rows are not of one state and "
                "are not used; nothing is published. Run the same command again when nobody writes there"
            )
            raise SystemUnavailable(message)

    def changed(
        self,
        mark: str,
        tables: Sequence[Table],
        row_counts: Mapping[str, int],  # noqa: ARG002 - bytes tell it
    ) -> Mapping[str, str]:
        """Return the tables whose files have other bytes than then, or are gone; see systems.changes.Watched."""
        then = json.loads(mark)
        files = table_files(self.address)
        now = hashes({table.name: files[table.name] for table in tables if table.name in files})
        return {
            table.name: "its file has other bytes" if table.name in now else "its file is gone"
            for table in tables
            if now.get(table.name) != then.get(table.name)
        }

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _table(self, file: TableFile) -> Table:
        with opened(file) as found:
            if file.form == "parquet":
                columns, rows = parquet.read_columns(file, found)
                return Table(file.table, columns, row_count=rows)
            if file.form == "json lines":
                names, count = json_lines.read_columns(file, found, self.address)
                return Table(file.table, _texts(names, "JSON value"), row_count=count, located=True)
            names = delimited.read_header(file, found, self.address).columns
            return Table(file.table, _texts(names, "text"), located=True)


class FilesSnapshot:
    """The files while they are read; whether they stayed what they were is known at the end."""

    def __init__(self, address: Address, files: dict[str, TableFile], found: dict[str, str]) -> None:
        self._address = address
        self._files = files
        taken = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.instant = f"{taken} no snapshot; {len(files)} files sha256 {combined(found)}"
        self.mark = json.dumps(found, sort_keys=True)

    def read(self, table: Table, rows_max: int, bytes_max: int) -> Iterator[pa.RecordBatch]:
        """Yield a file's rows in its order, with their lines; see systems.system.Snapshot.read."""
        file = self._files.get(table.name)
        if file is None:
            message = f"table '{table.name}' is not in {self._address.identity}; was its file moved?"
            raise SystemRefused(message)
        schema = extract_schema(table)
        with opened(file) as found:
            yield from batches(schema, self._parts(file, found, table, schema), rows_max, bytes_max)

    def ask(self, query: str, *, counts: bool) -> Answer:  # noqa: ARG002 - files answer none
        """Refuse: files answer no SQL."""
        message = "files answer no SQL; write 'compare:' in the check, which reads what a run extracted"
        raise SystemRefused(message)

    def _parts(self, file: TableFile, found: BinaryIO, table: Table, schema: pa.Schema) -> Iterator[Part]:
        names = tuple(column.name for column in table.columns)
        if file.form == "parquet":
            return parquet.read_parts(file, found, table.columns, schema)
        if file.form == "json lines":
            return json_lines.read_parts(file, found, self._address, names)
        return delimited.read_parts(file, found, self._address, names)


def _texts(names: tuple[str, ...], native: str) -> tuple[Column, ...]:
    return tuple(Column(name, TEXT, native=native) for name in names)
