"""The SELECT that holds the declared types of a table's columns against what a plan says, from the catalog views.

One table of accepted type names a dialect: a view names a type by its own word. No plan is known here.
"""

from collections.abc import Mapping, Sequence

import sqlglot
from sqlglot import exp

from transhume.dialects.dialect import LoweringError
from transhume.schema import Column, Kind

_NAMES: Mapping[str, Mapping[Kind, str]] = {
    "postgres": {
        Kind.UUID: "uuid",
        Kind.INT: "integer smallint",
        Kind.BIGINT: "bigint",
        Kind.DECIMAL: "numeric",
        Kind.DOUBLE: "double_precision",
        Kind.BOOLEAN: "boolean",
        Kind.TEXT: "text character_varying character",
        Kind.DATE: "date",
        Kind.TIME: "time_without_time_zone",
        Kind.TIMESTAMP: "timestamp_without_time_zone",
        Kind.TIMESTAMPTZ: "timestamp_with_time_zone",
        Kind.BYTES: "bytea",
        Kind.JSON: "json jsonb",
        Kind.LIST: "ARRAY",
    },
    "mysql": {
        Kind.UUID: "uuid binary char varchar",
        Kind.INT: "int mediumint smallint",
        Kind.BIGINT: "bigint",
        Kind.DECIMAL: "decimal",
        Kind.DOUBLE: "double",
        Kind.BOOLEAN: "tinyint",
        Kind.TEXT: "varchar char text mediumtext longtext",
        Kind.DATE: "date",
        Kind.TIME: "time",
        Kind.TIMESTAMP: "datetime",
        Kind.TIMESTAMPTZ: "timestamp datetime",
        Kind.BYTES: "blob mediumblob longblob varbinary",
        Kind.JSON: "json longtext",
    },
    "duckdb": {
        Kind.UUID: "UUID",
        Kind.INT: "INTEGER SMALLINT",
        Kind.BIGINT: "BIGINT",
        Kind.DOUBLE: "DOUBLE",
        Kind.BOOLEAN: "BOOLEAN",
        Kind.TEXT: "VARCHAR",
        Kind.DATE: "DATE",
        Kind.TIME: "TIME",
        Kind.TIMESTAMP: "TIMESTAMP",
        Kind.TIMESTAMPTZ: "TIMESTAMP_WITH_TIME_ZONE",
        Kind.BYTES: "BLOB",
        Kind.JSON: "JSON VARCHAR",
    },
    "tsql": {
        Kind.UUID: "uniqueidentifier",
        Kind.INT: "int smallint",
        Kind.BIGINT: "bigint",
        Kind.DECIMAL: "decimal numeric",
        Kind.DOUBLE: "float",
        Kind.BOOLEAN: "bit",
        Kind.TEXT: "nvarchar varchar nchar char",
        Kind.DATE: "date",
        Kind.TIME: "time",
        Kind.TIMESTAMP: "datetime2",
        Kind.TIMESTAMPTZ: "datetimeoffset",
        Kind.BYTES: "varbinary",
        Kind.JSON: "nvarchar json",
    },
    "oracle": {
        Kind.UUID: "RAW",
        Kind.INT: "NUMBER",
        Kind.BIGINT: "NUMBER",
        Kind.DECIMAL: "NUMBER",
        Kind.DOUBLE: "BINARY_DOUBLE",
        Kind.BOOLEAN: "NUMBER BOOLEAN",
        Kind.TEXT: "VARCHAR2 NVARCHAR2 CHAR CLOB NCLOB",
        Kind.DATE: "DATE",
        Kind.TIMESTAMP: "TIMESTAMP(6) TIMESTAMP(9)",
        Kind.TIMESTAMPTZ: "TIMESTAMP(6)_WITH_TIME_ZONE TIMESTAMP(9)_WITH_TIME_ZONE",
        Kind.BYTES: "BLOB RAW",
        Kind.JSON: "CLOB JSON",
    },
    "snowflake": {
        Kind.UUID: "TEXT UUID",
        Kind.INT: "NUMBER",
        Kind.BIGINT: "NUMBER",
        Kind.DECIMAL: "NUMBER",
        Kind.DOUBLE: "FLOAT",
        Kind.BOOLEAN: "BOOLEAN",
        Kind.TEXT: "TEXT",
        Kind.DATE: "DATE",
        Kind.TIME: "TIME",
        Kind.TIMESTAMP: "TIMESTAMP_NTZ",
        Kind.TIMESTAMPTZ: "TIMESTAMP_TZ TIMESTAMP_LTZ",
        Kind.BYTES: "BINARY",
        Kind.JSON: "TEXT VARIANT",
        Kind.LIST: "ARRAY",
    },
}
"""Kind to the words that the view may say, spaces inside of a word as `_`."""
_VIEWS: Mapping[str, str] = {
    "postgres": "information_schema.columns",
    "mysql": "information_schema.columns",
    "duckdb": "information_schema.columns",
    "tsql": "INFORMATION_SCHEMA.COLUMNS",
    "snowflake": "INFORMATION_SCHEMA.COLUMNS",
    "oracle": "ALL_TAB_COLUMNS",
}
_HERE: Mapping[str, str] = {
    "postgres": "CURRENT_SCHEMA()",
    "mysql": "DATABASE()",
    "duckdb": "CURRENT_SCHEMA()",
    "tsql": "SCHEMA_NAME()",
    "snowflake": "CURRENT_SCHEMA()",
    "oracle": "USER",
}


def stored_types(printer: str, table: str, schema: str, columns: Sequence[Column]) -> str:
    """Return the SELECT of the columns that are missing, of a type that the plan does not mean, or nullable.

    Bounds of texts and decimals are not compared. Raises: LoweringError for a dialect without such views.
    """
    if printer == "sqlite":
        return _sqlite(table, columns)
    if printer not in _VIEWS:
        message = "it has no view of its columns that all its systems know"
        raise LoweringError(message)
    oracle = printer == "oracle"
    owner, nullable, yes = ("owner", "nullable", "Y") if oracle else ("table_schema", "is_nullable", "YES")
    case = str.upper if printer in {"tsql", "snowflake", "oracle"} else str

    def there(name: str) -> exp.Column:
        return exp.column(case(name), "c", quoted=True)

    wrong: list[exp.Expr] = [exp.Is(this=there("column_name"), expression=exp.Null())]
    for kind in dict.fromkeys(column.type.kind for column in columns if column.type is not None):
        words = _NAMES[printer].get(kind)
        if words is not None:
            accepted = [_text(printer, word.replace("_", " ")) for word in words.split(" ")]
            strange = exp.Not(this=exp.In(this=there("data_type"), expressions=accepted))
            wrong.append(exp.and_(_column("expected_type").eq(_text(printer, kind.value)), strange))
    wrong.append(exp.and_(_column("may_be_null").eq(_text(printer, "no")), there(nullable).eq(_text(printer, yes))))
    place = _text(printer, schema) if schema else sqlglot.parse_one(_HERE[printer], dialect=printer)
    on = exp.and_(
        there(owner).eq(place),
        there("table_name").eq(_text(printer, table)),
        there("column_name").eq(_column("column_name")),
    )
    shown = [_column("column_name"), _column("expected_type"), _column("may_be_null")]
    found = [
        exp.alias_(there("data_type"), "found_type", quoted=True),
        exp.alias_(there(nullable), "found_null", quoted=True),
    ]
    view = exp.to_table(_VIEWS[printer], dialect=printer)
    view.set("alias", exp.TableAlias(this=exp.to_identifier("c", quoted=True)))
    expected = _expected(printer, columns)
    select = exp.select(*shown, *found).from_(expected).join(view, on=on, join_type="left").where(exp.or_(*wrong))
    return select.sql(dialect=printer, pretty=True, identify=printer not in {"tsql", "snowflake"})


def _expected(printer: str, columns: Sequence[Column]) -> exp.Subquery:
    rows = [
        exp.select(
            exp.alias_(_text(printer, column.name), "column_name", quoted=True),
            exp.alias_(_text(printer, column.type.kind.value if column.type else ""), "expected_type", quoted=True),
            exp.alias_(_text(printer, "yes" if column.nullable else "no"), "may_be_null", quoted=True),
        )
        for column in columns
    ]
    if printer == "oracle":
        rows = [row.from_("DUAL") for row in rows]
    whole: exp.Query = rows[0]
    for row in rows[1:]:
        whole = exp.union(whole, row, distinct=False)
    return whole.subquery(exp.to_identifier("e", quoted=True))


def _column(name: str) -> exp.Column:
    return exp.column(name, "e", quoted=True)


def _text(printer: str, text: str) -> exp.Expression:
    return exp.National(this=text) if printer in {"tsql", "oracle"} else exp.Literal.string(text)


def _sqlite(table: str, columns: Sequence[Column]) -> str:
    """SQLite's columns take any type: that a column is there, and NOT NULL, is all that it declares."""
    call = exp.Anonymous(this="PRAGMA_TABLE_INFO", expressions=[exp.Literal.string(table)])
    view = exp.Table(this=call, alias=exp.TableAlias(this=exp.to_identifier("c", quoted=True)))
    there = exp.column("name", "c", quoted=True)
    required = exp.column("notnull", "c", quoted=True)
    missing = exp.Is(this=there.copy(), expression=exp.Null())
    loose = exp.and_(_column("may_be_null").eq(exp.Literal.string("no")), required.eq(exp.Literal.number(0)))
    shown = [_column("column_name"), _column("expected_type"), _column("may_be_null")]
    found = exp.alias_(exp.column("type", "c", quoted=True), "found_type", quoted=True)
    on = there.eq(_column("column_name"))
    select = exp.select(*shown, found).from_(_expected("sqlite", columns)).join(view, on=on, join_type="left")
    return select.where(exp.or_(missing, loose)).sql(dialect="sqlite", pretty=True, identify=True)
