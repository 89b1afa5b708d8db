"""Forbidding writes to tables for a time: a trigger before each kind of write that refuses it, and is dropped later.

Rights could not do it: those of a database or of the whole server cannot be taken for single tables, and sessions that
are open keep them. A trigger holds everybody off, from the moment it stands, and undoing needs to know no rights.
Source: https://mariadb.com/docs/server/server-usage/triggers-events/triggers/create-trigger
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from transhume.errors import Refused, SystemUnavailable
from transhume.faults import reach
from transhume.systems.changes import Freezing
from transhume.systems.mysql.address import Address, parse_url
from transhume.systems.mysql.connection import Connection
from transhume.systems.mysql.describe import quoted

_WAIT_S = 10
_WRITES = ("INSERT", "UPDATE", "DELETE")
_NAME = "transhume_freeze_"
TEXT = "transhume keeps this table still while it is migrated; nothing was written"
"""What a writer is told; the server takes 128 characters."""
_TRIGGERS = """
SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION FROM information_schema.TRIGGERS
WHERE TRIGGER_SCHEMA = DATABASE() ORDER BY EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER
"""
_CASCADES = """
SELECT TABLE_NAME, CONCAT_WS('.', NULLIF(UNIQUE_CONSTRAINT_SCHEMA, DATABASE()), REFERENCED_TABLE_NAME)
FROM information_schema.REFERENTIAL_CONSTRAINTS
WHERE CONSTRAINT_SCHEMA = DATABASE()
  AND (DELETE_RULE IN ('CASCADE', 'SET NULL') OR UPDATE_RULE IN ('CASCADE', 'SET NULL'))
ORDER BY 1, 2
"""
_NOT_HELD_OFF = (
    "TRUNCATE, DROP and ALTER TABLE, and rows that arrive by replication, are not held off; changed rows are reported"
)
_GRANT = re.compile(r"GRANT (?P<rights>.+?) ON (?P<place>(?:`(?:[^`]|``)*`|\*)\.(?:`(?:[^`]|``)*`|\*)) TO ")
_PART = re.compile(r"`((?:[^`]|``)*)`|(\*)")
_LETTER = re.compile(r"\\.|.", re.DOTALL)
_WILD = {"_": ".", "%": ".*"}

Trigger = tuple[str, str, str, str]
"""Name, table, BEFORE or AFTER, and the kind of write."""


def open_freezer(url: str, base: Path) -> "MysqlFreezer":
    """Return what freezes the database behind a URL; nothing is opened yet. Raises: UsageError."""
    return MysqlFreezer(parse_url(url, base))


class MysqlFreezer:
    """One database; the user needs the right TRIGGER on the tables."""

    def __init__(self, address: Address) -> None:
        self.identity = address.identity
        self._address = address
        self._opened: Connection | None = None

    def plan(self, tables: Sequence[str]) -> Freezing:
        """Return the statements; see `Freezer.plan`."""
        connection = self._connection()
        others = _others(connection)
        freeze = [self._create(table, write, others) for table in tables for write in _WRITES]
        self._require_rights(connection, tables, freeze)
        unfreeze = [
            f"DROP TRIGGER IF EXISTS {self._place(_name(table, write))}" for table in tables for write in _WRITES
        ]
        notes = [_NOT_HELD_OFF]
        for table, parent in dict.fromkeys((str(row[0]), str(row[1])) for row in connection.rows(_CASCADES)):
            if table in tables and parent not in tables:
                notes.append(f"rows of '{table}' follow those of '{parent}' by a foreign key, past every trigger")
        return Freezing(tuple(freeze), tuple(unfreeze), _told(others, tables), tuple(notes))

    def freeze(self, tables: Sequence[str], freezing: Freezing) -> None:
        """Make the triggers that do not stand yet, one after the other; see `Freezer.freeze`."""
        connection = self._connection()
        if _told(_others(connection), tables) != freezing.state:
            message = f"triggers in {self.identity} were changed meanwhile; nothing more was frozen"
            raise Refused(message)
        names = [_name(table, write) for table in tables for write in _WRITES]
        standing = _ours(connection)
        for name, statement in zip(names, freezing.freeze, strict=True):
            if name in standing:
                continue
            # Waits for the transactions that use the table; whoever comes after it waits behind it.
            connection.rows(statement)
            reach("freeze:after_statement")
        if missing := sorted(set(names) - _ours(connection)):
            message = f"the server made no trigger '{missing[0]}' although it said so; report this"
            raise Refused(message)
        reach("freeze:after_commit")

    def stands(self, tables: Sequence[str], freezing: Freezing) -> bool:
        """Say whether any of the triggers is there; see `Freezer.stands`."""
        del freezing
        return bool({_name(table, write) for table in tables for write in _WRITES} & _ours(self._connection()))

    def unfreeze(self, tables: Sequence[str], freezing: Freezing) -> Sequence[str]:
        """Drop the triggers; see `Freezer.unfreeze`."""
        connection = self._connection()
        for statement in freezing.unfreeze:
            connection.rows(statement)
            reach("unfreeze:after_statement")
        if self.stands(tables, freezing):
            # The catalog shows triggers to those alone who may have them, so this user could drop them.
            message = f"triggers of {self.identity} stand although they were dropped; run 'transhume unfreeze' again"
            raise SystemUnavailable(message)
        now = _told(_others(connection), tables)
        differing = [f"was there, is not: {each}" for each in freezing.state if each not in now]
        return differing + [f"was not there, is: {each}" for each in now if each not in freezing.state]

    def close(self) -> None:
        """Close the connection."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _connection(self) -> Connection:
        if self._opened is not None and not self._opened.is_open:
            self._opened = None
        if self._opened is None:
            self._opened = Connection(self._address)
            self._opened.rows("SET SESSION TRANSACTION READ WRITE")
            self._opened.rows("SET SESSION sql_quote_show_create = 1")
            self._opened.rows(f"SET SESSION lock_wait_timeout = {_WAIT_S}")
        return self._opened

    def _create(self, table: str, write: str, others: Sequence[Trigger]) -> str:
        first = next((name for name, *rest in others if rest == [table, "BEFORE", write]), None)
        # Before all others: nothing that they do is done for a write that is refused.
        order = "" if first is None else f" PRECEDES {quoted(first)}"
        return (
            f"CREATE TRIGGER {self._place(_name(table, write))} BEFORE {write} ON {self._place(table)} "
            f"FOR EACH ROW{order} SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{TEXT}'"
        )

    def _place(self, name: str) -> str:
        return f"{quoted(self._address.database)}.{quoted(name)}"

    def _require_rights(self, connection: Connection, tables: Sequence[str], freeze: Sequence[str]) -> None:
        granted = [str(row[0]) for row in connection.rows("SHOW GRANTS")]
        database = self._address.database
        missing = [table for table in tables if not _may(granted, "TRIGGER", database, table)]
        listed = "\n".join(f"  {statement};" for statement in freeze)
        if missing:
            names = ", ".join(f"'{table}'" for table in missing)
            message = (
                f"this user may not make triggers on {names} of {self.identity}, so it cannot freeze them; nothing was "
                f"frozen. Have it granted (GRANT TRIGGER ON {quoted(database)}.* TO ...), or have these statements run "
                f"and write 'freeze: detect':\n{listed}"
            )
            raise Refused(message)
        logged, trusted = connection.rows("SELECT @@log_bin, @@log_bin_trust_function_creators")[0]
        if logged == "1" and trusted == "0" and not _may(granted, "SUPER", "*", "*"):
            message = (
                f"{self.identity} writes a binary log, where only SUPER makes triggers; nothing was frozen. Have "
                "log_bin_trust_function_creators set to 1, give SUPER, or have these statements run and write "
                f"'freeze: detect':\n{listed}"
            )
            raise Refused(message)


def _name(table: str, write: str) -> str:
    """Return the name of our trigger, the same for everybody who looks for it; a name has at most 64 characters."""
    return f"{_NAME}{hashlib.sha256(table.encode()).hexdigest()[:12]}_{write.lower()}"


def _others(connection: Connection) -> list[Trigger]:
    """Return the triggers of this database that are not ours, in the order in which they fire."""
    rows = connection.rows(_TRIGGERS)
    return [(row[0], row[1], row[2], row[3]) for row in rows if not str(row[0]).startswith(_NAME)]


def _ours(connection: Connection) -> set[str]:
    return {str(row[0]) for row in connection.rows(_TRIGGERS) if str(row[0]).startswith(_NAME)}


def _told(triggers: Sequence[Trigger], tables: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        sorted(
            f"trigger '{name}' {when} {write} on {table}" for name, table, when, write in triggers if table in tables
        )
    )


def _may(granted: Sequence[str], right: str, database: str, table: str) -> bool:
    """Say whether what SHOW GRANTS tells has this right; a role that is not switched on counts for nothing.

    Of the grants on databases one that names this one goes before all patterns, whatever rights these give.
    Source: https://mariadb.com/docs/server/reference/sql-statements/account-management-sql-statements/grant
    """
    on_databases: list[tuple[bool, bool]] = []
    for line in granted:
        found = _GRANT.match(line)
        if found is None:
            continue
        rights = {each.strip() for each in re.sub(r"\([^)]*\)", "", found["rights"]).split(",")}
        has_right = not rights.isdisjoint({right, "ALL PRIVILEGES"})
        where, what = (star or name.replace("``", "`") for name, star in _PART.findall(found["place"]))
        if has_right and (where, what) in {("*", "*"), (database, table)}:
            return True
        if what == "*" and where != "*" and _is_like(database, where):
            on_databases.append((_LETTER.sub(lambda letter: letter[0][-1], where) == database, has_right))
    is_exact = any(exact for exact, _ in on_databases)
    return any(has_right for exact, has_right in on_databases if exact == is_exact)


def _is_like(name: str, pattern: str) -> bool:
    """Say whether a grant means this database: _ and % of its name stand for others, unless a backslash is before."""
    expression = "".join(_WILD.get(part) or re.escape(part[-1]) for part in _LETTER.findall(pattern))
    return re.fullmatch(expression, name, re.DOTALL) is not None
