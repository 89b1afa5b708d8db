"""A proxy in front of a PostgreSQL socket that kills a client between its nth COMMIT and the answer to it."""

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_SERVER_WORKS_S = 0.3
"""How long the server has, with the COMMIT in hand, before the client is dead: it commits, and nobody hears."""


class CommitWatch:
    """Listens on a socket of its own; `client_pid` is who dies, `kill_at` at which COMMIT (0: never, only count)."""

    def __init__(self, server_folder: Path, kill_at: int) -> None:
        """Take the folder with the server's socket."""
        self._server = server_folder / ".s.PGSQL.5432"
        # A path of its own, because a socket's path may have 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="watch-"))
        self._kill_at = kill_at
        self._listener = socket.socket(socket.AF_UNIX)
        self.commits = 0
        self.client_pid = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start to listen."""
        self._listener.bind(str(self.folder / ".s.PGSQL.5432"))
        self._listener.listen(20)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to listen and remove the socket."""
        self._listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def spare(self) -> None:
        """Kill nobody any more."""
        self._kill_at = 0

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            threading.Thread(target=self._carry, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, client, False), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, from_client: bool) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(65536):
                if from_client and b"COMMIT\x00" in block and self._is_the_one(block):
                    target.sendall(block)
                    time.sleep(_SERVER_WORKS_S)
                    os.kill(self.client_pid, signal.SIGKILL)
                    break
                target.sendall(block)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _is_the_one(self, block: bytes) -> bool:
        with self._lock:
            self.commits += block.count(b"COMMIT\x00")
            return bool(self._kill_at) and self.commits >= self._kill_at
