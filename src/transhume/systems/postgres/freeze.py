"""Forbidding writes to tables for a time: rights to write are taken from every role that has them, and given back.

Superusers and roles with pg_write_all_data cannot be held off this way.
Source: https://www.postgresql.org/docs/current/ddl-priv.html
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from transhume.errors import Refused, SystemUnavailable
from transhume.faults import reach
from transhume.systems.changes import Freezing
from transhume.systems.postgres.address import Address, parse_url
from transhume.systems.postgres.connection import Session, WatchedConnection

_WAIT = "10s"
_RIGHTS = """
WITH ours AS (
    SELECT DISTINCT p.relid AS oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (SELECT c.oid AS relid UNION SELECT relid FROM pg_partition_tree(c.oid)) p
    WHERE n.nspname = %(schema)s AND c.relname = ANY(%(tables)s) AND c.relkind IN ('r', 'p'))
SELECT n.nspname::text, c.relname::text, o.rolname::text, g.rolname::text, r.rolname::text, x.privilege_type,
       x.is_grantable, a.attname::text, pg_has_role(c.relowner, 'USAGE')
FROM ours JOIN pg_class c ON c.oid = ours.oid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_roles o ON o.oid = c.relowner
CROSS JOIN LATERAL (
    SELECT 0 AS attnum, e.* FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) e
    UNION ALL
    SELECT a.attnum, e.* FROM pg_attribute a, aclexplode(a.attacl) e WHERE a.attrelid = c.oid AND NOT a.attisdropped) x
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.attnum AND x.attnum > 0
LEFT JOIN pg_roles g ON g.oid = x.grantor LEFT JOIN pg_roles r ON r.oid = x.grantee
WHERE x.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
ORDER BY 1, 2, 5 NULLS FIRST, 8 NULLS FIRST, 6
"""
_STILL = """
SELECT rolname::text FROM pg_roles WHERE rolsuper AND rolcanlogin ORDER BY 1
"""


def open_freezer(url: str, base: Path) -> "PostgresFreezer":  # noqa: ARG001 - systems of files need it
    """Return what freezes the schema behind a URL; nothing is opened yet. Raises: UsageError."""
    return PostgresFreezer(parse_url(url))


class PostgresFreezer:
    """One schema; the role must own the tables, or be a superuser."""

    def __init__(self, address: Address) -> None:
        self.identity = address.identity
        self._schema = address.schema
        self._session = Session(address, "transhume freeze")

    def plan(self, tables: Sequence[str]) -> Freezing:
        """Return the statements; see `Freezer.plan`."""
        with self._session.reading(self.identity) as connection:
            return _freezing(connection, self._schema, tables)

    def freeze(self, tables: Sequence[str], freezing: Freezing) -> None:
        """Take the rights; see `Freezer.freeze`."""

        def work(connection: WatchedConnection) -> None:
            connection.execute(f"SET LOCAL lock_timeout = '{_WAIT}'")
            for name in sorted(tables):
                # Waits for the transactions that write now; new ones meet the rights as they are after the commit.
                place = sql.Identifier(self._schema, name)
                connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(place))
            now = _state(connection, self._schema, tables)
            if freezing.state and not now:
                # By a process that died, or whose commit got no answer.
                return
            if now != freezing.state:
                message = f"rights in {self.identity} were changed meanwhile; nothing was frozen"
                raise Refused(message)
            for statement in freezing.freeze:
                connection.execute(statement.encode())
            if left := _state(connection, self._schema, tables):
                message = f"after the freeze there would be rights to write still ({left[0]}); nothing was frozen"
                raise Refused(message)
            reach("freeze:before_commit")

        try:
            self._session.transact(work, where=f"{self.identity} not frozen")
        except psycopg.errors.LockNotAvailable:
            message = f"somebody writes to {self.identity} for more than {_WAIT}; nothing was frozen. Run again later."
            raise SystemUnavailable(message) from None
        reach("freeze:after_commit")

    def stands(self, tables: Sequence[str], freezing: Freezing) -> bool:
        """Say whether nobody has a right to write; see `Freezer.stands`."""
        with self._session.reading(self.identity) as connection:
            return bool(freezing.state) and not _state(connection, self._schema, tables)

    def unfreeze(self, tables: Sequence[str], freezing: Freezing) -> Sequence[str]:
        """Give the rights back; see `Freezer.unfreeze`."""

        def work(connection: WatchedConnection) -> list[str]:
            for statement in freezing.unfreeze:
                connection.execute(statement.encode())
            now = _state(connection, self._schema, tables)
            differing = [f"was there, is not: {each}" for each in freezing.state if each not in now]
            differing += [f"was not there, is: {each}" for each in now if each not in freezing.state]
            reach("unfreeze:before_commit")
            return differing

        return self._session.transact(work, where=f"{self.identity} not given back")

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


def _freezing(connection: WatchedConnection, schema: str, tables: Sequence[str]) -> Freezing:
    rights = _rights(connection, schema, tables)
    foreign = [row for row in rights if row[3] != row[2]]
    if foreign:
        told = "; ".join(f"'{row[1]}': by '{row[3]}' to '{row[4] or 'PUBLIC'}'" for row in foreign[:5])
        message = (
            f"rights to write were given on by others than the owner ({told}); nothing was frozen. Have the owner give "
            "them, or freeze by hand and write 'freeze: detect'."
        )
        raise Refused(message)
    grouped: dict[tuple[str, str, str | None, bool], list[str]] = defaultdict(list)
    for space, table, _, _, grantee, privilege, grantable, column, _ in rights:
        word = privilege
        if column is not None:
            word += f" ({sql.Identifier(column).as_string(connection)})"
        grouped[space, table, grantee, grantable].append(word)
    freeze, unfreeze = [], []
    for (space, table, grantee, grantable), words in grouped.items():
        place = sql.Identifier(space, table).as_string(connection)
        role = "PUBLIC" if grantee is None else sql.Identifier(grantee).as_string(connection)
        freeze.append(f"REVOKE {', '.join(words)} ON TABLE {place} FROM {role}")
        tail = " WITH GRANT OPTION" if grantable and grantee != _owner(rights, space, table) else ""
        unfreeze.append(f"GRANT {', '.join(words)} ON TABLE {place} TO {role}{tail}")
    if not all(row[8] for row in rights):
        listed = "\n".join(f"  {statement};" for statement in freeze)
        message = (
            f"this role owns not all tables of {connection.info.dbname}, so it cannot freeze them; nothing was frozen. "
            f"Connect as their owner, or have these statements run and write 'freeze: detect':\n{listed}"
        )
        raise Refused(message)
    names = ", ".join(f"'{row[0]}'" for row in connection.execute(_STILL).fetchall())
    notes = (f"superusers can write all the same ({names}); a change is reported",)
    return Freezing(tuple(freeze), tuple(unfreeze), _told(rights), notes)


def _owner(rights: Sequence[tuple[object, ...]], space: str, table: str) -> object:
    return next(row[2] for row in rights if row[:2] == (space, table))


def _state(connection: WatchedConnection, schema: str, tables: Sequence[str]) -> tuple[str, ...]:
    return _told(_rights(connection, schema, tables))


def _told(rights: Sequence[tuple[object, ...]]) -> tuple[str, ...]:
    def sentences() -> Iterator[str]:
        for space, table, _, _, grantee, privilege, grantable, column, _ in rights:
            where = f"{space}.{table}" + (f".{column}" if column is not None else "")
            tail = ", with the right to give it on" if grantable else ""
            yield f"{privilege} on {where} for {grantee or 'PUBLIC'}{tail}"

    return tuple(sorted(sentences()))


def _rights(connection: WatchedConnection, schema: str, tables: Sequence[str]) -> list[tuple]:  # type: ignore[type-arg]
    return connection.execute(_RIGHTS, {"schema": schema, "tables": list(tables)}).fetchall()
