"""Who refers to rows that an undo is about to remove: rows of ours that stay, rows of others, later runs.

The server's foreign keys are followed, those of other schemas too. Nothing of the target is changed here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from psycopg import sql

from transhume.systems.postgres import ddl, ledger
from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.postgres.stage import schema_name
from transhume.systems.postgres.undo_sets import UndoSet, add_set_of_others, at, fill
from transhume.systems.undo import ReferringRows, UndoChoice

_STAYS = "('edited', 'needed', 'not_restored')"
"""Fates of rows of the run that stay."""
_FOREIGN_KEYS = """
SELECT o.conrelid, n.nspname, c.relname, o.confrelid, o.confdeltype::text,
       (SELECT array_agg(a.attname::text ORDER BY k.ordinality) FROM unnest(o.conkey) WITH ORDINALITY k(num, ordinality)
        JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.num),
       (SELECT array_agg(a.attname::text ORDER BY k.ordinality)
        FROM unnest(o.confkey) WITH ORDINALITY k(num, ordinality)
        JOIN pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = k.num)
FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE o.contype = 'f' AND o.conparentid = 0 AND o.confrelid = ANY(%s) ORDER BY n.nspname, c.relname, o.conname
"""
_PRIMARY_KEY = """
SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_index i
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) WHERE i.indrelid = %s AND i.indisprimary
"""


@dataclass(frozen=True, slots=True)
class ForeignKeyOfOthers:
    """A foreign key as the server has it: the child's and the parent's tables by their numbers."""

    child: int
    schema: str
    table: str
    parent: int
    changes_rows: bool
    """The server itself would remove or change the child's rows (CASCADE, SET NULL, SET DEFAULT)."""
    columns: tuple[str, ...]
    parent_columns: tuple[str, ...]

    @property
    def place(self) -> sql.Identifier:
        """The child's quoted name."""
        return ddl.qualified(self.schema, self.table)

    def joined(self, child: str, parent: str) -> sql.Composed:
        """Return the condition that a row of the child refers to a row of the parent."""
        pairs = [
            sql.SQL("{} = {}").format(sql.Identifier(child, one), sql.Identifier(parent, other))
            for one, other in zip(self.columns, self.parent_columns, strict=True)
        ]
        return sql.SQL(" AND ").join(pairs)


def foreign_keys(connection: WatchedConnection, parents: Sequence[int]) -> list[ForeignKeyOfOthers]:
    """Return every foreign key that points to one of these tables."""
    rows = connection.execute(_FOREIGN_KEYS, [list(parents)]).fetchall()
    return [
        ForeignKeyOfOthers(
            child=row[0],
            schema=row[1],
            table=row[2],
            parent=row[3],
            changes_rows=row[4] in {"c", "n", "d"},
            columns=tuple(row[5]),
            parent_columns=tuple(row[6]),
        )
        for row in rows
    ]


class References:
    """Follows the references to the rows of some sets, until nothing changes any more."""

    def __init__(self, connection: WatchedConnection, run: str, sets: Mapping[str, UndoSet]) -> None:
        self._connection = connection
        self._run = run
        self._sets = {each.oid: each for each in sets.values() if each.oid is not None}
        self._made = len(sets)

    @property
    def sets(self) -> list[UndoSet]:
        """All sets, those of others' tables behind those of the run, children before their parents."""
        keys = foreign_keys(self._connection, list(self._sets))
        graph: dict[int, set[int]] = {oid: set() for oid in self._sets}
        for each in keys:
            if each.child in graph and each.child != each.parent:
                graph[each.parent].add(each.child)
        try:
            order = list(TopologicalSorter(graph).static_order())
        except CycleError:
            # Their references are deferrable, or the run could not have been published.
            order = list(reversed(graph))
        return [self._sets[oid] for oid in order]

    def follow(self, choice: UndoChoice) -> list[ReferringRows]:
        """Settle the fate of rows that are referred to; return the rows of others that refer to rows which go.

        A row of the run that a row which stays refers to stays as well (`needed`). Rows of others: with `keep` what
        they refer to stays, with `remove` they are added to the sets, with `refuse` they are only counted.
        """
        found: dict[tuple[int, tuple[str, ...]], ReferringRows] = {}
        changed = True
        while changed:
            changed = False
            for key in foreign_keys(self._connection, list(self._sets)):
                if key.child in self._sets:
                    changed |= bool(self._keep_parents(key, choice))
                rows = self._of_others(key)
                if not rows:
                    continue
                told = found.get((key.child, key.columns))
                count = rows + (told.rows if told and choice.referenced != "refuse" else 0)
                found[key.child, key.columns] = self._told(key, count)
                changed |= choice.referenced != "refuse"
                if choice.referenced == "keep":
                    self._keep_for_others(key, choice)
                elif choice.referenced == "remove":
                    self._take_along(key)
        return list(found.values())

    def later_runs(self, referring: Sequence[ReferringRows]) -> Iterator[str]:
        """Yield one sentence for each later published run that builds on this one."""
        for each in referring:
            if each.run:
                yield (
                    f"run '{each.run}' builds on this one: {each.rows} rows of it in '{each.table}' refer to rows in "
                    f"'{each.parent}'; roll it back first: transhume rollback {each.run}"
                )
        for run, ordinal, name, xid in self._later_tables():
            place = ddl.qualified(schema_name(run), f"before_{ordinal}")
            mine = next((one for one in self._sets.values() if one.name == name and one.stages), None)
            if mine is None:
                continue
            if not self._is_there(place):
                # Rows of the same key and content that somebody removed, and that run brought again, are its own.
                written = self._connection.execute(
                    sql.SQL("SELECT count(*) FROM {} WHERE t.xmin = {}::xid").format(
                        mine.members("t"), sql.Literal(xid)
                    )
                ).fetchone()
                if xid is not None and written and written[0]:
                    yield (
                        f"run '{run}' builds on this one: it wrote {written[0]} of these rows of '{name}' again; roll "
                        f"it back first: transhume rollback {run}"
                    )
                continue
            row = self._connection.execute(
                sql.SQL("SELECT count(*) FROM {} JOIN {} b ON {}").format(
                    mine.members("t"), place, ddl.same_key(mine.stages[0].table.key, "b", "t")
                )
            ).fetchone()
            if row and row[0]:
                yield (
                    f"run '{run}' builds on this one: it changed {row[0]} rows of it in '{name}'; roll it back first: "
                    f"transhume rollback {run}"
                )

    def _later_tables(self) -> list[tuple[str, int, str, str | None]]:
        return self._connection.execute(
            """
            SELECT r.run, t.ordinal, t.target_table, (r.publish_xid & 4294967295)::text
            FROM transhume.runs r JOIN transhume.tables t USING (run)
            JOIN transhume.runs mine ON mine.run = %s
            WHERE r.state = 'published' AND r.scope = mine.scope AND r.published_at > mine.published_at
            ORDER BY r.published_at, t.ordinal
            """,
            [self._run],
        ).fetchall()

    def _referred(self, key: ForeignKeyOfOthers) -> sql.Composed:
        """Return the FROM items of rows `p` that go, with the rows `c` that refer to them."""
        parent = self._sets[key.parent]
        return sql.SQL("{child} c JOIN {parents} ON {joined}").format(
            child=key.place, parents=parent.going("p"), joined=key.joined("c", "p")
        )

    def _not_ours(self, key: ForeignKeyOfOthers) -> sql.Composed:
        if key.child not in self._sets:
            return sql.Composed([sql.SQL("true")])
        if self._sets[key.child].is_all:
            return sql.Composed([sql.SQL("false")])
        own = self._sets[key.child].rows
        return sql.SQL("NOT EXISTS (SELECT FROM {} x WHERE {})").format(own, at("c", "x"))

    def _of_others(self, key: ForeignKeyOfOthers) -> int:
        row = self._connection.execute(
            sql.SQL("SELECT count(DISTINCT (c.tableoid, c.ctid)) FROM {} WHERE {}").format(
                self._referred(key), self._not_ours(key)
            )
        ).fetchone()
        return int(row[0]) if row else 0

    def _keep_parents(self, key: ForeignKeyOfOthers, choice: UndoChoice) -> int:
        """Let rows stay to which rows of the run refer that stay themselves."""
        own = self._sets[key.child]
        if own.is_all or not self._has_rows_that_stay(own):
            return 0
        parent = self._made_set(key.parent, choice)
        return self._connection.execute(
            sql.SQL(
                "UPDATE {parents} u SET fate = 'needed' FROM {parent} p, {child} c, {own} x WHERE {at_parent} "
                "AND u.fate = 'remove' AND {joined} AND {at_child} "
                "AND x.fate IN {stays}"
            ).format(
                parents=parent.rows,
                parent=parent.place,
                child=key.place,
                own=own.rows,
                stays=sql.SQL(_STAYS),
                at_parent=at("p"),
                joined=key.joined("c", "p"),
                at_child=at("c", "x"),
            )
        ).rowcount

    def _has_rows_that_stay(self, own: UndoSet) -> bool:
        statement = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE fate IN {})").format(own.rows, sql.SQL(_STAYS))
        return self._connection.execute(statement).fetchone() == (True,)

    def _made_set(self, oid: int, choice: UndoChoice) -> UndoSet:
        """Return a table's set with a table of its own, in which rows may be marked one by one."""
        if self._sets[oid].is_all:
            fill(self._connection, self._run, self._sets[oid], choice)
        return self._sets[oid]

    def _keep_for_others(self, key: ForeignKeyOfOthers, choice: UndoChoice) -> None:
        parent = self._made_set(key.parent, choice)
        self._connection.execute(
            sql.SQL(
                "UPDATE {parents} u SET fate = 'needed' FROM {parent} p, {child} c WHERE {at} AND u.fate = 'remove' "
                "AND {joined} AND {not_ours}"
            ).format(
                parents=parent.rows,
                parent=parent.place,
                child=key.place,
                at=at("p"),
                joined=key.joined("c", "p"),
                not_ours=self._not_ours(key),
            )
        )

    def _take_along(self, key: ForeignKeyOfOthers) -> None:
        if key.child not in self._sets:
            self._sets[key.child] = add_set_of_others(self._connection, self._run, key.place, key.child, self._made)
            self._made += 1
        self._connection.execute(
            sql.SQL(
                "INSERT INTO {own} SELECT DISTINCT c.tableoid, c.ctid, NULL::text, false, 'other' FROM {referred} "
                "WHERE {not_ours}"
            ).format(own=self._sets[key.child].rows, referred=self._referred(key), not_ours=self._not_ours(key))
        )

    def _told(self, key: ForeignKeyOfOthers, rows: int) -> ReferringRows:
        parent = self._sets[key.parent].name
        return ReferringRows(key.table, key.columns, parent, rows, self._writer(key))

    def _writer(self, key: ForeignKeyOfOthers) -> str:
        """Return the later run that staged one of the referring rows, "" if none did."""
        primary = self._connection.execute(_PRIMARY_KEY, [key.child]).fetchone()
        if primary is None or primary[0] is None:
            return ""
        for run, _, name, _ in self._later_tables():
            if name != key.table:
                continue
            mappings = self._connection.execute(
                "SELECT mapping FROM transhume.tables WHERE run = %s AND target_table = %s", [run, name]
            ).fetchall()
            for (mapping,) in mappings:
                for batch in ledger.stage_tables(self._connection, run, mapping):
                    place = ddl.qualified(schema_name(run), batch)
                    if self._is_there(place) and self._staged_one(key, place, primary[0]):
                        return run
        return ""

    def _staged_one(self, key: ForeignKeyOfOthers, staged: sql.Identifier, primary: list[str]) -> bool:
        row = self._connection.execute(
            sql.SQL("SELECT EXISTS (SELECT FROM {} JOIN {} s ON {} WHERE {})").format(
                self._referred(key), staged, ddl.same_key(primary, "s", "c"), self._not_ours(key)
            )
        ).fetchone()
        return row == (True,)

    def _is_there(self, place: sql.Identifier) -> bool:
        row = self._connection.execute("SELECT to_regclass(%s)", [place.as_string(self._connection)]).fetchone()
        return bool(row and row[0] is not None)
