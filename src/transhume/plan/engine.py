"""`engine:` of a plan: what computes."""

import re

DUCKDB_ENGINE = "duckdb"
_SPARK = re.compile(r"sail|local(\[(\*|[1-9][0-9]*)\])?|(spark|sc)://[^/@\s]+:[0-9]+")


def known_engine(name: str) -> str:
    """Return the name. Raises: ValueError for one that is none of the forms."""
    if name == DUCKDB_ENGINE or _SPARK.fullmatch(name):
        return name
    message = (
        f"'{name}' is no engine; write duckdb (the default), local[N] (Spark on N cores of this machine), "
        "spark://host:port (a cluster), sc://host:port (a Spark Connect server) or sail (Sail on this machine)"
    )
    raise ValueError(message)
