"""Connections to MySQL and MariaDB: every session is set up the same way, rows are streamed as the server sends them.

The driver connects, logs in and encrypts. Rows of tables it would make one Python object a value, eight times slower
than the server sends them, so those are cut out of the stream here. No table is known here.
Source: https://mariadb.com/docs/server/reference/clientserver-protocol
"""

import contextlib
import re
import socket
import struct
from collections.abc import Callable, Generator, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pymysql
from pymysql.constants import COMMAND, FIELD_TYPE

from transhume.errors import SystemRefused, SystemUnavailable
from transhume.facts import Cell
from transhume.systems.mysql import faults
from transhume.systems.mysql.address import Address

VERSION_MIN = {"MariaDB": (10, 3), "MySQL": (8, 0)}
_CHUNK_BYTES = 2**20
_HEADER_BYTES = 4
_PACKET_BYTES_MAX = 0xFFFFFF
_ERROR, _END, _NULL = 0xFF, 0xFE, 0xFB
_END_BYTES_MAX = 8
_LENGTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}
"""First byte of a length to the number of bytes that hold it; a smaller first byte is the length itself."""
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
_header = struct.Struct("<I").unpack_from

Values = Sequence[bytes | None]
"""One column of some rows, as the server sends them."""

_NUMBERS: dict[int, Callable[[str], Cell]] = {
    **dict.fromkeys((FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL), Decimal),
    **dict.fromkeys((FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE), float),
    **dict.fromkeys(
        (FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG, FIELD_TYPE.YEAR),
        int,
    ),
}
"""Type of a result's column to what its texts are numbers of."""

_SESSION = (
    # No mode that changes how values read: padded CHAR, empty texts as NULL, NULL as an empty text in CONCAT.
    "SET SESSION sql_mode = '', time_zone = '+00:00', SESSION sql_select_limit = 18446744073709551615",
    # Texts compare by their bytes, whatever collation a column has.
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
    # While we write segments we do not read, and the server would give up on us after a minute.
    "SET SESSION net_write_timeout = 86400, SESSION net_read_timeout = 86400, SESSION wait_timeout = 86400",
    "SET SESSION lock_wait_timeout = 30, SESSION max_error_count = 65535",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
)
_OWN_SESSION = {
    "MariaDB": (
        "SET SESSION max_statement_time = 0, SESSION idle_transaction_timeout = 0, "
        "SESSION idle_readonly_transaction_timeout = 0"
    ),
    # Whether a table without snapshots stood still is asked of statistics, which are a day old else.
    "MySQL": "SET SESSION max_execution_time = 0, SESSION information_schema_stats_expiry = 0",
}


class Connection:
    """One session on one server; one statement at a time."""

    def __init__(self, address: Address) -> None:
        """Connect and set the session up. Raises: SystemUnavailable, SystemRefused, DriverMissing, UsageError."""
        self.address = address
        self._driver = _connected(address)
        try:
            self.flavour, self.version = self._accepted()
            for statement in (*_SESSION, _OWN_SESSION[self.flavour]):
                self.rows(statement)
        except BaseException:
            self.close()
            raise

    def rows(self, statement: str, values: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows at once, every value as text."""
        try:
            with self._driver.cursor() as cursor:
                cursor.execute(statement, tuple(values) or None)
                return list(cursor.fetchall())
        except pymysql.Error as problem:
            faults.reraise(problem, self.address.identity)

    def numbers_and_texts(self, statement: str) -> list[tuple[Cell, ...]]:
        """Run a statement and return its rows at once, numbers as the numbers that their columns hold."""
        try:
            with self._driver.cursor() as cursor:
                cursor.execute(statement)
                kinds = [_NUMBERS.get(column[1], str) for column in cursor.description]
                rows = cursor.fetchall()
        except pymysql.Error as problem:
            faults.reraise(problem, self.address.identity)
        return [
            tuple(None if value is None else kind(value) for kind, value in zip(kinds, row, strict=True))
            for row in rows
        ]

    def value(self, statement: str, values: Sequence[str] = ()) -> str:
        """Return the one value of a statement, as text."""
        return str(self.rows(statement, values)[0][0])

    def stream(
        self, statement: str, fields: int, where: str, foreseen: frozenset[int] = frozenset()
    ) -> Generator[Sequence[Values], None, None]:
        """Yield the rows of a SELECT of so many columns as they arrive: column by column, NULL as None.

        Memory: about one megabyte, or one row where that is longer.
        A stream that is not read to its end is ended on the server, and the session stays usable.
        Raises: SystemUnavailable, SystemRefused; also where the server warns that it bent a value, but for the
        `foreseen` codes: what they tell of, the statement marks itself.
        """
        self._ask(statement, fields, where)
        stream = _PacketStream(self._driver, where)
        try:
            for packets in stream.packets():
                if fields == 1:
                    yield [[each[1:] if each[0] < _NULL else _fields(each, 1)[0] for each in packets]]
                else:
                    yield list(zip(*(_fields(each, fields) for each in packets), strict=True))
        finally:
            if not stream.ended:
                self._abandon(stream)
        if stream.warnings:
            self._judge_warnings(stream.warnings, where, foreseen)

    @property
    def is_open(self) -> bool:
        """Whether the connection was neither closed nor found lost."""
        return bool(self._driver.open)

    def close(self) -> None:
        """Close the connection; the server ends its transaction."""
        with contextlib.suppress(pymysql.Error):
            self._driver.close()

    def _accepted(self) -> tuple[str, tuple[int, ...]]:
        """Return what the server is, and its version; refuse one that is too old."""
        version = self.value("SELECT VERSION()")
        flavour = "MariaDB" if "mariadb" in version.lower() else "MySQL"
        numbers = _numbers(version)
        if numbers < VERSION_MIN[flavour]:
            needed = ".".join(map(str, VERSION_MIN[flavour]))
            message = f"{self.address.identity} is {flavour} {version}; transhume needs {needed} or newer"
            raise SystemRefused(message)
        return flavour, numbers

    def _judge_warnings(self, count: int, where: str, foreseen: frozenset[int]) -> None:
        """Raise SystemRefused unless all warnings of the last statement are told by the server and foreseen."""
        told = [int(row[1]) for row in self.rows("SHOW WARNINGS")]
        others = sorted(set(told) - foreseen)
        if others or len(told) < count:
            codes = ", ".join(map(str, others)) or f"{count}, of which it tells {len(told)}"
            # A warning's text may quote a value.
            message = f"{where}: the server warns while it reads ({codes}); none of it is used; report this"
            raise SystemRefused(message)

    def _ask(self, statement: str, fields: int, where: str) -> None:
        try:
            self._driver._execute_command(COMMAND.COM_QUERY, statement.encode())  # noqa: SLF001 - see the module's docstring
            # How many columns, their descriptions, and the packet that ends these.
            for _ in range(fields + 2):
                self._driver._read_packet()  # noqa: SLF001
        except pymysql.Error as problem:
            faults.reraise(problem, where)

    def _abandon(self, stream: "_PacketStream") -> None:
        """End the statement on the server, and pass over what it has sent by then."""
        try:
            killer = _connected(self.address)
            try:
                with killer.cursor() as cursor:
                    cursor.execute(f"KILL QUERY {self._driver.thread_id()}")
            finally:
                killer.close()
            for _ in stream.packets():
                pass
        except (pymysql.Error, SystemUnavailable, SystemRefused):
            # That the statement was ended is told as an error; where more is wrong, the next statement tells it.
            if not stream.ended:
                self.close()


class _PacketStream:
    """The packets of one result, cut out of what the socket gives."""

    def __init__(self, driver: Any, where: str) -> None:
        self._file = driver._rfile  # noqa: SLF001 - see the module's docstring
        self._where = where
        self._held = b""
        self.ended = False
        self.warnings = 0

    def packets(self) -> Iterator[list[bytes]]:
        """Yield the rows' packets as many as came at once. Raises: SystemUnavailable, SystemRefused."""
        while not self.ended:
            buffer = self._held + self._more() if self._held else self._more()
            found: list[bytes] = []
            take, place, end = found.append, 0, len(buffer)
            while place + _HEADER_BYTES < end:
                size = _header(buffer, place)[0] & _PACKET_BYTES_MAX
                after = place + _HEADER_BYTES + size
                if after > end:
                    break
                if size == _PACKET_BYTES_MAX:
                    packet, buffer = self._long(buffer[place:])
                    take(packet)
                    place, end = 0, len(buffer)
                    continue
                first = buffer[place + _HEADER_BYTES]
                if first == _ERROR or (first == _END and size <= _END_BYTES_MAX):
                    self._finish(buffer[place + _HEADER_BYTES : after], first)
                    break
                take(buffer[place + _HEADER_BYTES : after])
                place = after
            self._held = buffer[place:]
            if found:
                yield found

    def _finish(self, packet: bytes, first: int) -> None:
        self.ended = True
        if first == _ERROR:
            code = int.from_bytes(packet[1:3], "little")
            said = packet[3:].decode(errors="replace").removeprefix("#")
            problem = pymysql.err.OperationalError(code, said[5:] if packet[3:4] == b"#" else said)
            faults.reraise(problem, self._where)
        self.warnings = int.from_bytes(packet[1:3], "little")

    def _long(self, buffer: bytes) -> tuple[bytes, bytes]:
        """Return a packet that was sent in several, the first of which begins the buffer, and what comes after it."""
        parts, size = [], _PACKET_BYTES_MAX
        while size == _PACKET_BYTES_MAX:
            while len(buffer) < _HEADER_BYTES:
                buffer += self._read(_HEADER_BYTES - len(buffer))
            size = _header(buffer, 0)[0] & _PACKET_BYTES_MAX
            while len(buffer) < _HEADER_BYTES + size:
                buffer += self._read(_HEADER_BYTES + size - len(buffer))
            parts.append(buffer[_HEADER_BYTES : _HEADER_BYTES + size])
            buffer = buffer[_HEADER_BYTES + size :]
        return b"".join(parts), buffer

    def _more(self) -> bytes:
        """Return what has come, or the rest of a long packet whose head is held."""
        held = len(self._held)
        if held >= _HEADER_BYTES:
            missing = _HEADER_BYTES + (_header(self._held, 0)[0] & _PACKET_BYTES_MAX) - held
            if missing > _CHUNK_BYTES:
                return self._read(missing)
        return self._read(_CHUNK_BYTES, at_once=True)

    def _read(self, size: int, *, at_once: bool = False) -> bytes:
        """Return so many bytes, or `at_once` what there is of them."""
        try:
            found: bytes = self._file.read1(size) if at_once else self._file.read(size)
        except OSError:
            found = b""
        if not found:
            self.ended = True
            message = f"{self._where}: the connection is lost; run the same command again"
            raise SystemUnavailable(message)
        return found


def _fields(packet: bytes, count: int) -> list[bytes | None]:
    """Return the values of one row's packet."""
    found: list[bytes | None] = []
    place = 0
    for _ in range(count):
        size = packet[place]
        place += 1
        if size == _NULL:
            found.append(None)
            continue
        if size > _NULL:
            width = _LENGTHS[size]
            size = int.from_bytes(packet[place : place + width], "little")
            place += width
        found.append(packet[place : place + size])
        place += size
    return found


def _connected(address: Address) -> Any:
    try:
        # No decoders: every value of a catalog arrives as the server prints it.
        driver = pymysql.connect(
            **address.parameters(), charset="utf8mb4", conv={}, autocommit=True, program_name="transhume"
        )
    except (pymysql.Error, RuntimeError) as problem:
        raise faults.connection_failure(problem, address.identity) from None
    with contextlib.suppress(OSError, AttributeError):
        # A server that is gone without a word is found so within a minute.
        for name, value in _KEEPALIVE.items():
            driver._sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)  # noqa: SLF001
    return driver


def _numbers(version: str) -> tuple[int, ...]:
    # Old MariaDB servers put 5.5.5- before their version, for clients of MySQL.
    found = re.findall(r"\d+", version.removeprefix("5.5.5-"))
    return tuple(map(int, found[:2]))
