"""What the ledger remembers of each run's local journal, so that a cut or older one is found out. A table of its own.

It came after the ledger's version 3, which is not raised for it: programs that do not know it lose nothing.
"""

from psycopg import sql

from transhume.batches import JournalAnchor
from transhume.systems.postgres.connection import Session, WatchedConnection
from transhume.systems.postgres.ledger import Hold, check_hold

_PLACE = sql.Identifier("transhume", "journals")
_CREATE = sql.SQL(
    "CREATE TABLE IF NOT EXISTS {} (run text PRIMARY KEY, entries integer NOT NULL, digest text NOT NULL)"
).format(_PLACE)
_REMEMBER = sql.SQL(
    "INSERT INTO {} (run, entries, digest) VALUES (%s, %s, %s) ON CONFLICT (run) DO UPDATE SET"
    " entries = excluded.entries, digest = excluded.digest"
).format(_PLACE)
_RECALL = sql.SQL("SELECT entries, digest FROM {} WHERE run = %s").format(_PLACE)


def create(connection: WatchedConnection) -> None:
    """Make the table if it is missing, within the transaction under way."""
    if not _exists(connection):
        connection.execute(_CREATE)


def remember(session: Session, hold: Hold, anchor: JournalAnchor, identity: str) -> None:
    """Write down how far a run's journal has come, in a transaction of its own; raises LockHeld for a zombie."""

    def work(connection: WatchedConnection) -> None:
        check_hold(connection, hold)
        create(connection)
        connection.execute(_REMEMBER, [hold.run.run, anchor.entries, anchor.digest])

    session.transact(work, where=f"the journal's end not remembered in {identity}")


def recall(connection: WatchedConnection, run: str) -> JournalAnchor | None:
    """Return what was written down last, None for a run of a program that did not."""
    if not _exists(connection):
        return None
    row = connection.execute(_RECALL, [run]).fetchone()
    return None if row is None else JournalAnchor(*row)


def _exists(connection: WatchedConnection) -> bool:
    row = connection.execute("SELECT to_regclass('transhume.journals') IS NOT NULL").fetchone()
    return bool(row and row[0])
