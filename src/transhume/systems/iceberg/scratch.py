"""A scratch namespace beside the target's: tables copied, rows of others planted by pyiceberg, all of it removed."""

import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sql
from pyarrow.fs import FileType
from pyiceberg.catalog.sql import IcebergNamespaceProperties
from pyiceberg.exceptions import NoSuchNamespaceError
from pyiceberg.table import Table

from transhume.errors import Refused, SystemUnavailable
from transhume.systems.iceberg.address import LakeAddress
from transhume.systems.iceberg.lake import Lake, storage_errors
from transhume.systems.iceberg.ledger import (
    BATCHES,
    KEPT,
    LOCKS,
    RUNS,
    TABLES,
    UNDONE,
    has_ledger,
    make_tables,
    plain_errors,
)
from transhume.systems.iceberg.lock import lock_file
from transhume.systems.iceberg.types import BATCH_COLUMN
from transhume.systems.scratch import MARK, Planting, TextRow
from transhume.systems.undo import UndoReference

_INFIX = "_rehearsal_"
_PROPERTY = MARK.replace(" ", ".")
"""Property of a scratch namespace; its value is the namespace that is rehearsed."""
_FILES_LOOKED_INTO_MAX = 8
"""Data files, by chance, that the sample of a table's rows is taken from."""


def scratch_namespace(namespace: str, number: str) -> str:
    """Return the name of a scratch namespace."""
    return f"{namespace}{_INFIX}{number}"


def scratch_url(url: str, namespace: str) -> str:
    """Return the lake's URL with another namespace; all else is as it was."""
    place, _, query = url.partition("?")
    # The catalog's URL may have options of its own, which stand behind it: the namespace goes to the front.
    others = [part for part in query.split("&") if part and not part.startswith("namespace=")]
    return f"{place}?{'&'.join([f'namespace={namespace}', *others])}"


def scratch_numbers(lake: Lake) -> list[str]:
    """Return the numbers of the scratch namespaces of this lake's namespace that are there and bear the mark."""
    known = IcebergNamespaceProperties
    wanted = (
        (known.catalog_name == lake.catalog.name)
        & (known.property_key == _PROPERTY)
        & (known.property_value == lake.address.namespace)
    )
    with plain_errors("looking for rehearsals"), lake.engine.connect() as connection:
        names = connection.execute(sql.select(known.namespace).where(wanted)).scalars().all()
    prefix = scratch_namespace(lake.address.namespace, "")
    return sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix))


class LakeScratch:
    """A scratch namespace of one number; see `Scratch`."""

    def __init__(self, url: str, address: LakeAddress, number: str) -> None:
        self.name = scratch_namespace(address.namespace, number)
        self.url = scratch_url(url, self.name)
        self._real = address
        self._address = replace(address, namespace=self.name)

    def make(
        self, tables: Sequence[str], references: Sequence[UndoReference], rows_max: int, seed: int
    ) -> Sequence[str]:
        """Make the namespace with its mark, then each table with a sample of rows."""
        for folder in (self._real.folder, self._real.catalog_file and self._real.catalog_file.parent):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
        lake, real = Lake(self._address), Lake(self._real)
        try:
            lake.make_catalog()
            make_tables(lake.engine)
            with plain_errors("making a scratch namespace"):
                if lake.catalog.namespace_exists(lake.namespace):
                    message = f"namespace '{self.name}' is there already; nothing was made. Begin the rehearsal again"
                    raise Refused(message)
                lake.catalog.create_namespace(lake.namespace, {"exists": "true", _PROPERTY: self._real.namespace})
            for name in dict.fromkeys(tables):
                found = real.table(name)
                if found is not None:
                    _copy(lake, name, found, rows_max, seed)
            _copy_parents(lake, real, [each for each in references if {each.table, each.parent} <= {*tables}])
        finally:
            lake.close()
            real.close()
        return ()

    def read(self, table: str) -> Iterator[TextRow]:
        """Yield all rows as texts, file after file."""
        lake = Lake(self._address)
        try:
            found = lake.table(table)
            if found is None:
                return
            with storage_errors(f"reading table '{table}'"):
                for batch in found.scan().to_arrow_batch_reader():
                    columns = {name: _texts(batch.column(name)) for name in batch.schema.names}
                    for values in zip(*columns.values(), strict=True):
                        yield dict(zip(columns, values, strict=True))
        finally:
            lake.close()

    def plant(self, table: str, plantings: Sequence[Planting]) -> Sequence[bool]:
        """Write the table anew with the added and changed rows, as a program without transhume does."""
        lake = Lake(self._address)
        try:
            found = lake.table(table)
            if found is None or not plantings:
                return [False] * len(plantings)
            with storage_errors(f"writing table '{table}'"):
                return _plant(found, plantings)
        finally:
            lake.close()

    def remove(self) -> None:
        """Drop the tables, their files, the ledger's lines, at last the namespace with its mark."""
        if self._real.catalog_file is not None and not self._real.catalog_file.exists():
            return
        lake = Lake(self._address)
        try:
            if not lake.has_catalog():
                return
            try:
                with plain_errors("looking at a scratch namespace"):
                    properties = lake.catalog.load_namespace_properties(lake.namespace)
            except NoSuchNamespaceError:
                properties = None
            if properties is not None and properties.get(_PROPERTY) != self._real.namespace:
                message = f"namespace '{self.name}' does not say that transhume made it, so it stays"
                raise Refused(message)
            with plain_errors("dropping a scratch namespace"):
                for name in lake.table_names():
                    lake.catalog.drop_table((*lake.namespace, name))
            self._delete_files(lake)
            self._forget(lake)
            if properties is not None:
                with plain_errors("dropping a scratch namespace"):
                    lake.catalog.drop_namespace(lake.namespace)
        finally:
            lake.close()
        if self._address.catalog_file is not None:
            lock_file(self._address.catalog_file, self._address.scope).unlink(missing_ok=True)

    def _delete_files(self, lake: Lake) -> None:
        folder = "/".join([self._address.warehouse, *lake.namespace])
        try:
            system, path = lake.files.place(folder)
            if system.get_file_info(path).type == FileType.Directory:
                system.delete_dir(path)
        except OSError as error:
            message = f"the files of the scratch namespace '{self.name}' were not removed ({error.strerror})"
            raise SystemUnavailable(message) from error

    def _forget(self, lake: Lake) -> None:
        with plain_errors("removing a rehearsal's ledger"), lake.engine.begin() as connection:
            if not has_ledger(connection):
                return
            mine = sql.select(RUNS.c.run).where(RUNS.c.scope == self._address.scope)
            for lines in (BATCHES, TABLES, UNDONE, KEPT):
                connection.execute(lines.delete().where(lines.c.run.in_(mine)))
            connection.execute(RUNS.delete().where(RUNS.c.scope == self._address.scope))
            connection.execute(LOCKS.delete().where(LOCKS.c.scope == self._address.scope))


def _copy(lake: Lake, name: str, found: Table, rows_max: int, seed: int) -> None:
    with plain_errors(f"copying table '{name}'"), storage_errors(f"copying table '{name}'"):
        copy = lake.catalog.create_table(
            (*lake.namespace, name),
            found.schema(),
            location=lake.location(name),
            partition_spec=found.spec(),
            sort_order=found.sort_order(),
            properties=found.properties,
        )
        rows = _sample(found, rows_max, seed)
        if rows.num_rows:
            copy.append(rows.cast(copy.schema().as_arrow()))


def _sample(found: Table, rows_max: int, seed: int) -> pa.Table:
    """Return rows by chance: of a few data files by chance where there are many."""
    from pyiceberg.io.pyarrow import ArrowScan

    dice = random.Random(seed)  # noqa: S311 - a draw that can be repeated, no secret
    scan = found.scan()
    tasks = list(scan.plan_files())
    chosen = dice.sample(tasks, min(len(tasks), _FILES_LOOKED_INTO_MAX))
    reader = ArrowScan(found.metadata, found.io, found.schema(), scan.row_filter)
    rows = reader.to_table(chosen) if chosen else found.schema().as_arrow().empty_table()
    # Half at most: where earlier runs have brought all rows, the rehearsed one must have some to bring.
    places = sorted(dice.sample(range(rows.num_rows), min(rows_max, rows.num_rows // 2)))
    return rows.take(pa.array(places, pa.int64()))


def _copy_parents(lake: Lake, real: Lake, references: Sequence[UndoReference]) -> None:
    """Copy what copied rows refer to, and what that refers to, until nothing is missing."""
    copied = True
    while copied:
        copied = False
        for each in references:
            child, parent, full = lake.table(each.table), lake.table(each.parent), real.table(each.parent)
            if child is None or parent is None or full is None:
                continue
            with storage_errors(f"copying table '{each.parent}'"):
                missing = _parts(child.scan().to_arrow(), each.columns) - _parts(
                    parent.scan().to_arrow(), each.parent_columns
                )
                missing = {part for part in missing if None not in part}
                found = [
                    batch.filter(pa.array([part in missing for part in _part_list(batch, each.parent_columns)]))
                    for batch in (full.scan().to_arrow_batch_reader() if missing else ())
                ]
                rows = pa.Table.from_batches(found) if found else None
                if rows is not None and rows.num_rows:
                    parent.append(rows.cast(parent.schema().as_arrow()))
                    copied = True


def _part_list(rows: pa.Table | pa.RecordBatch, columns: Sequence[str]) -> list[tuple[str | None, ...]]:
    return list(zip(*(_texts(rows[name]) for name in columns), strict=True))


def _parts(rows: pa.Table, columns: Sequence[str]) -> set[tuple[str | None, ...]]:
    return set(_part_list(rows, columns))


def _texts(column: pa.Array) -> list[str | None]:
    return [_text(value) for value in column.to_pylist()]


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value)) if len(value) == 16 else value.hex()  # noqa: PLR2004
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return repr(value) if isinstance(value, float | list | dict) else str(value)


_READERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[str], Any]], ...] = (
    (lambda held: pa.types.is_string(held) or pa.types.is_large_string(held), str),
    (lambda held: isinstance(held, pa.UuidType), lambda text: uuid.UUID(text).bytes),
    (lambda held: bool(pa.types.is_fixed_size_binary(held)), lambda text: uuid.UUID(text).bytes),
    (pa.types.is_integer, int),
    (pa.types.is_floating, float),
    (pa.types.is_decimal, Decimal),
    (pa.types.is_timestamp, datetime.fromisoformat),
    (pa.types.is_date, date.fromisoformat),
)
"""How a text becomes a value of a type; other types are not planted."""


def _value(text: str | None, held: pa.DataType) -> Any:
    """Return the value of a text that `_text` gives. Raises: ValueError where the type is none that is planted."""
    if text is None:
        return None
    reader = next((read for fits, read in _READERS if fits(held)), None)
    if reader is None:
        message = f"no value of {held} is planted"
        raise ValueError(message)
    return reader(text)


def _plant(found: Table, plantings: Sequence[Planting]) -> list[bool]:
    schema = found.schema().as_arrow()
    rows = found.scan().to_arrow()
    parts = list(plantings[0].at)
    keys = zip(*(_texts(rows[name]) for name in parts), strict=True)
    places = {key: place for place, key in enumerate(keys)}
    gone: set[int] = set()
    made: list[dict[str, Any]] = []
    done = []
    for each in plantings:
        place = places.get(tuple(each.at[name] for name in parts))
        try:
            changes = {name: _value(text, schema.field(name).type) for name, text in each.changes.items()}
        except ValueError:
            place = None
        done.append(place is not None)
        if place is None:
            continue
        row = {name: rows[name][place].as_py() for name in schema.names} | changes
        if each.act == "edit":
            gone.add(place)
        elif BATCH_COLUMN in row and BATCH_COLUMN not in each.changes:
            row[BATCH_COLUMN] = None
        made.append(row)
    stays = rows.take(pa.array([place for place in range(rows.num_rows) if place not in gone], pa.int64()))
    arrays = [_array([row[field.name] for row in made], field.type) for field in schema]
    found.overwrite(pa.concat_tables([stays.cast(schema), pa.Table.from_arrays(arrays, schema=schema)]))
    return done


def _array(values: list[Any], held: pa.DataType) -> pa.Array:
    plain = [value.bytes if isinstance(value, uuid.UUID) else value for value in values]
    if isinstance(held, pa.UuidType):
        return pa.ExtensionArray.from_storage(held, pa.array(plain, held.storage_type))
    return pa.array(plain, held)
