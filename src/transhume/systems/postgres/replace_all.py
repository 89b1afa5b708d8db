"""Truncate and reload: within the publishing transaction every row of the tables leaves, before the staged ones come.

DELETE and not TRUNCATE: readers see the old rows until the commit, and references of others are checked row by row.
"""

from collections.abc import Sequence

from psycopg import errors, sql

from transhume.errors import CheckFailed
from transhume.systems.backup import ABSENT
from transhume.systems.postgres import ddl, faults
from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.postgres.restore import KEYS_THAT_CHANGE_OTHERS
from transhume.systems.postgres.row_prints import of_tables
from transhume.systems.postgres.stage import Stage
from transhume.systems.undo import parse_fingerprint


def empty(connection: WatchedConnection, schema: str, stages: Sequence[Stage]) -> None:
    """Remove every row of the tables that the run replaces, children first; `stages` stand parents first.

    The caller holds locks that keep others from writing.
    Raises: CheckFailed if a table is not what its snapshot holds, or rows elsewhere refer to rows that would go.
    """
    wanted = {stage.table.table.name: stage.table.replaces for stage in stages if stage.table.replaces is not None}
    there = [stage.table.table.name for stage in stages if stage.table.replaces is not None and not stage.table.create]
    names = list(dict.fromkeys(there))
    if not wanted:
        return
    found = of_tables(connection, [(schema, name) for name in names])
    now = {name: found.get(f"{schema}.{name}", ABSENT) for name in wanted}
    if changed := sorted(name for name, kept in wanted.items() if now[name] != kept):
        listed = ", ".join(f"'{name}'" for name in changed)
        message = (
            f"nothing was published: {listed} changed since the snapshot was made, and what others wrote would be "
            "lost. Make another snapshot by 'transhume backup', then begin a new run with --fresh."
        )
        raise CheckFailed(message)
    keys = connection.execute(KEYS_THAT_CHANGE_OTHERS, [schema, names, names]).fetchall()
    if keys:
        listed = "; ".join(f"'{table}' refers to '{parent}'" for table, parent in keys)
        message = (
            f"nothing was published: {listed} by a key that deletes or changes its rows along with those that are "
            "replaced. Take the key away for the time, or load without 'load: replace'."
        )
        raise CheckFailed(message)
    for name in reversed(names):
        rows = parse_fingerprint(now[name])
        statement = sql.SQL("DELETE FROM ONLY {}").format(ddl.qualified(schema, name))
        try:
            removed = connection.execute(statement).rowcount
        except errors.IntegrityError as problem:
            raise CheckFailed(str(faults.explain(problem, "nothing was published"))) from None
        if rows is None or removed != rows.rows:
            message = (
                f"nothing was published: '{name}' has {rows.rows if rows else 0} rows and the server removed "
                f"{removed}; look for triggers or rules on the table"
            )
            raise CheckFailed(message)
