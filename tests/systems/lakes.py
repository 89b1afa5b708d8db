"""Lakes for tests: three places (SQLite and disk, PostgreSQL and disk, PostgreSQL and S3), read by pyiceberg itself."""

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table

from transhume.systems.iceberg import open_target
from transhume.systems.iceberg.target import IcebergTarget
from transhume.testing.targets import identity

S3_KEYS = {"access_key": "test", "secret_key": "test", "region": "us-east-1"}


@dataclass(frozen=True)
class LakePlace:
    """An empty lake; `url` opens it by transhume, `catalog` by a catalog that knows nothing of transhume."""

    folder: Path
    url: str
    catalog_uri: str
    properties: dict[str, str] = field(default_factory=dict)

    def open(self) -> IcebergTarget:
        """Return a new handle, as another process would get it."""
        return open_target(self.url, self.folder)

    def catalog(self) -> SqlCatalog:
        """Return a fresh catalog, as another program would open it."""
        warehouse = self.url.removeprefix("iceberg:").partition("?")[0]
        if not warehouse.startswith("s3://"):
            warehouse = f"file://{self.folder / warehouse}"
        return SqlCatalog("default", uri=self.catalog_uri, warehouse=warehouse, **self.properties)

    def table(self, name: str) -> Table:
        """Return a table as readers find it."""
        return self.catalog().load_table(("ai", name))

    def scan(self, name: str) -> pa.Table:
        """Return what readers get of a table."""
        return self.table(name).scan().to_arrow()

    def rows(self, table: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return rows as pyiceberg reads them; none where the table is not there."""
        try:
            found = self.scan(table).select(list(columns))
        except NoSuchTableError:
            return []
        return [tuple(_plain(row[name]) for name in columns) for row in found.to_pylist()]

    def make(self, schema: pa.Schema, rows: pa.Table | None = None, name: str = "people") -> Table:
        """Make a table as another program does, with that program's rows."""
        self.open().open_run(identity("making"), []).close()
        catalog = self.catalog()
        catalog.create_namespace_if_not_exists("ai")
        table = catalog.create_table(("ai", name), uuid_fields(schema))
        if rows is not None:
            table.append(rows.cast(uuid_fields(schema)))
        return table

    def append(self, rows: pa.Table, name: str = "people") -> None:
        """Append rows as another program does."""
        self.table(name).append(rows.cast(uuid_fields(rows.schema)))

    def data_files(self, table: str) -> list[Path]:
        """Return the Parquet files of a table on disk, whether a snapshot names them or not."""
        return sorted((self.folder / "lake" / "ai" / table / "data").glob("*.parquet"))


def uuid_fields(schema: pa.Schema) -> pa.Schema:
    """Return a schema of ours with UUIDs as other programs write them."""
    return pa.schema([field.with_type(pa.uuid()) if field.type == pa.binary(16) else field for field in schema])


def local_lake(folder: Path) -> LakePlace:
    """Return a lake in one folder, its catalog in SQLite."""
    return LakePlace(folder, "iceberg:./lake?namespace=ai", f"sqlite:///{folder / 'lake' / 'catalog.db'}")


def shared_lake(folder: Path, postgres_url: str) -> LakePlace:
    """Return a lake in a folder with its catalog on PostgreSQL."""
    uri = postgres_url.replace("postgresql://", "postgresql+psycopg://")
    return LakePlace(folder, f"iceberg:./lake?catalog={postgres_url}&namespace=ai", uri)


def s3_lake(folder: Path, postgres_url: str, endpoint: str, bucket: str) -> LakePlace:
    """Return a lake in a bucket with its catalog on PostgreSQL."""
    options = "&".join(f"{name}={value}" for name, value in {"endpoint": endpoint, **S3_KEYS}.items())
    properties = {
        "s3.endpoint": endpoint,
        "s3.access-key-id": S3_KEYS["access_key"],
        "s3.secret-access-key": S3_KEYS["secret_key"],
        "s3.region": S3_KEYS["region"],
    }
    url = f"iceberg:s3://{bucket}/a/prefix?namespace=ai&{options}&catalog={postgres_url}"
    return LakePlace(folder, url, postgres_url.replace("postgresql://", "postgresql+psycopg://"), properties)


def s3_server() -> Iterator[str]:
    """Run moto's S3 on a free loopback port and yield its address."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  only the S3 tests need it

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def make_bucket(endpoint: str) -> str:
    """Make a bucket of its own name."""
    import boto3  # noqa: PLC0415

    name = f"lake-{uuid.uuid4().hex[:12]}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )
    client.create_bucket(Bucket=name)
    return name


def _plain(value: Any) -> Any:
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC)
    return [_plain(one) for one in value] if isinstance(value, list) else value
