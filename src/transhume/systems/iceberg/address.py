"""The address of a lake: where its files, its catalog and its namespace are. No I/O here.

iceberg:<place>[?option=value[&option=value]...]

| option | meaning |
|---|---|
| place | a folder (relative to the project) or `s3://bucket/prefix` |
| namespace | where the tables live, levels separated by dots; default `default` |
| catalog | URL of the catalog's database, `postgresql://...` or `sqlite:///...`; default `<place>/catalog.db` |
| catalog_name | name under which the catalog keeps its tables; default `default` |
| endpoint, region, access_key, secret_key, session_token | of S3; default: the standard environment variables |

Values are read as written, without percent-decoding, because a database URL has its own. An unknown option after
`catalog` belongs to the catalog's URL if that has options (`catalog=postgresql://u@h/db?sslmode=require&...`).
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from transhume.errors import UsageError

_FORM = "iceberg:./folder?namespace=name or iceberg:s3://bucket/prefix?catalog=postgresql://...&namespace=name"
_S3_OPTIONS = {
    "endpoint": "s3.endpoint",
    "region": "s3.region",
    "access_key": "s3.access-key-id",
    "secret_key": "s3.secret-access-key",
    "session_token": "s3.session-token",
}
_OWN_OPTIONS = ("namespace", "catalog", "catalog_name")


@dataclass(frozen=True, slots=True)
class LakeAddress:
    """Where a lake is. `catalog_url` and `properties` may hold credentials: they are never shown.

    `warehouse` is a `file://` or `s3://` URL without a slash at its end; `folder` its path where it is local.
    `catalog_file` is the catalog's database file where that is SQLite.
    """

    warehouse: str
    namespace: str
    catalog_name: str
    folder: Path | None
    catalog_file: Path | None
    catalog_url: str = field(repr=False)
    properties: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def identity(self) -> str:
        """What tells this lake from another, without a credential."""
        return f"iceberg:{self.warehouse}?catalog={self._shown_catalog}/{self.catalog_name}&namespace={self.namespace}"

    @property
    def scope(self) -> str:
        """What one run at a time may write: this namespace of this catalog."""
        return f"{self.catalog_name}/{self.namespace}"

    @property
    def _shown_catalog(self) -> str:
        if self.catalog_file is not None:
            return f"sqlite:{self.catalog_file}"
        parts = urlsplit(self.catalog_url)
        port = f":{parts.port}" if parts.port else ""
        host = parts.hostname or "".join(parse_qs(parts.query).get("host", []))
        return f"postgresql://{host}{port}{parts.path}"


def parse_address(url: str, base: Path) -> LakeAddress:
    """Return the address that `url` writes; a relative folder is relative to `base`.

    Raises: UsageError that names the wrong part, never a credential.
    """
    scheme, colon, rest = url.partition(":")
    if scheme != "iceberg" or not colon:
        message = f"target '{scheme}:' is not an Iceberg address; write {_FORM}"
        raise UsageError(message)
    place, _, query = rest.partition("?")
    options = _options(query)
    namespace = options.pop("namespace", "default")
    if not all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_ -]*", level) for level in namespace.split(".")):
        message = f"namespace '{namespace}' of the Iceberg target is not a name; use letters, digits, '_', '-'"
        raise UsageError(message)
    warehouse, folder = _warehouse(place, base)
    catalog_url, catalog_file = _catalog(options.pop("catalog", None), folder, base)
    name = options.pop("catalog_name", "default")
    return LakeAddress(
        warehouse=warehouse,
        namespace=namespace,
        catalog_name=name,
        folder=folder,
        catalog_file=catalog_file,
        catalog_url=catalog_url,
        properties=tuple((_S3_OPTIONS[option], value) for option, value in options.items()),
    )


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    last = ""
    for part in query.split("&") if query else []:
        name, _, value = part.partition("=")
        if name in _OWN_OPTIONS or name in _S3_OPTIONS:
            if name in options:
                message = f"option '{name}' stands twice in the Iceberg address; leave one"
                raise UsageError(message)
            options[name] = value
            last = name
        elif last == "catalog" and "?" in options["catalog"]:
            options["catalog"] += f"&{part}"
        else:
            known = ", ".join([*_OWN_OPTIONS, *_S3_OPTIONS])
            message = f"'{name}' is not an option of an Iceberg address; known options: {known}"
            raise UsageError(message)
    return options


def _warehouse(place: str, base: Path) -> tuple[str, Path | None]:
    if re.match(r"s3a?://", place):
        bucket, _, prefix = place.partition("://")[2].partition("/")
        if not bucket:
            raise UsageError("the Iceberg address names no bucket; write iceberg:s3://bucket/prefix?...")
        return f"s3://{bucket}/{prefix}".rstrip("/"), None
    if not place:
        message = f"the Iceberg address names no folder; write {_FORM}"
        raise UsageError(message)
    if "://" in place and not place.startswith("file://"):
        message = f"'{place.partition('://')[0]}' is not a place for Iceberg files; use a folder or s3://"
        raise UsageError(message)
    folder = (base / place.removeprefix("file://")).resolve()
    if bad := re.search(r"[#?;%]", str(folder)):
        message = f"the lake's folder '{folder}' has a '{bad[0]}', which Iceberg readers take for a part of a URL"
        message = f"{message}; choose another folder"
        raise UsageError(message)
    return f"file://{folder}", folder


def _catalog(url: str | None, folder: Path | None, base: Path) -> tuple[str, Path | None]:
    if url is None:
        if folder is None:
            message = "a lake on S3 needs 'catalog=': a database that every writer shares, such as postgresql://host/db"
            raise UsageError(message)
        return _sqlite(folder / "catalog.db")
    scheme, separator, rest = url.partition("://")
    if separator and scheme in {"postgresql", "postgres", "postgresql+psycopg"}:
        return f"postgresql+psycopg://{rest}", None
    if separator and scheme == "sqlite":
        return _sqlite((base / rest.removeprefix("/")).resolve())
    raise UsageError(
        "the Iceberg catalog must be postgresql://... or sqlite:///file; other databases are not known here"
    )


def _sqlite(file: Path) -> tuple[str, Path]:
    # A reader may hold the file for a moment; without a wait the first collision would stop the run.
    return f"sqlite:///{file}?timeout=30", file
