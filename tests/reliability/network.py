"""A TCP proxy before a PostgreSQL socket that does one evil thing once: reset, swallow all, or keep an answer back."""

import contextlib
import socket
import struct
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

_SERVER_WORKS_S = 0.3
"""How long the server has, with the COMMIT in hand, before the client's connection is reset."""
Evil = Literal["none", "reset", "stalled", "hidden"]


class Proxy:
    """Carries bytes between clients and the server.

    `reset`: the client's connection is reset when `at` bytes of all clients have passed; `stalled`: from then on
    nothing passes on that connection; `hidden`: the `at`-th COMMIT reaches the server, its answer nobody.
    """

    def __init__(self, server_folder: Path, evil: Evil = "none", at: int = 0) -> None:
        self._server = str(server_folder / ".s.PGSQL.5432")
        self._evil, self._at = evil, at
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self.port: int = self._listener.getsockname()[1]
        self.passed = self.commits = 0
        self.done = False
        self._ends: list[socket.socket] = []

    def __enter__(self) -> Self:
        """Start to listen."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and let go of everybody."""
        self._listener.close()
        for end in self._ends:
            _end(end)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._ends += [client, server]
                silent = threading.Event()
                for source, target, from_client in ((client, server, True), (server, client, False)):
                    arguments = (source, target, from_client, silent)
                    threading.Thread(target=self._carry, args=arguments, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, from_client: bool, silent: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(65536):
                if silent.is_set():
                    continue
                if from_client and self._is_time(block):
                    if self._evil == "hidden":
                        silent.set()
                        target.sendall(block)
                        time.sleep(_SERVER_WORKS_S)
                    if self._evil == "stalled":
                        silent.set()
                        continue
                    _reset(source)
                    break
                target.sendall(block)
        for end in (source, target):
            _end(end)

    def _is_time(self, block: bytes) -> bool:
        with self._lock:
            self.passed += len(block)
            self.commits += block.count(b"COMMIT\x00")
            reached = self.commits if self._evil == "hidden" else self.passed
            if self.done or self._evil == "none" or reached < self._at:
                return False
            self.done = True
            return True


def _reset(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def _end(end: socket.socket) -> None:
    # A shutdown first, or the thread that waits for bytes of it never wakes.
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
