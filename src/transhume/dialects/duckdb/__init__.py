"""DuckDB's SQL for every portable operation; each lowering means exactly what the operation's docstring says.

The connection has TimeZone='UTC'. Where an argument stands more than once in a lowering, its first use is
always evaluated, so DuckDB's common-subexpression pass computes it once.
Costs in CPU seconds per million rows were measured on DuckDB 2.0 and stand beside the slow ones.
A column of the parameter's name wins inside of a lambda, so parameters begin with `_k`, as no column of an extract
does (`schema.physical_names`).
One room per theme; each lists its operations in LOWERINGS.
"""

from transhume.dialects.builders import text_literal
from transhume.dialects.dialect import Dialect
from transhume.dialects.duckdb import (
    hashes,
    identifiers,
    json,
    json_texts,
    lists,
    numbers,
    patterns,
    rows,
    texts,
    times,
)
from transhume.dialects.duckdb.types import data_type

_ROOMS = (rows, texts, numbers, times, identifiers, patterns, lists, json, json_texts, hashes)
DUCKDB = Dialect(
    name="duckdb",
    printer="duckdb",
    types=data_type,
    literal=text_literal,
    secret_variables=hashes.secret_variables,
    lowerings={operation: lowering for room in _ROOMS for operation, lowering in room.LOWERINGS.items()},
)
