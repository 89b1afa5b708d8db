"""Connections that never hang: every wait is watched, every session is set up the same way, lost ones come back.

No table, ledger or stage is known here.
"""

import contextlib
import os
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.waiting import Ready, Wait

from transhume.errors import SystemRefused, SystemUnavailable
from transhume.systems.postgres import faults
from transhume.systems.postgres.address import Address

SILENCE_S = 20.0
"""After so many seconds without a byte the server is asked, on another connection, what this one is doing."""
STRIKES_MAX = 3
VERSION_MIN = 140000
RETRIES_MAX = 5
RECONNECT_S = 60.0
_WAKE_MS = 200
_OF_THIS_MACHINE = {"service", "passfile"}
"""What libpq looks up in this machine's files; what it found there is told instead."""
_SESSION = (
    "SET jit = off; SET timezone = 'UTC'; SET datestyle = 'ISO'; SET bytea_output = 'hex'; "
    "SET extra_float_digits = 3; SET synchronize_seqscans = off; SET standard_conforming_strings = on; "
    "SET search_path = pg_catalog; SET idle_in_transaction_session_timeout = '1h'; SET idle_session_timeout = 0; "
    # A statement of a process that was killed would otherwise run, and hold its locks, to its end.
    "SET client_connection_check_interval = '2s'"
)
_ASK_BACKEND = "SELECT pg_backend_pid()"
T = TypeVar("T")
_EVENTS = {Wait.R: select.POLLIN, Wait.W: select.POLLOUT, Wait.RW: select.POLLIN | select.POLLOUT}


class WatchedConnection(psycopg.Connection[Any]):
    """A psycopg connection whose waits end: by the server's answer, or by the watch finding it gone.

    libpq may wait for ever for a reply that cannot come, for example after a failed send. A silent wait is
    no proof of that (building an index is silent too), so the watch asks the server itself.
    """

    watch: Callable[[int], str] | None = None
    silence_s: float = SILENCE_S
    is_given_up: Callable[[], bool] | None = None
    """Whether nobody wants the answer any more: the wait then ends, and the connection with it."""

    def wait(self, gen: Generator[Any, Any, T], *_: Any, **__: Any) -> T:
        """Run a driver's generator to its end; raises OperationalError if the watch gives the connection up.

        The driver's own intervals and time limits are replaced by the watch.
        """
        try:
            state = next(gen)
            while True:
                state = gen.send(self._ready(state))
        except StopIteration as end:
            result: T = end.value
            return result
        except KeyboardInterrupt:
            # The server drops the transaction with its connection; what was committed is in the ledger.
            self._cut()
            raise

    def _ready(self, state: Wait) -> int:
        poller = select.poll()
        poller.register(self.pgconn.socket, _EVENTS[state])
        silent_since, strikes = time.monotonic(), 0
        while True:
            for _, event in poller.poll(_WAKE_MS):
                writable = bool(event & select.POLLOUT)
                readable = bool(event & ~select.POLLOUT)
                return (Ready.R if readable else 0) | (Ready.W if writable else 0)
            if self.is_given_up is not None and self.is_given_up():
                self._cut()
                message = "the work of this connection was given up"
                raise psycopg.OperationalError(message)
            if self.watch is None or time.monotonic() - silent_since < self.silence_s:
                continue
            silent_since = time.monotonic()
            verdict = self.watch(self.pgconn.backend_pid)
            strikes = 0 if verdict == "busy" else strikes + 1
            if verdict == "gone" or strikes >= STRIKES_MAX:
                self._cut()
                message = "the server no longer answers on this connection"
                raise psycopg.OperationalError(message)

    def _cut(self) -> None:
        with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.pgconn.socket)) as double:
            double.shutdown(socket.SHUT_RDWR)
        self.close()


class Session:
    """One connection that comes back when it is lost, and runs whole transactions; one thread at a time uses it."""

    def __init__(self, address: Address, purpose: str, is_given_up: Callable[[], bool] | None = None) -> None:
        """`is_given_up` is asked while a statement is waited for; see `WatchedConnection`."""
        self.address = address
        self._is_given_up = is_given_up
        self._purpose = purpose
        self._connection: WatchedConnection | None = None
        self._in_use = threading.RLock()

    def transact(self, work: Callable[[WatchedConnection], T], *, where: str, lock_timeout_s: float = 10.0) -> T:
        """Run `work` in one transaction and commit it; return what it gave.

        `work` must look first whether an earlier attempt was committed (the ledger says), because it runs again
        after a deadlock, a lock timeout or a lost connection. After a lost COMMIT acknowledgement the server is
        asked until the old transaction has ended, so `work` never meets a ledger that may still change.
        Raises: SystemUnavailable, SystemRefused; whatever `work` raises, after rolling back.
        """
        # What others commit meanwhile must be seen, whatever the server's default is.
        begin = sql.SQL(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = 0"
        ).format(sql.Literal(f"{int(lock_timeout_s * 1000)}ms"))
        with self._in_use:
            for attempt in range(RETRIES_MAX):
                connection, transaction = self.connection(), None
                try:
                    connection.execute(begin)
                    result = work(connection)
                    transaction = _transaction_id(connection)
                    self._commit(connection)
                except psycopg.Error as problem:
                    last = attempt == RETRIES_MAX - 1 or (self._is_given_up is not None and self._is_given_up())
                    self._after(problem, connection, transaction, where=where, last=last)
                except BaseException:
                    self._roll_back(connection)
                    raise
                else:
                    return result
                time.sleep(random.uniform(0.05, 0.2) * 2**attempt)  # noqa: S311 - jitter, no secret
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    @contextlib.contextmanager
    def reading(self, where: str) -> Iterator[WatchedConnection]:
        """Give the connection inside one read-only, repeatable-read transaction."""
        with self._in_use:
            connection = self.connection()
            try:
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                yield connection
                connection.execute("COMMIT")
            except psycopg.Error as problem:
                self._roll_back(connection)
                faults.reraise(problem, where)
            except BaseException:
                self._roll_back(connection)
                raise

    def connection(self) -> WatchedConnection:
        """Return the open connection, making it or making it anew; bounded by RECONNECT_S."""
        if self._connection is not None and not self._connection.closed:
            return self._connection
        deadline = time.monotonic() + (RECONNECT_S if self._connection is not None else 0.0)
        pause_s = 0.2
        while True:
            try:
                self._connection = connect(self.address, self._purpose)
                self._connection.is_given_up = self._is_given_up
            except SystemUnavailable as problem:
                if time.monotonic() + pause_s > deadline:
                    if self._connection is None:
                        raise
                    message = f"the connection was lost and none is to be had: {problem.args[0]}"
                    raise SystemUnavailable(
                        message.replace("nothing was written", "run the same command again")
                    ) from None
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, 5.0)
            else:
                return self._connection

    def close(self, *, holds_lock: bool = False) -> None:
        """Close the connection; a transaction under way is rolled back by the server.

        With `holds_lock` its advisory locks are given back first: a server frees those of a closed connection when it
        gets to it, and whoever comes next at once would find them held.
        """
        if self._connection is None:
            return
        if holds_lock and not self._connection.closed:
            with contextlib.suppress(psycopg.Error):
                self._connection.execute("SELECT pg_advisory_unlock_all()")
        self._connection.close()

    def _commit(self, connection: WatchedConnection) -> None:
        if connection.execute("COMMIT").statusmessage != "COMMIT":
            message = "the server rolled the transaction back instead of committing it"
            raise psycopg.InternalError(message)

    def _after(
        self, problem: psycopg.Error, connection: WatchedConnection, transaction: str | None, *, where: str, last: bool
    ) -> None:
        """Bring the session back to where `work` may run again, or raise what the problem means."""
        if faults.is_lost(problem) or connection.closed or connection.broken:
            connection.close()
            if last:
                faults.reraise(psycopg.OperationalError(), where)
            self._settle(transaction)
            return
        self._roll_back(connection)
        if last or not isinstance(problem, faults.RETRIED):
            faults.reraise(problem, where)

    def _settle(self, transaction: str | None) -> None:
        """Wait until the lost connection's transaction has ended, one way or the other.

        Source: https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
        """
        if transaction is None:
            return
        deadline = time.monotonic() + RECONNECT_S
        while True:
            try:
                row = self.connection().execute("SELECT pg_xact_status(%s::xid8)", [transaction]).fetchone()
            except psycopg.errors.InvalidParameterValue:
                # A server that crashed and came back has never heard of it: it left nothing.
                return
            except psycopg.Error as problem:
                if not faults.is_lost(problem):
                    faults.reraise(problem, self.address.identity)
            else:
                if row is None or row[0] != "in progress":
                    return
            if time.monotonic() > deadline:
                message = (
                    "the outcome of a commit is not known yet: the server still works on it; run the same command again"
                )
                raise SystemUnavailable(message)
            time.sleep(0.2)

    def _roll_back(self, connection: WatchedConnection) -> None:
        try:
            if not connection.closed:
                connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()


def _transaction_id(connection: WatchedConnection) -> str | None:
    """Return what the server can be asked about later, None where the transaction wrote nothing."""
    row = connection.execute("SELECT pg_current_xact_id_if_assigned()::text").fetchone()
    return row[0] if row else None


def connect(address: Address, purpose: str) -> WatchedConnection:
    """Open a connection, set the session up, and refuse servers that cannot keep our promises.

    Raises: SystemUnavailable in one line without a password; SystemRefused for poolers and encodings.
    """
    parameters: dict[str, Any] = {**address.parameters, "application_name": purpose[:63]}
    try:
        connection = WatchedConnection.connect(autocommit=True, prepare_threshold=None, **parameters)
    except psycopg.Error as problem:
        raise faults.connection_failure(problem, address.identity) from None
    # Before the first statement: a network may fall silent there as well.
    connection.watch = _watcher(address)
    try:
        _accept(connection, address.identity)
        connection.execute(_SESSION)
    except psycopg.Error as problem:
        connection.close()
        faults.reraise(problem, address.identity)
    except BaseException:
        connection.close()
        raise
    return connection


def watched(address: Address, **options: Any) -> WatchedConnection:
    """Open a connection whose waits are watched and nothing else is set up, for a library that has its own ways.

    Raises: psycopg.OperationalError.
    """
    connection = WatchedConnection.connect(**address.parameters, **options)  # type: ignore[arg-type]
    connection.watch = _watcher(address)
    return connection


def known_elsewhere(connection: WatchedConnection, address: Address, *, same_server: bool = False) -> Address:
    """Return the address with what this machine's environment or password file told of it, the password among it.

    `same_server`: where the address names several hosts, the one that this connection reached takes their place.
    """
    driver = connection.pgconn
    found = {"host": driver.host, "port": driver.port, "user": driver.user, "password": driver.password}
    # Of all else that libpq found here: the database, and how the connection is kept.
    for name, value in connection.info.get_parameters().items():
        if name not in _OF_THIS_MACHINE:
            found.setdefault(name, value.encode())
    if same_server and "hostaddr" in address.parameters:
        found["hostaddr"] = driver.hostaddr
    named = {name: value.decode() for name, value in found.items() if value}
    stronger, weaker = (named, address.parameters) if same_server else (address.parameters, named)
    return replace(address, parameters={**weaker, **stronger})


def require_writable(connection: WatchedConnection, identity: str) -> None:
    """Raise SystemUnavailable if the server takes no writes (a replica, or a read-only database)."""
    row = connection.execute("SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')").fetchone()
    assert row is not None
    if row[0]:
        message = f"{identity} is a read-only replica; nothing was written; name the primary server"
        raise SystemUnavailable(message)
    if row[1] == "on":
        message = f"{identity} is set to read only (default_transaction_read_only); nothing was written"
        raise SystemUnavailable(message)


def _accept(connection: WatchedConnection, identity: str) -> None:
    version = connection.info.server_version
    if version < VERSION_MIN:
        message = f"{identity} is PostgreSQL {version // 10000}; transhume needs {VERSION_MIN // 10000} or newer"
        raise SystemRefused(message)
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        message = f"{identity} stores text as '{encoding}'; only databases with encoding UTF8 hold every text exactly"
        raise SystemRefused(message)
    row = connection.execute(_ASK_BACKEND).fetchone()
    if row is None or row[0] != connection.pgconn.backend_pid:
        # A pooler answers the start-up with a key of its own, and may give each transaction another backend.
        message = f"a connection pooler stands before {identity}: locks of a session would be lost; connect directly"
        raise SystemRefused(message)


def _watcher(address: Address) -> Callable[[int], str]:
    """Return a function that says of a backend: `busy`, `waiting` (for us, or unreachable) or `gone`."""

    def watch(backend: int) -> str:
        try:
            with psycopg.connect(**address.parameters, autocommit=True) as other:  # type: ignore[arg-type]
                row = other.execute(
                    "SELECT coalesce(wait_event_type, '') FROM pg_stat_activity WHERE pid = %s", [backend]
                ).fetchone()
        except psycopg.Error:
            return "waiting"
        if row is None:
            return "gone"
        return "waiting" if row[0] == "Client" else "busy"

    return watch
