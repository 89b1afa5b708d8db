"""The physical backup of PostgreSQL: a copy of the cluster's files, held against the server's list, then started."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from transhume.errors import SystemUnavailable
from transhume.systems.backup import BackupPart, Watch, compared, require_room, sha256_of, size_of
from transhume.systems.postgres.address import Address
from transhume.systems.postgres.connection import Session, WatchedConnection
from transhume.systems.postgres.row_prints import of_tables
from transhume.systems.postgres.server import started_copy
from transhume.systems.postgres.tools import Tools, environment_of

_WAY = "pg_basebackup of the cluster"
_COPIES = 2


@dataclass(frozen=True, slots=True)
class Role:
    """Who asks for the copy, in which database, whether it may replicate, and how much the cluster holds."""

    name: str
    database: str
    replicates: bool
    size_bytes: int


def role_of(connection: WatchedConnection) -> Role:
    """Return what the server says of the role that is connected."""
    row = connection.execute(
        "SELECT current_user::text, current_database()::text, rolreplication OR rolsuper,"
        " (SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint FROM pg_database"
        "  WHERE has_database_privilege(oid, 'CONNECT'))"
        " FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    assert row is not None
    return Role(*row)


def copied_cluster(address: Address, role: Role, tools: Tools, folder: Path, dump: BackupPart) -> BackupPart:
    """Copy the cluster where the role may; see that each file has the SHA-256 the server gave, and start a copy of it.

    Its fingerprints are compared with those of `dump`, which was made a moment before: where they differ the rows
    changed in between, and that is said.
    Source: https://www.postgresql.org/docs/current/backup-manifest-format.html
    """
    if not role.replicates:
        reason = f"role '{role.name}' may not replicate; ask for ALTER ROLE ... REPLICATION"
        return BackupPart("source", "physical", _WAY, "not_made", reason)
    if not tools.has("pg_basebackup"):
        return BackupPart("source", "physical", _WAY, "not_made", f"pg_basebackup is not in '{tools.folder}'")
    require_room(folder.parent, role.size_bytes * _COPIES, f"a copy of the cluster of {address.identity}")
    watch = Watch()
    given = (
        "--format=plain",
        "--wal-method=stream",
        "--checkpoint=fast",
        "--no-password",
        "--manifest-checksums=SHA256",
    )
    try:
        environment = environment_of(address.parameters)
        tools.run("pg_basebackup", f"--pgdata={folder}", "--no-password", *given, environment=environment)
    except SystemUnavailable as problem:
        return BackupPart("source", "physical", _WAY, "not_made", str(problem))
    duration_s = watch.lap()
    wrong = _differences(folder)
    reason = f"every file has the SHA-256 that the server gave; {_started(tools, folder, role, dump)}"
    if wrong:
        reason = f"{len(wrong)} files are not what the server sent: {', '.join(wrong[:5])}"
    return BackupPart(
        side="source",
        kind="physical",
        way=_WAY,
        state="failed" if wrong else "verified",
        reason=reason,
        path=folder.name,
        size_bytes=size_of(folder),
        sha256=sha256_of(folder),
        duration_s=duration_s,
        restore_s=watch.lap(),
    )


def _differences(folder: Path) -> list[str]:
    """Return the files that are not as the server's list says, the list itself included."""
    place = folder / "backup_manifest"
    content = place.read_bytes()
    told = json.loads(content)
    sealed = content[: content.rindex(b'"Manifest-Checksum"')]
    wrong = [] if hashlib.sha256(sealed).hexdigest() == told["Manifest-Checksum"] else [place.name]
    for each in told["Files"]:
        name = each["Path"] if "Path" in each else bytes.fromhex(each["Encoded-Path"]).decode(errors="surrogateescape")
        file = folder / name
        if not file.is_file() or file.stat().st_size != each["Size"] or sha256_of(file) != each["Checksum"]:
            wrong.append(name)
    return wrong


def _started(tools: Tools, folder: Path, role: Role, dump: BackupPart) -> str:
    """Start a server on a copy of the files and say what it holds beside the dump."""
    version = (folder / "PG_VERSION").read_text().strip()
    if version != str(tools.version):
        return f"not started, which takes programs of PostgreSQL {version}"
    try:
        with started_copy(tools, folder, role.name, role.database) as address:
            session = Session(address, "transhume compare")
            with session.reading("the copy of the cluster") as connection:
                names = [(name.partition(".")[0], name.partition(".")[2]) for name in dump.fingerprints]
                found = of_tables(connection, names)
            session.close()
    except SystemUnavailable as problem:
        return f"not started here ({problem})"
    state, told = compared(dump.fingerprints, found, "a server started on a copy")
    return told if state == "verified" else f"{told}, because rows were written since the dump"
