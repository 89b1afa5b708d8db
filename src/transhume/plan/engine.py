"""`engine:` of a plan: what computes, and how files come to it."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

DUCKDB_ENGINE = "duckdb"
_SPARK = re.compile(r"sail|local(\[(\*|[1-9][0-9]*)\])?|(spark|sc)://[^/@\s]+:[0-9]+")

_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_.=-]+)*/?")
"""Names without signs that any engine would take for a pattern or an escape."""


def known_engine(name: str) -> str:
    """Return the name. Raises: ValueError for one that is none of the forms."""
    if name == DUCKDB_ENGINE or _SPARK.fullmatch(name):
        return name
    message = (
        f"'{name}' is no engine; write duckdb (the default), local[N] (Spark on N cores of this machine), "
        "spark://host:port (a cluster), sc://host:port (a Spark Connect server) or sail (Sail on this machine)"
    )
    raise ValueError(message)


def known_files(place: str) -> str:
    """Return the place. Raises: ValueError for one that is no prefix of S3."""
    if _S3.fullmatch(place):
        return place.rstrip("/")
    message = f"'{place}' is no place for the engine's files; write s3://bucket/prefix, without credentials"
    raise ValueError(message)


class Engine(BaseModel):
    """What computes. `files` says where it and the process of the run exchange files, if not in a shared folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    at: Annotated[str, AfterValidator(known_engine)] = DUCKDB_ENGINE
    files: Annotated[str, AfterValidator(known_files)] | None = None

    @model_validator(mode="after")
    def _needs_workers(self) -> "Engine":
        if self.files is not None and self.at == DUCKDB_ENGINE:
            message = (
                "duckdb computes in the run's own folder; leave out 'files', or name an engine with workers as 'at'"
            )
            raise ValueError(message)
        return self


def engine_fields(node: Any) -> Any:
    """Return the fields of an engine; its address alone stands for one."""
    return {"at": node} if isinstance(node, str) else node
