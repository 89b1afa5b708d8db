"""One run at a time may write a lake: a lock that dies with its process, and an epoch that outlives it.

Catalog in SQLite: an operating-system lock on a file beside the catalog. Catalog on PostgreSQL: an advisory lock of
one session. Whoever gets it raises the epoch in the ledger; every write of an older epoch is refused from then on.
"""

import contextlib
import hashlib
import os
import socket
from pathlib import Path

import sqlalchemy as sql
from filelock import FileLock, Timeout

from transhume.errors import LockHeld, SystemUnavailable
from transhume.systems.iceberg.address import LakeAddress
from transhume.systems.iceberg.ledger import LOCKS, now, plain_errors


def lock_file(catalog_file: Path, scope: str) -> Path:
    """Return the file beside a catalog in SQLite that whoever writes into the scope locks."""
    name = hashlib.sha256(scope.encode()).hexdigest()[:12]
    return catalog_file.with_name(f"{catalog_file.name}.{name}.lock")


class LakeLock:
    """The hold of one process on one scope; `epoch` is what its writes carry."""

    def __init__(self, engine: sql.Engine, address: LakeAddress, run: str, holder: str) -> None:
        self._engine = engine
        self._scope = address.scope
        self._file: FileLock | None = None
        self._session: sql.Connection | None = None
        if address.catalog_file is not None:
            self._file = self._take_file(address.catalog_file)
        else:
            self._session = self._take_session()
        try:
            self.epoch = self._raise_epoch(run, holder)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock back; the epoch stays as it is."""
        if self._file is not None:
            self._file.release()
        if self._session is not None:
            # Said, because a server frees the locks of a closed session when it gets to it. A session that is lost
            # or goes back to the pool must not keep the lock: it is closed all the same.
            with contextlib.suppress(sql.exc.SQLAlchemyError):
                self._session.execute(sql.select(sql.func.pg_advisory_unlock_all()))
            self._session.invalidate()
            self._session.close()
            self._session = None

    def _take_file(self, catalog_file: Path) -> FileLock:
        path = lock_file(catalog_file, self._scope)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise self._held() from None
        except OSError as error:
            message = f"cannot lock the lake by the file '{path}' ({error.strerror}); nothing was written"
            raise SystemUnavailable(message) from error
        return lock

    def _take_session(self) -> sql.Connection:
        number = int.from_bytes(hashlib.sha256(f"transhume/{self._scope}".encode()).digest()[:8], signed=True)
        with plain_errors("taking the lock"):
            session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if session.execute(sql.select(sql.func.pg_try_advisory_lock(number))).scalar_one():
                return session
            session.close()
        raise self._held()

    def _held(self) -> LockHeld:
        with plain_errors("asking who holds the lake"), self._engine.connect() as connection:
            row = connection.execute(LOCKS.select().where(LOCKS.c.scope == self._scope)).first()
        who = "another process that is just starting"
        if row is not None:
            who = f"run '{row.run}' of {row.holder} (process {row.pid} on host '{row.host}', since {row.started_at})"
        return LockHeld(f"the lake '{self._scope}' is held by {who}. Wait until it has finished, or stop it first.")

    def _raise_epoch(self, run: str, holder: str) -> int:
        values = {
            "run": run,
            "holder": holder,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started_at": now(),
            "touched_at": now(),
        }
        mine = LOCKS.c.scope == self._scope
        with plain_errors("taking the lock"), self._engine.begin() as connection:
            raised = LOCKS.update().where(mine).values(epoch=LOCKS.c.epoch + 1, **values)
            if connection.execute(raised).rowcount == 0:
                connection.execute(LOCKS.insert().values(scope=self._scope, epoch=1, **values))
            return int(connection.execute(sql.select(LOCKS.c.epoch).where(mine)).scalar_one())
