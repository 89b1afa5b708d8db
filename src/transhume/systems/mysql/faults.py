"""What the driver's errors mean for a run, said in one line without data values. No connection is opened here.

Source: https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference
"""

from typing import NoReturn

import pymysql

from transhume.errors import DriverMissing, SystemRefused, SystemUnavailable, TranshumeError

_RIGHTS = frozenset({1044, 1045, 1142, 1143, 1227, 1370})
_LOST = frozenset({1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1317, 1927, 2006, 2013, 2055})
_CHANGED = frozenset({1054, 1146, 1412})
_UNKNOWN_DATABASE, _LOCK_WAIT = 1049, 1205


def explain(problem: Exception, where: str) -> TranshumeError:
    """Return the error of ours for one of the driver's."""
    code = problem.args[0] if problem.args and isinstance(problem.args[0], int) else 0
    if code in _LOST or isinstance(problem, pymysql.InterfaceError):
        return SystemUnavailable(f"{where}: the connection is lost; run the same command again")
    if code in _RIGHTS:
        right = "TRIGGER" if "TRIGGER" in told(problem) else "SELECT"
        return SystemUnavailable(f"{where}: no right to do this ({told(problem)}); ask for GRANT {right} on it")
    if code in _CHANGED:
        return SystemUnavailable(
            f"{where}: the table was changed or is gone since a moment ago ({told(problem)}); what was read is not "
            "used; run the same command again when nobody changes tables"
        )
    if code == _LOCK_WAIT:
        return SystemUnavailable(f"{where}: another session holds a lock on the table; run the same command again")
    if isinstance(problem, pymysql.OperationalError):
        return SystemUnavailable(f"{where}: {told(problem)}; run the same command again")
    return SystemRefused(f"{where}: {told(problem)}")


def reraise(problem: Exception, where: str) -> NoReturn:
    """Raise `explain(problem, where)`."""
    raise explain(problem, where) from None


def connection_failure(problem: Exception, identity: str) -> TranshumeError:
    """Return the one line for a connection that could not be made; the server's text names no password."""
    if isinstance(problem, RuntimeError):  # the driver's own: a way to log in that needs another library
        message = (
            f"cannot connect to {identity}: this login ({told(problem)}); connect with TLS (ssl=required) or over a "
            "socket, or: pip install 'pymysql[rsa]'"
        )
        return DriverMissing(message)
    cure = "check host, port, user and password"
    code = problem.args[0] if problem.args else 0
    if code == _UNKNOWN_DATABASE:
        cure = "check the database's name in the URL"
    elif "SSL" in str(problem) or "certificate" in str(problem):
        cure = "give the server's certificate with ssl_ca=, or say ssl=required or ssl=disabled in the URL"
    return SystemUnavailable(f"cannot connect to {identity}: {told(problem)}; nothing was written; {cure}")


def told(problem: Exception) -> str:
    """Return what the driver or the server says, in one line."""
    said = problem.args[-1] if problem.args else type(problem).__name__
    return " ".join(str(said).split()).replace('"', "'")[:300] or type(problem).__name__
