"""What the ledger remembers of each run's local journal, so that a cut or older one is found out. A table of its own.

It came after the ledger's version 2, which is not raised for it: programs that do not know it lose nothing.
"""

import sqlalchemy as sql

from transhume.batches import JournalAnchor
from transhume.systems.iceberg.ledger import plain_errors

_METADATA = sql.MetaData()
_JOURNALS = sql.Table(
    "transhume_journals",
    _METADATA,
    sql.Column("run", sql.String(64), primary_key=True),
    sql.Column("entries", sql.Integer, nullable=False),
    sql.Column("digest", sql.String(64), nullable=False),
)


def make_table(engine: sql.Engine) -> None:
    """Make the table if it is missing; runs of one lake come one after the other here."""
    with plain_errors("making the ledger"):
        _METADATA.create_all(engine)


def remember(connection: sql.Connection, run: str, anchor: JournalAnchor) -> None:
    """Write down how far a run's journal has come."""
    values = {"entries": anchor.entries, "digest": anchor.digest}
    if connection.execute(_JOURNALS.update().where(_JOURNALS.c.run == run).values(values)).rowcount == 0:
        connection.execute(_JOURNALS.insert().values(values | {"run": run}))


def recall(engine: sql.Engine, run: str) -> JournalAnchor | None:
    """Return what was written down last, None for a run of a program that did not."""
    with plain_errors("reading the ledger"), engine.connect() as connection:
        if not sql.inspect(connection).has_table(_JOURNALS.name):
            return None
        row = connection.execute(_JOURNALS.select().where(_JOURNALS.c.run == run)).first()
    return None if row is None else JournalAnchor(row.entries, row.digest)
