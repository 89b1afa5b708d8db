"""What proves that an undo took exactly its rows: fingerprints of tables before and after. Nothing is changed here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from transhume.errors import RollbackStopped
from transhume.systems.postgres import ddl, fingerprint, ledger
from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.postgres.undo_sets import FATES_THAT_GO, UndoSet, at
from transhume.systems.undo import Fingerprint, UndoneTable, parse_fingerprint, proof


@dataclass(frozen=True, slots=True)
class Begun:
    """Fingerprints of one table before anything is removed: all rows, those that go, their former content."""

    everything: Fingerprint
    goes: Fingerprint
    replaced: Fingerprint
    images: Fingerprint
    columns: str

    @classmethod
    def of(cls, connection: WatchedConnection, each: UndoSet) -> "Begun":
        """Take them; each row of the set is a row of the table, and none stands in it twice."""
        images = Fingerprint()
        for stage, before in zip(each.stages, each.images, strict=True):
            if before is not None:
                images += fingerprint.of_rows(connection, _images(each, stage.table.key, before))
        columns = fingerprint.columns_of(connection, each.place)
        if each.is_all:
            everything = fingerprint.of_rows(connection, sql.SQL("{} t").format(each.place))
            return cls(everything, everything, Fingerprint(), images, columns)
        marked = sql.SQL("{} t LEFT JOIN {} u ON {}").format(each.place, each.rows, at("t"))
        found = fingerprint.of_groups(connection, marked, sql.SQL("u.fate"))
        nothing = Fingerprint()
        return cls(
            everything=sum(found.values(), nothing),
            goes=sum((found.get(fate, nothing) for fate in FATES_THAT_GO), nothing),
            replaced=found.get("restore", nothing),
            images=images,
            columns=columns,
        )


def _images(each: UndoSet, key: Sequence[str], before: sql.Identifier) -> sql.Composed:
    """Return the FROM items of the before-images `t` that are restored."""
    return sql.SQL("{before} t JOIN {target} n ON {same} JOIN {rows} u ON {at} AND u.fate = 'restore'").format(
        before=before, target=each.place, same=ddl.same_key(key, "t", "n"), rows=each.rows, at=at("n")
    )


def proved(
    connection: WatchedConnection, run: str, each: UndoSet, table: UndoneTable, begun: Begun | None
) -> UndoneTable:
    """Compare fingerprints before and after. Raises: RollbackStopped if others' rows are not what they were."""
    before, columns = _recorded(connection, run, each.name)
    if table.dropped or begun is None:
        text = "the run made the table, only its rows were in it, and it is gone" if table.dropped else "no such table"
        return replace(
            table,
            fingerprint_before_run=str(before or ""),
            proof="equal" if table.dropped else "",
            proof_text=text,
        )
    after = fingerprint.of_rows(connection, sql.SQL("{} t").format(each.place))
    if after != begun.everything - begun.goes - begun.replaced + begun.images:
        message = (
            f"table '{each.name}' is not what it must be after the removal (fingerprint {after}); nothing was changed. "
            "Something in the target changes rows by itself: look for triggers, rules and cascading references."
        )
        raise RollbackStopped(message)
    stood = None
    if not table.created and columns not in {None, "", begun.columns}:
        before = None
    elif before is not None and before != after:
        stood = _stood(connection, run, each)
    word, text = proof(before, stood, after, table.kept)
    return replace(
        table,
        fingerprint_before_run=str(before or ""),
        fingerprint_at_start=str(begun.everything),
        fingerprint_after=str(after),
        proof=word,
        proof_text=text,
    )


def _stood(connection: WatchedConnection, run: str, each: UndoSet) -> Fingerprint | None:
    """Return the fingerprint of the rows that are older than the run, and of those that were given back.

    A row's version is older than the publishing transaction if its transaction's number is.
    Source: https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND
    """
    xid = ledger.publish_xid(connection, run)
    if xid is None:
        return None
    older = sql.SQL("age(t.xmin) > age({}::xid)").format(sql.Literal(xid))
    stood = fingerprint.of_rows(connection, sql.SQL("{} t").format(each.place), older)
    for before in each.images:
        if before is not None:
            stood += fingerprint.of_rows(connection, sql.SQL("{} t").format(before))
    return stood


def _recorded(connection: WatchedConnection, run: str, table: str) -> tuple[Fingerprint | None, str | None]:
    row = connection.execute(
        "SELECT before_fingerprint, before_columns FROM transhume.tables WHERE run = %s AND target_table = %s LIMIT 1",
        [run, table],
    ).fetchone()
    return (parse_fingerprint(row[0]), row[1]) if row else (None, None)
