"""Unpacking of answers, no further than they are kept."""

from __future__ import annotations

import zlib
from typing import Final

from ..errors import CallRefused

ACCEPTED: Final = "gzip, deflate"
"""Encodings that an answer may be packed with."""

_WINDOWS: Final = {
    "gzip": 16 + zlib.MAX_WBITS,
    "x-gzip": 16 + zlib.MAX_WBITS,
    "deflate": zlib.MAX_WBITS,
}


class Unpacking:
    """A decoder that takes an answer piece by piece, and keeps its beginning.

    Arguments:
        encoding: its ``Content-Encoding``.
        most: how many bytes are kept.

    Raises:
        CallRefused: it is packed in a way that was not asked for.
    """

    def __init__(self, encoding: str, most: int) -> None:
        encoding = encoding.strip().lower()
        if encoding not in ("", "identity", *_WINDOWS):
            raise CallRefused(
                f"expected an answer that is packed as {ACCEPTED} or not at all, found {encoding[:40]!r}"
            )
        self._packed = zlib.decompressobj(_WINDOWS[encoding]) if encoding in _WINDOWS else None
        self._is_raw_deflate = False
        self._most = most
        self.body = b""

    @property
    def is_full(self) -> bool:
        """True if nothing more is kept."""
        return len(self.body) >= self._most

    def feed(self, piece: bytes) -> None:
        """Take a piece.

        Raises:
            CallRefused: it is damaged.
        """
        room = self._most - len(self.body)
        try:
            self.body += self._unpacked(piece, room) if self._packed else piece[:room]
        except zlib.error as error:
            raise CallRefused(
                f"expected an answer that can be unpacked, found a damaged one: {error}"
            ) from error

    def _unpacked(self, piece: bytes, room: int) -> bytes:
        assert self._packed is not None
        try:
            return self._packed.decompress(piece, room)
        except zlib.error:
            if self.body or self._is_raw_deflate:
                raise
        # Some servers leave out the frame that "deflate" has.
        self._is_raw_deflate = True
        self._packed = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._packed.decompress(piece, room)
