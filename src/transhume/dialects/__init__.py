"""The dialects by name: each lowers every portable operation to its SQL, in a file of its own."""

from transhume.dialects.dialect import Dialect, LoweringError
from transhume.dialects.duckdb import DUCKDB
from transhume.dialects.sail import SAIL
from transhume.dialects.spark import SPARK

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (DUCKDB, SPARK, SAIL)}

__all__ = ["DIALECTS", "Dialect", "LoweringError"]
