"""A scratch schema beside the target's: structure and sampled rows copied, others' rows planted, all of it removed."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from psycopg import errors, sql

from transhume.errors import Refused
from transhume.systems.postgres import ledger
from transhume.systems.postgres.address import Address, parse_url
from transhume.systems.postgres.connection import Session, WatchedConnection
from transhume.systems.postgres.ddl import NAME_BYTES_MAX, fitted, qualified
from transhume.systems.postgres.stage import schema_name
from transhume.systems.scratch import MARK, NUMBER_LENGTH_MAX, Planting, TextRow
from transhume.systems.undo import UndoReference

_INFIX = "_rehearsal_"
_READ_ROWS = 5_000
_SAMPLED_TIMES = 3
"""How many times the wanted rows a block sample draws: estimates of a table's size are off."""
_SHARE_MAX = 50.0
"""Per cent of a table's rows: where earlier runs have brought all rows, the rehearsed one must have some to bring."""
_COLUMNS = """
SELECT attname::text, attgenerated <> '' FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_REFERENCES = """
SELECT c.conname::text, r.relname::text, r.relnamespace = t.relnamespace, pg_get_constraintdef(c.oid),
    (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY k(num, n)
     JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num),
    (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(c.confkey) WITH ORDINALITY k(num, n)
     JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.num)
FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class r ON r.oid = c.confrelid
WHERE c.contype = 'f' AND c.conrelid = %s::regclass ORDER BY c.conname
"""
_SEQUENCES = """
SELECT a.attname::text, s.relname::text FROM pg_attrdef d
JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated = ''
JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_class'::regclass
JOIN pg_class s ON s.oid = p.refobjid AND s.relkind = 'S'
WHERE d.adrelid = %s::regclass
"""


def scratch_schema(schema: str, number: str) -> str:
    """Return the name of a scratch schema: cut, and told apart by a hash, where it would be too long."""
    return fitted(schema, NAME_BYTES_MAX - len(_INFIX) - NUMBER_LENGTH_MAX) + _INFIX + number


def scratch_url(url: str, schema: str) -> str:
    """Return the target's URL with another schema; all else is as it was."""
    parts = urlsplit(url)
    pairs = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "schema"]
    return urlunsplit(parts._replace(query=urlencode([*pairs, ("schema", schema)])))


def scratch_numbers(connection: WatchedConnection, schema: str) -> list[str]:
    """Return the numbers of the scratch schemas of `schema` that are there and bear the mark."""
    prefix = scratch_schema(schema, "")
    found = connection.execute(
        "SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname, %s)"
        " AND obj_description(oid, 'pg_namespace') = %s ORDER BY 1",
        [prefix, _mark(schema)],
    ).fetchall()
    return [row[0].removeprefix(prefix) for row in found]


def _mark(schema: str) -> str:
    return f"{MARK} of schema {schema}; may be dropped when no rehearsal is under way"


class PostgresScratch:
    """A scratch schema of one number; see `Scratch`."""

    def __init__(self, url: str, address: Address, number: str) -> None:
        self.name = scratch_schema(address.schema, number)
        self.url = scratch_url(url, self.name)
        self._real = address.schema
        self._address = parse_url(self.url)

    def make(
        self,
        tables: Sequence[str],
        references: Sequence[UndoReference],  # noqa: ARG002 - the server knows its references itself
        rows_max: int,
        seed: int,
    ) -> Sequence[str]:
        """Make schema, tables and references, and copy the sample, in one transaction."""

        def work(connection: WatchedConnection) -> list[str]:
            if connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [self.name]).fetchone():
                message = f"schema '{self.name}' is there already; nothing was made. Begin the rehearsal again"
                raise Refused(message)
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self.name)))
            comment = sql.SQL("COMMENT ON SCHEMA {} IS {}")
            connection.execute(comment.format(sql.Identifier(self.name), sql.Literal(_mark(self._real))))
            there = [name for name in dict.fromkeys(tables) if self._is_there(connection, self._real, name)]
            notes = [note for name in there for note in self._copy_structure(connection, name)]
            for name in there:
                self._copy_rows(connection, name, rows_max, seed)
            self._copy_parents(connection, there)
            return [*notes, *self._copy_references(connection, there)]

        with self._session("make") as session:
            return session.transact(work, where=f"scratch schema '{self.name}' not made")

    def read(self, table: str) -> Iterator[TextRow]:
        """Yield all rows as texts, in pieces."""
        with self._session("read") as session, session.reading(f"table '{table}' of '{self.name}'") as connection:
            if not self._is_there(connection, self.name, table):
                return
            names = [name for name, _ in self._columns(connection, self.name, table)]
            texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in names)
            select = sql.SQL("DECLARE looking CURSOR FOR SELECT {} FROM {}")
            connection.execute(select.format(texts, qualified(self.name, table)))
            fetch = sql.SQL("FETCH {} FROM looking").format(sql.Literal(_READ_ROWS))
            while rows := connection.execute(fetch).fetchall():
                yield from (dict(zip(names, row, strict=True)) for row in rows)

    def plant(self, table: str, plantings: Sequence[Planting]) -> Sequence[bool]:
        """Insert and update as any client does; what a constraint refuses is not done."""

        def work(connection: WatchedConnection) -> list[bool]:
            names = [name for name, is_generated in self._columns(connection, self.name, table) if not is_generated]
            return [self._plant(connection, table, names, each) for each in plantings]

        with self._session("plant") as session:
            return session.transact(work, where=f"table '{table}' of '{self.name}'")

    def remove(self) -> None:
        """Drop the schema, the stages of runs into it and the ledger's lines about them, in one transaction."""

        def work(connection: WatchedConnection) -> None:
            found = connection.execute(
                "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", [self.name]
            ).fetchone()
            if found is not None and found[0] != _mark(self._real):
                message = f"schema '{self.name}' does not say that transhume made it, so it stays"
                raise Refused(message)
            drop = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE")
            connection.execute(drop.format(sql.Identifier(self.name)))
            if not ledger.exists(connection):
                return
            runs = connection.execute("SELECT run FROM transhume.runs WHERE scope = %s", [self.name]).fetchall()
            for (run,) in runs:
                connection.execute(drop.format(sql.Identifier(schema_name(run))))
                for lines in ("batches", "tables", "runs"):
                    delete = sql.SQL("DELETE FROM {} WHERE run = {}")
                    connection.execute(delete.format(sql.Identifier("transhume", lines), sql.Literal(run)))
            connection.execute("DELETE FROM transhume.scopes WHERE scope = %s", [self.name])

        with self._session("remove") as session:
            session.transact(work, where=f"scratch schema '{self.name}' not removed")

    @contextmanager
    def _session(self, purpose: str) -> Iterator[Session]:
        session = Session(self._address, f"transhume rehearsal {purpose}")
        try:
            yield session
        finally:
            session.close()

    def _is_there(self, connection: WatchedConnection, schema: str, table: str) -> bool:
        place = qualified(schema, table).as_string(connection)
        row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [place]).fetchone()
        return row == (True,)

    def _columns(self, connection: WatchedConnection, schema: str, table: str) -> list[tuple[str, bool]]:
        return connection.execute(_COLUMNS, [qualified(schema, table).as_string(connection)]).fetchall()

    def _copy_structure(self, connection: WatchedConnection, table: str) -> Iterator[str]:
        """Copy columns, defaults, checks, keys and indexes; sequences become own ones, so that the target's stand."""
        real, copy = qualified(self._real, table), qualified(self.name, table)
        connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(copy, real))
        for column, name in connection.execute(_SEQUENCES, [real.as_string(connection)]).fetchall():
            sequence = qualified(self.name, name)
            connection.execute(sql.SQL("CREATE SEQUENCE IF NOT EXISTS {}").format(sequence))
            default = sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT nextval({}::regclass)")
            text = sql.Literal(sequence.as_string(connection))
            connection.execute(default.format(copy, sql.Identifier(column), text))
        triggers = connection.execute(
            "SELECT tgname::text FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal ORDER BY 1",
            [real.as_string(connection)],
        ).fetchall()
        for (name,) in triggers:
            yield f"trigger '{name}' of '{table}' is not in the scratch place: what it does is not rehearsed"

    def _copy_rows(self, connection: WatchedConnection, table: str, rows_max: int, seed: int) -> None:
        real = qualified(self._real, table)
        row = connection.execute(
            "SELECT reltuples::float8 FROM pg_class WHERE oid = %s::regclass", [real.as_string(connection)]
        ).fetchone()
        estimated = row[0] if row else -1.0
        share = _SHARE_MAX if estimated < 1 else min(_SHARE_MAX, 100.0 * _SAMPLED_TIMES * rows_max / estimated)
        self._insert(
            connection,
            table,
            sql.SQL("{} r TABLESAMPLE BERNOULLI ({}) REPEATABLE ({}) ORDER BY md5({} || r::text) LIMIT {}").format(
                real, sql.Literal(share), sql.Literal(seed), sql.Literal(f"{seed}:"), sql.Literal(rows_max)
            ),
        )

    def _copy_parents(self, connection: WatchedConnection, tables: Sequence[str]) -> None:
        """Copy what copied rows refer to, and what that refers to, until nothing is missing."""
        copied = 1
        while copied:
            copied = 0
            for child in tables:
                for _, parent, is_here, _, columns, keys in self._references(connection, child):
                    if not is_here or parent not in tables:
                        continue
                    pairs = zip(columns, keys, strict=True)
                    same = [
                        sql.SQL("r.{} = c.{}").format(sql.Identifier(key), sql.Identifier(column))
                        for column, key in pairs
                    ]
                    there = [sql.SQL("r.{0} = p.{0}").format(sql.Identifier(key)) for key in keys]
                    copied += self._insert(
                        connection,
                        parent,
                        sql.SQL(
                            "{} r WHERE EXISTS (SELECT 1 FROM {} c WHERE {})"
                            " AND NOT EXISTS (SELECT 1 FROM {} p WHERE {})"
                        ).format(
                            qualified(self._real, parent),
                            qualified(self.name, child),
                            sql.SQL(" AND ").join(same),
                            qualified(self.name, parent),
                            sql.SQL(" AND ").join(there),
                        ),
                    )

    def _copy_references(self, connection: WatchedConnection, tables: Sequence[str]) -> Iterator[str]:
        for child in tables:
            # The definition names tables without a schema where that is the search path's.
            self._search(connection, self._real)
            found = self._references(connection, child)
            self._search(connection, self.name)
            for name, parent, is_here, definition, _, _ in found:
                if not is_here or parent not in tables:
                    yield (
                        f"reference '{name}' of '{child}' to '{parent}' is not in the scratch place: "
                        "that table is not the plan's"
                    )
                    continue
                connection.execute(
                    sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                        qualified(self.name, child),
                        sql.Identifier(name),
                        sql.SQL(definition),  # PostgreSQL's own words
                    )
                )

    def _search(self, connection: WatchedConnection, schema: str) -> None:
        connection.execute(sql.SQL("SET LOCAL search_path = {}, pg_catalog").format(sql.Identifier(schema)))

    def _references(
        self, connection: WatchedConnection, table: str
    ) -> list[tuple[str, str, bool, str, list[str], list[str]]]:
        return connection.execute(_REFERENCES, [qualified(self._real, table).as_string(connection)]).fetchall()

    def _insert(self, connection: WatchedConnection, table: str, rows: sql.Composable) -> int:
        """Copy rows of the target; `rows` is what stands behind FROM, with the alias r."""
        kept = [name for name, is_generated in self._columns(connection, self.name, table) if not is_generated]
        names = sql.SQL(", ").join(map(sql.Identifier, kept))
        from_real = sql.SQL(", ").join(sql.Identifier("r", name) for name in kept)
        insert = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}")
        return connection.execute(insert.format(qualified(self.name, table), names, from_real, rows)).rowcount

    def _plant(self, connection: WatchedConnection, table: str, names: Sequence[str], planting: Planting) -> bool:
        place = qualified(self.name, table)
        at = sql.SQL(" AND ").join(
            sql.SQL("t.{}::text IS NOT DISTINCT FROM {}").format(sql.Identifier(name), sql.Literal(value))
            for name, value in planting.at.items()
        )
        changed = sql.SQL("jsonb_populate_record(t, {}::jsonb)").format(sql.Literal(json.dumps(planting.changes)))
        if planting.act == "add":
            columns = sql.SQL(", ").join(map(sql.Identifier, names))
            statement = sql.SQL(
                "INSERT INTO {place} ({columns}) OVERRIDING SYSTEM VALUE"
                " SELECT {columns} FROM (SELECT ({changed}).* FROM {place} t WHERE {at}) r"
            ).format(place=place, columns=columns, changed=changed, at=at)
        else:
            pairs = sql.SQL(", ").join(
                sql.SQL("{0} = ({1}).{0}").format(sql.Identifier(name), changed) for name in planting.changes
            )
            statement = sql.SQL("UPDATE {} t SET {} WHERE {}").format(place, pairs, at)
        connection.execute("SAVEPOINT planting")
        try:
            done = connection.execute(statement).rowcount == 1
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except (errors.IntegrityError, errors.DataError, errors.RaiseException):
            done = False
        connection.execute(f"{'RELEASE' if done else 'ROLLBACK TO'} SAVEPOINT planting")
        return done
