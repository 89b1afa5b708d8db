"""Connections to a catalog on PostgreSQL, made as the PostgreSQL target makes its own: encrypted, timed, watched."""

from typing import Any

import sqlalchemy as sql


def watch(engine: sql.Engine, url: str) -> None:
    """Have every new connection of a catalog's engine end its waits when the server is gone.

    The driver's own would wait for ever on a network that swallows everything, and reach a remote host in plain text.
    `url`: the catalog's, of PostgreSQL; it may hold a password and is not kept outside this closure.
    """
    # The driver is an extra of its own: a lake with its catalog in SQLite does without.
    from transhume.systems.postgres.address import parse_url
    from transhume.systems.postgres.connection import watched

    address = parse_url(url.replace("postgresql+psycopg://", "postgresql://", 1))

    def connect(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> Any:
        return watched(address, context=parameters.get("context"))

    sql.event.listen(engine, "do_connect", connect)
