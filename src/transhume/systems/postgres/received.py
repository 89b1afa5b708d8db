"""What a COPY TO sends: its bytes in their order, and its rows in any order. No table is known here."""

import hashlib
import itertools
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import errors
from psycopg.pq import ExecStatus
from psycopg.waiting import Wait

from transhume.systems.postgres.connection import WatchedConnection
from transhume.systems.postgres.wire import HEADER, TRAILER

_MESSAGES = 512
"""Messages taken before it is looked whether there are bytes enough: what may be held beyond what was asked for."""
_DIGESTED_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Multiset:
    """Rows in any order: how many they are, and the sum of their hashes; a row that stands twice counts twice.

    A hash is Python's own of the bytes of a row, 64 bits of SipHash under a key that each process draws anew, unless
    PYTHONHASHSEED says otherwise. So two of the same process may be compared, and rows that differ come to the same
    sum with a chance of one in 2**64.
    Source: https://docs.python.org/3/library/sys.html#sys.hash_info
    """

    row_count: int = 0
    hash_sum: int = 0

    def __add__(self, other: "Multiset") -> "Multiset":
        """Return the rows of both."""
        return Multiset(self.row_count + other.row_count, self.hash_sum + other.hash_sum)


class Received:
    """The bytes of a binary COPY TO under way, taken in any portion; holds no more than was asked for and one row."""

    def __init__(self, connection: WatchedConnection) -> None:
        self._connection = connection
        self._left = b""
        self._ended = False
        self._messages = self._hash_sum = 0

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end."""
        if len(self._left) < size and not self._ended:
            pieces, self._ended = self._connection.wait(self._read(size - len(self._left)))
            self._count(pieces)
            self._left = b"".join([self._left, *pieces])
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def digest(self) -> str:
        """Return the SHA-256 of everything up to the end, which ends the COPY."""
        digest = hashlib.sha256()
        while piece := self.take(_DIGESTED_BYTES):
            digest.update(piece)
        return digest.hexdigest()

    def rest(self) -> bytes:
        """Return everything up to the end, which ends the COPY."""
        return self.take(2**62)

    def rows(self) -> Multiset:
        """Pass over what was not taken, which ends the COPY, and return all its rows, those taken included."""
        while self.take(_DIGESTED_BYTES):
            pass
        # The server sends each row as a message of its own, then one that ends the stream.
        return Multiset(self._messages - 1, self._hash_sum - hash(TRAILER))

    def _count(self, pieces: Sequence[Any]) -> None:
        """Add messages to what was received; what stands before the first row came with it."""
        if pieces and not self._messages:
            self._hash_sum += hash(bytes(pieces[0])[len(HEADER) :]) - hash(pieces[0])
        self._messages += len(pieces)
        self._hash_sum += sum(map(hash, pieces))

    def _read(self, size: int) -> Generator[Wait, int, tuple[list[Any], bool]]:
        """Collect at least `size` bytes, by the driver's own protocol of waiting.

        The server sends each row as a message of its own, so this loop is most of what comparing costs the client:
        it runs the driver's function in the interpreter's C code, a quarter of the cost of one `read` a row.
        """
        driver, pieces, total = self._connection.pgconn, list[Any](), 0
        while total < size:
            count, got = 0, len(pieces)
            for count, piece in itertools.starmap(driver.get_copy_data, itertools.repeat((1,), _MESSAGES)):
                if count <= 0:
                    break
                pieces.append(piece)
            total += sum(map(len, pieces[got:]))
            if count < 0:
                yield from _finish(driver)
                return pieces, True
            if count == 0:
                while not (yield Wait.R):
                    continue
                driver.consume_input()
        return pieces, False


def _finish(driver: Any) -> Generator[Wait, int, None]:
    """Read the result that follows the last row; a fault of the server in the middle of a COPY comes here."""
    while True:
        while driver.is_busy():
            while not (yield Wait.R):
                continue
            driver.consume_input()
        result = driver.get_result()
        if result is None:
            return
        if result.status != ExecStatus.COMMAND_OK:
            raise errors.error_from_result(result)
