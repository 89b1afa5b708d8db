"""A lake that is open: its catalog, its files, its tables as they are now. Writes nothing but its own set-up."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sql
from pyiceberg.catalog.sql import IcebergNamespaceProperties, IcebergTables, SqlCatalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError, ValidationError
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table

from transhume.errors import DriverMissing, SystemRefused, SystemUnavailable
from transhume.systems.iceberg import catalog_connections
from transhume.systems.iceberg.address import LakeAddress
from transhume.systems.iceberg.files import LakeFiles
from transhume.systems.iceberg.ledger import plain_errors


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Turn errors of the files into SystemUnavailable."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or (str(error).splitlines() or [type(error).__name__])[0][:200]
        message = f"the lake's files failed while {doing} ({reason}). Mend the storage or the rights, then run again."
        raise SystemUnavailable(message) from error


class Lake:
    """The catalog and the files behind one address."""

    def __init__(self, address: LakeAddress) -> None:
        self.address = address
        self.namespace = tuple(address.namespace.split("."))
        self.files = LakeFiles(dict(address.properties))
        try:
            with plain_errors("opening it"):
                self.catalog = SqlCatalog(
                    address.catalog_name,
                    uri=address.catalog_url,
                    warehouse=address.warehouse,
                    pool_pre_ping="true",
                    init_catalog_tables="false",
                    **dict(address.properties),
                )
        except ModuleNotFoundError as error:
            message = "a lake with its catalog on PostgreSQL needs a driver: pip install 'transhume[postgres]'"
            raise DriverMissing(message) from error
        self.engine: sql.Engine = self.catalog.engine
        if address.catalog_file is None:
            catalog_connections.watch(self.engine, address.catalog_url)

    def has_catalog(self) -> bool:
        """Tell whether the database holds a catalog; a look into a lake that is not there makes nothing."""
        with plain_errors("opening it"):
            return bool(sql.inspect(self.engine).has_table(IcebergTables.__tablename__))

    def make_catalog(self) -> None:
        """Make the catalog's tables where they are missing."""
        with plain_errors("making the catalog"):
            if not self.has_catalog():
                self.catalog.create_tables()

    def table(self, name: str) -> Table | None:
        """Return a table as the catalog has it now, or None; raises SystemUnavailable."""
        try:
            with plain_errors(f"looking for table '{name}'"), storage_errors(f"reading table '{name}'"):
                found = self.catalog.load_table((*self.namespace, name))
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
        except (ValidationError, ValueError) as error:
            # The file is there, and it is not the metadata of a table.
            message = f"the metadata of table '{name}' cannot be read; mend it or drop the table from the catalog"
            raise SystemRefused(message) from error
        return Table(found.name(), found.metadata, found.metadata_location, self.files, self.catalog)

    def hidden_table(self, name: str, metadata_location: str) -> Table:
        """Return a table that only the ledger knows; raises SystemUnavailable."""
        with storage_errors(f"reading table '{name}'"):
            metadata = FromInputFile.table_metadata(self.files.new_input(metadata_location))
        return Table((*self.namespace, name), metadata, metadata_location, self.files, self.catalog)

    def table_names(self) -> list[str]:
        """Return the names of the tables of the namespace, sorted."""
        try:
            with plain_errors("listing tables"):
                return sorted(identifier[-1] for identifier in self.catalog.list_tables(self.namespace))
        except NoSuchNamespaceError:
            return []

    def location(self, table: str) -> str:
        """Return where a new table's files go: below the namespace's own location if it has one."""
        own = IcebergNamespaceProperties
        wanted = (
            (own.catalog_name == self.catalog.name)
            & (own.namespace == self.address.namespace)
            & (own.property_key == "location")
        )
        with plain_errors("reading the namespace"), self.engine.connect() as connection:
            place = connection.execute(sql.select(own.property_value).where(wanted)).scalar()
        folder = place.rstrip("/") if place else "/".join([self.address.warehouse, *self.namespace])
        return f"{folder}/{path_word(table)}"

    def close(self) -> None:
        """Close the connections to the catalog's database."""
        self.engine.dispose()


def path_word(name: str) -> str:
    """Return a name as one word of a path or URL: unsafe characters replaced, told apart by a hash."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
