"""Which rows an undo is about: one set a table in the stage's schema, made first, counted against the ledger.

A table that holds the run's rows, all of them as staged, and no other is its own set.

Nothing of the target is changed here. A row is known by its place (`tableoid`, `ctid`), which stands still as long as
the tables are locked or the transaction's snapshot is one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from transhume.batches import TargetTable
from transhume.errors import RollbackStopped
from transhume.faults import reach
from transhume.systems.postgres import before, ddl, describe, ledger
from transhume.systems.postgres.address import Address
from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.postgres.stage import Stage, schema_name, stage_of
from transhume.systems.undo import UndoChoice

_JOINED_MAX = 64
FATES_THAT_GO = ("remove", "other")
GOES = "('remove', 'other')"
"""Fates of rows that are deleted: those of the run, and those of others that go along by choice."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of a table's published rows, counted apart from the set; and the ledger's own numbers."""

    published: int
    same: int
    edited: int
    vanished: int

    @property
    def are_all_there(self) -> bool:
        """Every published row is there as it was staged."""
        return self.same == self.published and not self.edited and not self.vanished


@dataclass(slots=True)
class UndoSet:
    """One table with rows to look at: of the run (`stages`, one a mapping), or of others (none) by a reference.

    `rows` is the set: part oid, place tid, mapping, edited, fate. Fates: `remove`; `edited`, `needed` stay;
    `restore`, `not_restored` for rows that the run changed; `other` for rows of others that go along.
    """

    name: str
    place: sql.Identifier
    rows: sql.Identifier
    oid: int | None
    created: bool
    stages: tuple[Stage, ...] = ()
    is_made: bool = False
    """Whether the table `rows` is there."""
    images: tuple[sql.Identifier | None, ...] = ()
    """For each mapping the table of before-images, None where the run changed no row."""
    is_all: bool = False
    """Whether the table's rows are the set: as many as the ledger says, each one as staged; `rows` is not made then."""

    def members(self, alias: str) -> sql.Composed:
        """Return the FROM items of the table's rows that are in the set, joined with the set as `u` if it is made."""
        if self.is_all:
            return sql.SQL("{} {}").format(self.place, sql.Identifier(alias))
        return sql.SQL("{} {} JOIN {} u ON {}").format(self.place, sql.Identifier(alias), self.rows, at(alias))

    def going(self, alias: str) -> sql.Composed:
        """Return the FROM items of the table's rows that go."""
        if self.is_all:
            return self.members(alias)
        return sql.SQL("({} AND u.fate IN {})").format(self.members(alias), sql.SQL(GOES))


def stages_of(connection: WatchedConnection, run: str, address: Address, tables: Sequence[TargetTable]) -> list[Stage]:
    """Return the stages of a run's tables, with the types that the target has now."""
    catalog = describe.read_catalog(connection, address)
    return [stage_of(run, address.schema, table, catalog, ordinal) for ordinal, table in enumerate(tables)]


def make_sets(
    connection: WatchedConnection, run: str, stages: Sequence[Stage], choice: UndoChoice
) -> tuple[dict[str, UndoSet], dict[str, Counts]]:
    """Make the sets of a published run's rows, by target table, and count what they stand for apart from them.

    Effects: tables in the stage's schema.
    """
    sets: dict[str, UndoSet] = {}
    for stage in stages:
        name = stage.table.table.name
        if name not in sets:
            sets[name] = _new_set(connection, run, stage, len(sets))
        images = images_of(connection, stage)
        sets[name].stages += (stage,)
        sets[name].images += (images,)
    counts = {}
    for name, each in sets.items():
        counts[name] = count(connection, run, each)
        each.is_all = _holds_no_other(connection, each, counts[name])
        if not each.is_all:
            fill(connection, run, each, choice)
    reach("undo:set_made")
    return sets, counts


def _holds_no_other(connection: WatchedConnection, each: UndoSet, counts: Counts) -> bool:
    """Say whether the table holds the run's rows, all as staged, and no other row.

    Each staged row has found exactly one row by its key then, and there are no more rows than these.
    """
    if each.oid is None or not counts.are_all_there or any(images is not None for images in each.images):
        return False
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(each.place)).fetchone()
    return row == (counts.published,)


def fill(connection: WatchedConnection, run: str, each: UndoSet, choice: UndoChoice) -> None:
    """Make the table of a set and enter its rows."""
    each.is_all = False
    for stage, images in zip(each.stages, each.images, strict=True) if each.oid is not None else ():
        _fill(connection, run, each, stage, choice)
        if images is not None:
            _mark_changed(connection, each, stage, images, choice)
    if not each.is_made:
        _create(connection, each.rows)
        each.is_made = True
    connection.execute(sql.SQL("ANALYZE {}").format(each.rows))


def _new_set(connection: WatchedConnection, run: str, stage: Stage, number: int) -> UndoSet:
    rows = ddl.qualified(schema_name(run), f"undo_{number:03d}")
    place = ddl.qualified(stage.target_schema, stage.table.table.name)
    found = connection.execute("SELECT to_regclass(%s)::oid", [place.as_string(connection)]).fetchone()
    created = connection.execute(
        "SELECT bool_or(created) FROM transhume.tables WHERE run = %s AND target_table = %s",
        [run, stage.table.table.name],
    ).fetchone()
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(rows))
    return UndoSet(
        stage.table.table.name, place, rows, found[0] if found else None, created=bool(created and created[0])
    )


def _create(connection: WatchedConnection, rows: sql.Identifier) -> None:
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(rows))
    columns = "part oid NOT NULL, place tid NOT NULL, mapping text, edited boolean NOT NULL, fate text NOT NULL"
    connection.execute(sql.SQL("CREATE UNLOGGED TABLE {} ({})").format(rows, sql.SQL(columns)))


def add_set_of_others(connection: WatchedConnection, run: str, place: sql.Identifier, oid: int, number: int) -> UndoSet:
    """Make an empty set for a table that the run did not write."""
    rows = ddl.qualified(schema_name(run), f"undo_{number:03d}")
    _create(connection, rows)
    name = place.as_string(connection).replace('"', "")
    return UndoSet(name, place, rows, oid, created=False, is_made=True)


def images_of(connection: WatchedConnection, stage: Stage) -> sql.Identifier | None:
    """Return the table of before-images of a mapping, None where the run changed none of its rows."""
    place = ddl.qualified(schema_name(stage.run), before.name(stage))
    found = connection.execute("SELECT to_regclass(%s)", [place.as_string(connection)]).fetchone()
    return place if found and found[0] is not None else None


def at(alias: str, row: str = "u") -> sql.Composed:
    """Return the condition that a row of the set stands for a row of the table."""
    return sql.SQL("{t}.ctid = {u}.place AND {t}.tableoid = {u}.part").format(
        t=sql.Identifier(alias), u=sql.Identifier(row)
    )


def _fill(connection: WatchedConnection, run: str, rows: UndoSet, stage: Stage, choice: UndoChoice) -> None:
    """Enter every row of the target that has a staged key, and whether it is still what was staged."""
    same = same_row(connection, run, stage)
    for staged in staged_rows(connection, stage):
        # A table is made of its first rows: the server finds them with all processors then, and for INSERT with one.
        into = sql.SQL("INSERT INTO {}") if rows.is_made else sql.SQL("CREATE UNLOGGED TABLE {} AS")
        rows.is_made = True
        connection.execute(
            sql.SQL(
                "{into} SELECT part, place, {mapping}::text AS mapping, NOT same AS edited, "
                "CASE WHEN same OR {edited_go} THEN 'remove' ELSE 'edited' END AS fate FROM "
                "(SELECT t.tableoid AS part, t.ctid AS place, {same} AS same "
                "FROM {staged} JOIN {target} t ON {same_key}) m"
            ).format(
                into=into.format(rows.rows),
                mapping=sql.Literal(stage.table.mapping),
                edited_go=sql.Literal(choice.edited == "remove"),
                same=same,
                staged=staged,
                target=rows.place,
                same_key=ddl.same_key(stage.table.key, "s", "t"),
            )
        )


def staged_rows(connection: WatchedConnection, stage: Stage) -> Iterator[sql.Composed]:
    """Yield the staged rows as FROM items `s`, some batches at a time: each table of a statement holds a lock."""
    names = ledger.stage_tables(connection, stage.run, stage.table.mapping)
    for first in range(0, len(names), _JOINED_MAX):
        union = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {} FROM {} s").format(stage.values("s"), ddl.qualified(schema_name(stage.run), name))
            for name in names[first : first + _JOINED_MAX]
        )
        yield sql.SQL("({}) s ({})").format(union, ddl.names(stage.columns))


def same_row(connection: WatchedConnection, run: str, stage: Stage) -> sql.Composed:
    """Return the condition that a row is what the run published.

    Of columns that the run did not fill nothing is staged. There the row's version tells: it must be the one that the
    publishing transaction made.
    """
    same = sql.SQL("{} *= {}").format(
        ddl.record(ddl.names(stage.columns, "s")), ddl.record(ddl.names(stage.columns, "t"))
    )
    place = ddl.qualified(stage.target_schema, stage.table.table.name).as_string(connection)
    others = connection.execute(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " AND attgenerated = '' AND attname <> ALL(%s)",
        [place, list(stage.columns)],
    ).fetchone()
    xid = ledger.publish_xid(connection, run)
    if others == (0,) or xid is None:
        return same
    return sql.SQL("({} AND t.xmin = {}::xid)").format(same, sql.Literal(xid))


def _mark_changed(
    connection: WatchedConnection, rows: UndoSet, stage: Stage, images: sql.Identifier, choice: UndoChoice
) -> None:
    """Tell the rows that the run changed from those that it inserted: they get their before-image back."""
    connection.execute(
        sql.SQL(
            "UPDATE {rows} u SET fate = CASE WHEN u.edited AND {keep} THEN 'not_restored' ELSE 'restore' END "
            "FROM {target} t JOIN {images} b ON {same_key} WHERE {at} AND u.mapping = {mapping}"
        ).format(
            rows=rows.rows,
            keep=sql.Literal(choice.edited == "keep"),
            target=rows.place,
            images=images,
            same_key=ddl.same_key(stage.table.key, "b", "t"),
            at=at("t"),
            mapping=sql.Literal(stage.table.mapping),
        )
    )


def count(connection: WatchedConnection, run: str, rows: UndoSet) -> Counts:
    """Count, without the set, what became of a table's published rows."""
    published = same = edited = vanished = 0
    for stage, images in zip(rows.stages, rows.images, strict=True):
        row = connection.execute(
            "SELECT coalesce(inserted, 0) FROM transhume.tables WHERE run = %s AND mapping = %s",
            [run, stage.table.mapping],
        ).fetchone()
        published += row[0] if row else 0
        if rows.oid is None:
            vanished += row[0] if row else 0
            continue
        unless = sql.Composed([])
        if images is not None:
            key = ddl.same_key(stage.table.key, "b", "s")
            unless = sql.SQL("WHERE NOT EXISTS (SELECT FROM {} b WHERE {})").format(images, key)
        for staged in staged_rows(connection, stage):
            found = connection.execute(
                sql.SQL(
                    "SELECT count(*) FILTER (WHERE is_there AND same), count(*) FILTER (WHERE is_there AND NOT same), "
                    "count(*) FILTER (WHERE NOT is_there) FROM (SELECT t.ctid IS NOT NULL AS is_there, {same} AS same "
                    "FROM {staged} LEFT JOIN {target} t ON {same_key} {unless}) c"
                ).format(
                    same=same_row(connection, run, stage),
                    staged=staged,
                    target=rows.place,
                    same_key=ddl.same_key(stage.table.key, "s", "t"),
                    unless=unless,
                )
            ).fetchone()
            assert found is not None
            same, edited, vanished = same + found[0], edited + found[1], vanished + found[2]
    return Counts(published, same, edited, vanished)


def fates(connection: WatchedConnection, rows: UndoSet) -> dict[str, int]:
    """Return how many different rows of the set have each fate.

    Raises: RollbackStopped if a row stands there twice.
    """
    if rows.is_all:
        found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(rows.place)).fetchone()
        return {"remove": found[0]} if found and found[0] else {}
    # Grouped, not counted as DISTINCT: a million pairs are hashed in 0.7 s and sorted in 2.6.
    grouped = connection.execute(
        sql.SQL(
            "SELECT fate, sum(times)::bigint, count(*) FROM (SELECT fate, count(*) AS times FROM {} "
            "GROUP BY fate, part, place) g GROUP BY fate"
        ).format(rows.rows)
    ).fetchall()
    twice = [fate for fate, all_of_them, different in grouped if all_of_them != different]
    if twice:
        message = f"the set of rows of '{rows.name}' holds some twice ({', '.join(twice)}); nothing was changed"
        raise RollbackStopped(message)
    return {fate: all_of_them for fate, all_of_them, _ in grouped}


def require_counts(rows: UndoSet, counts: Counts, found: dict[str, int], choice: UndoChoice) -> None:
    """Raise RollbackStopped unless published rows less those that stay or vanished are those that would go."""
    kept = counts.edited if choice.edited == "keep" else 0
    needed = found.get("needed", 0)
    goes = found.get("remove", 0)
    wanted = counts.published - counts.vanished - kept - needed
    # A row needed by another one may be an edited one too; it stays once.
    sound = counts.same + counts.edited + counts.vanished == counts.published
    if sound and goes == wanted and found.get("edited", 0) == kept:
        return
    message = (
        f"the rows to remove from '{rows.name}' do not come out: the ledger says {counts.published} published; "
        f"{counts.same} are there unchanged, {counts.edited} edited, {counts.vanished} gone, {needed} needed by rows "
        f"that stay; so {wanted} must go, and the set holds {goes}. Nothing was changed. Look at the table for copies "
        "of keys, and at the target's ledger for edits; the backup of the tables is the other way back."
    )
    raise RollbackStopped(message)
