"""What earlier runs brought: the stages of published runs, as far as they are there. Nothing is written from here."""

from collections.abc import Sequence

from psycopg import sql

from transhume.systems.postgres import ddl
from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.postgres.ledger import Hold
from transhume.systems.postgres.stage import Stage, schema_name


def stage_tables(
    connection: WatchedConnection, hold: Hold, stage: Stage, columns: Sequence[str]
) -> list[sql.Identifier]:
    """Return the stage tables of earlier published runs of the same mapping into the same table, oldest first.

    A table that lacks one of the columns, or has it in another type, is left out: another plan made it.
    """
    natives = [stage.natives[stage.columns.index(name)].replace("jsonb", "json") for name in columns]
    rows = connection.execute(
        """
        SELECT b.run, b.stage_table
        FROM transhume.batches b JOIN transhume.runs r ON r.run = b.run
        JOIN transhume.tables t ON t.run = b.run AND t.mapping = b.mapping
        WHERE r.scope = %(scope)s AND r.state = 'published' AND r.run <> %(run)s AND b.mapping = %(mapping)s
          AND t.target_table = %(table)s AND b.row_count > 0
        ORDER BY r.published_at, b.run, b.batch
        """,
        {
            "scope": hold.scope,
            "run": hold.run.run,
            "mapping": stage.table.mapping,
            "table": stage.table.table.name,
        },
    ).fetchall()
    places = [ddl.qualified(schema_name(run), table) for run, table in rows]
    return [place for place in places if _has(connection, place, columns, natives)]


def _has(connection: WatchedConnection, place: sql.Identifier, columns: Sequence[str], natives: Sequence[str]) -> bool:
    row = connection.execute(
        """
        SELECT count(*) FROM unnest(%s::text[], %s::text[]) w(name, native)
        JOIN pg_attribute a ON a.attrelid = to_regclass(%s) AND a.attname = w.name AND a.attnum > 0
             AND NOT a.attisdropped AND format_type(a.atttypid, a.atttypmod) = w.native
        """,
        [list(columns), natives, place.as_string(connection)],
    ).fetchone()
    return row == (len(columns),)
