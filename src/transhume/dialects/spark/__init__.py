"""Spark's SQL for every portable operation; each lowering means exactly what the operation's docstring says.

Spark 4.3, or later in its fourth line. The session has what SESSION lists: ANSI on, UTC, names told apart by case, TIME
as a type, no loss
of digits in the sum of decimals, no `${...}` filled into statements. A UUID is a BINARY of 16 bytes, a naive timestamp
TIMESTAMP_NTZ. What Spark has no exact function for, JSON, is a function of the session (`json.FUNCTIONS_NEEDED`).
A parameter of a lambda begins with `_k`, as no column of an extract does (`schema.physical_names`).
One room per theme; each lists its operations in LOWERINGS.
"""

from collections.abc import Mapping

from transhume.dialects.builders import text_literal
from transhume.dialects.dialect import Dialect
from transhume.dialects.spark import hashes, identifiers, json, lists, numbers, patterns, rows, texts, times
from transhume.dialects.spark.types import data_type

SESSION: Mapping[str, str] = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "true",
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timeType.enabled": "true",
    "spark.sql.variable.substitute": "false",
}
"""The settings that the lowerings count on; an engine sets them and reads them back."""

_ROOMS = (rows, texts, numbers, times, identifiers, patterns, lists, json, hashes)
SPARK = Dialect(
    name="spark",
    printer="databricks",  # what SQLGlot calls Spark prints a TRY_CAST as a CAST
    types=data_type,
    literal=text_literal,
    secret_variables=hashes.secret_variables,
    lowerings={operation: lowering for room in _ROOMS for operation, lowering in room.LOWERINGS.items()},
)
