"""What the driver's errors mean for a run, said in one line without data values. No connection is opened here."""

import re
from typing import NoReturn

import psycopg
from psycopg import errors

from transhume.errors import Finding, SystemRefused, SystemUnavailable, TranshumeError

_RIGHTS = "42501"
_RESOURCES = {
    "53100": "the disk is full; make room, then run the same command again",
    "53200": "the server is out of memory; run the same command again",
    "53300": "the server has too many connections; run the same command again",
    "25006": "the server takes no writes (a replica?); name the primary server",
}
_TOO_MANY_LOCKS = (
    "the server has no room for another lock, and publishing holds one for each batch; raise its "
    "max_locks_per_transaction (times max_connections it must exceed the batches), restart it, then run the same "
    "command again"
)
RETRIED = (errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable)
"""Faults that the same transaction may survive when it is tried again as a whole."""


def is_lost(problem: psycopg.Error) -> bool:
    """Say whether the connection is gone, so that a commit under way has an unknown outcome."""
    if isinstance(problem, errors.AdminShutdown | errors.CrashShutdown | errors.CannotConnectNow):
        return True
    if isinstance(problem, psycopg.InterfaceError):
        return True
    return isinstance(problem, psycopg.OperationalError) and problem.sqlstate is None


def explain(problem: psycopg.Error, where: str) -> TranshumeError:
    """Return the error of ours for one of the driver's.

    Values never pass: of a data error only the kind, table and column are kept, the DETAIL line never.
    """
    state = problem.sqlstate or ""
    if is_lost(problem):
        return SystemUnavailable(f"{where}: the connection is lost; run the same command again")
    if state == _RIGHTS:
        return SystemUnavailable(f"{where}: no right to do this ({_primary(problem)}); ask the owner to grant it")
    if state in _RESOURCES:
        cure = _TOO_MANY_LOCKS if "shared memory" in _primary(problem) else _RESOURCES[state]
        return SystemUnavailable(f"{where}: {cure}")
    if speaks_of_values(problem):
        finding = Finding("refused_value", "error", data_fault(problem), table=problem.diag.table_name)
        return SystemRefused(f"{where}: the server refused a value", [finding])
    if isinstance(problem, psycopg.OperationalError):
        return SystemUnavailable(f"{where}: {_primary(problem)}; run the same command again")
    return SystemRefused(f"{where}: {_primary(problem)}")


def reraise(problem: psycopg.Error, where: str) -> NoReturn:
    """Raise `explain(problem, where)`, dropping the driver's own message with its values."""
    raise explain(problem, where) from None


def connection_failure(problem: psycopg.Error, identity: str) -> SystemUnavailable:
    """Return the one line for a connection that could not be made; libpq's text names no password."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    reason = lines[0] if lines else type(problem).__name__
    reason = reason.split("failed: ", 1)[-1].removeprefix("FATAL:").strip()
    cure = "check host, port, user and password"
    if "SSL" in str(problem) or "certificate" in str(problem):
        cure = "give the server's certificate with sslrootcert=, or say sslmode=require or sslmode=disable in the URL"
    if "too many" in reason or "remaining connection slots" in reason:
        cure = "wait until others end theirs, or have max_connections raised"
    return SystemUnavailable(f"cannot connect to {identity}: {reason}; nothing was written; {cure}")


def _primary(problem: psycopg.Error) -> str:
    return (problem.diag.message_primary or type(problem).__name__).replace('"', "'")


def speaks_of_values(problem: psycopg.Error) -> bool:
    """Say whether the server's words may hold a value: of data, of constraints, and what others' triggers raise."""
    return (problem.sqlstate or "")[:2] in {"22", "23", "P0"}


def data_fault(problem: psycopg.Error) -> str:
    """Return kind, table and column of such an error, and nothing that the server said."""
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(problem).__name__).lower()
    place = problem.diag.constraint_name or problem.diag.column_name
    if place is None and (found := re.search(r", column ([^:\n]+)", problem.diag.context or "")):
        place = found[1]
    table = f" in table '{problem.diag.table_name}'" if problem.diag.table_name else ""
    return f"{kind}{table}" + (f", at '{place}'" if place else "")
