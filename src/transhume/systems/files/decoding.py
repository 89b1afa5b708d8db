"""Bytes of a text file as UTF-8, piece by piece: byte order marks and stated encodings. No row is known here.

What does not decode stays as bytes that are no UTF-8 (a lone surrogate), so that the one value that holds it is told.
"""

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from transhume.errors import SystemRefused

PIECE_BYTES = 4 * 2**20
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def utf8_pieces(file: BinaryIO, stated: str | None, name: str) -> Iterator[bytes]:
    """Yield the file's text as UTF-8 without a byte order mark, in pieces of about `PIECE_BYTES`.

    A mark says the encoding; else it is the stated one, or UTF-8.
    Raises: SystemRefused where mark and stated encoding contradict each other, or UTF-16 ends inside a sign.
    """
    first = file.read(PIECE_BYTES)
    mark, encoding = next(((mark, found) for mark, found in _MARKS if first.startswith(mark)), (b"", stated or "utf-8"))
    family = codecs.lookup(encoding).name
    if mark and stated is not None and not encoding.startswith(_plain(stated)):
        message = f"'{name}' begins with the mark of {encoding}, and the URL says encoding={stated}; leave one out"
        raise SystemRefused(message)
    first = first[len(mark) :]
    if family in {"utf-8", "utf-8-sig"}:
        yield from _rest(first, file)
        return
    is_wide = family.startswith("utf-16")
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass" if is_wide else "surrogateescape")
    try:
        for piece in _rest(first, file):
            yield decoder.decode(piece).encode("utf-8", "surrogatepass")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        message = f"'{name}' ends or breaks inside a sign of {encoding}; nothing of it is used; write it again"
        raise SystemRefused(message) from None


def _rest(first: bytes, file: BinaryIO) -> Iterator[bytes]:
    piece = first
    while piece:
        yield piece
        piece = file.read(PIECE_BYTES)


def _plain(stated: str) -> str:
    """Return the stated name as the marks' names begin: `utf16` is `utf-16`."""
    found = codecs.lookup(stated).name
    return found.removesuffix("-sig")
