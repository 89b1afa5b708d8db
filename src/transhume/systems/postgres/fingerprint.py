"""Fingerprints of rows by the server: their number and the sum mod 2^128 of `md5(record_send(row))`.

The bytes of a row are those of the server's binary protocol, every column with its type's number, floats as their
bits. So two fingerprints may be compared within one database, and only while the columns stay as they are.
"""

from collections.abc import Sequence
from decimal import Decimal

from psycopg import sql

from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.undo import FINGERPRINT_MODULUS, Fingerprint

AT_PUBLISH_BYTES_MAX = 64 * 2**20
"""Publishing takes the fingerprint of tables up to this size, in about a second; of larger ones it is not known."""
_WORD_BITS = 32
_WORDS = sql.SQL(", ").join(
    sql.SQL("coalesce(sum(('x' || substr(h, {}, 8))::bit(32)::bigint), 0)").format(sql.Literal(first))
    for first in range(1, 33, 8)
)
"""The sums of the four words of a digest `h`."""


def of_rows(
    connection: WatchedConnection, relation: sql.Composable, condition: sql.Composable | None = None
) -> Fingerprint:
    """Return the fingerprint of the rows `t` of a FROM clause; one scan by all processors, 1.4 s a million rows.

    Taken out of an array, each digest is made once; out of a subquery that says OFFSET 0 it would be, too, by one
    processor.
    """
    where = sql.SQL("") if condition is None else sql.SQL(" WHERE ") + condition
    statement = sql.SQL("SELECT count(*), {} FROM (SELECT unnest(ARRAY[md5(record_send(t.*))]) AS h FROM {}{}) s")
    row = connection.execute(statement.format(_WORDS, relation, where)).fetchone()
    assert row is not None
    return _added(row[0], row[1:])


def of_groups(
    connection: WatchedConnection, relation: sql.Composable, label: sql.Composable
) -> dict[str | None, Fingerprint]:
    """Return the fingerprints of the rows `t` of a FROM clause by an expression's text; one scan for all of them."""
    statement = sql.SQL(
        "SELECT label, count(*), {} FROM (SELECT unnest(ARRAY[md5(record_send(t.*))]) AS h, {} AS label FROM {}) s "
        "GROUP BY label"
    )
    rows = connection.execute(statement.format(_WORDS, label, relation)).fetchall()
    return {row[0]: _added(row[1], row[2:]) for row in rows}


def _added(count: int, sums: Sequence[Decimal]) -> Fingerprint:
    total = 0
    for word in sums:
        total = (total << _WORD_BITS) + int(word)
    return Fingerprint(count, total % FINGERPRINT_MODULUS)


def size_bytes(connection: WatchedConnection, place: sql.Identifier) -> int:
    """Return how much a scan of a table reads, partitions included."""
    row = connection.execute(
        "SELECT greatest(pg_relation_size(%(t)s::regclass), (SELECT coalesce(sum(pg_relation_size(relid)), 0)"
        " FROM pg_partition_tree(%(t)s::regclass)))",
        {"t": place.as_string(connection)},
    ).fetchone()
    return int(row[0]) if row else 0


def columns_of(connection: WatchedConnection, place: sql.Identifier) -> str:
    """Return what identifies a table's columns: fingerprints are comparable only while it is the same."""
    row = connection.execute(
        "SELECT md5(string_agg(attname || ' ' || atttypid || ' ' || atttypmod, ', ' ORDER BY attnum))"
        " FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        [place.as_string(connection)],
    ).fetchone()
    return str(row[0]) if row else ""
