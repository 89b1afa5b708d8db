"""Messages between an engine and its child process: a JSON header and a body on a socket, each after its length."""

import json
import socket
import struct
from typing import Any

_LENGTHS = struct.Struct("!IQ")
Message = tuple[dict[str, Any], bytes]
_PIECE_BYTES = 1 << 20


def send(channel: socket.socket, header: dict[str, Any], body: bytes = b"") -> None:
    """Send one message. Raises: OSError if the other side is gone."""
    head = json.dumps(header).encode()
    channel.sendall(_LENGTHS.pack(len(head), len(body)) + head + body)


def receive(channel: socket.socket) -> Message | None:
    """Return the next message, None if the other side is gone."""
    try:
        lengths = _exactly(channel, _LENGTHS.size)
        if lengths is None:
            return None
        head_bytes, body_bytes = _LENGTHS.unpack(lengths)
        head, body = _exactly(channel, head_bytes), _exactly(channel, body_bytes)
    except OSError:
        return None
    if head is None or body is None:
        return None
    header: dict[str, Any] = json.loads(head)
    return header, body


def _exactly(channel: socket.socket, size: int) -> bytes | None:
    received = bytearray()
    while len(received) < size:
        piece = channel.recv(min(size - len(received), _PIECE_BYTES))
        if not piece:
            return None
        received += piece
    return bytes(received)
