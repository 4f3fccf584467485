"""The last words of a process: the end of its standard error, which often says why it died."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

KEPT = 1 << 15
"""The most bytes that are kept."""

LINES = 30
"""The most lines that are shown."""

_FATAL = "Fatal Python error:"
"""Start of the interpreter's own last words, followed by the stacks of all threads."""


class LastWords:
    """The other end of a standard error: passes on what is written there, and keeps the end of it."""

    def __init__(self) -> None:
        self._end = b""
        self._is_cut = False
        self._passing: asyncio.Task[None] | None = None

    async def open(self) -> int:
        """Return a descriptor for the process to write to; the caller closes it after handing it over."""
        ours, theirs = os.pipe()
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", 0)
        )
        self._passing = asyncio.create_task(self._pass_on(reader, transport))
        return theirs

    async def until_silent(self, seconds: float) -> None:
        """Wait for the end of what is written.

        Arguments:
            seconds: the longest wait: what a process has left behind may hold the line.
        """
        if self._passing is not None:
            await asyncio.wait({self._passing}, timeout=seconds)
            self._passing.cancel()

    @property
    def text(self) -> str:
        """The last whole lines, or the first ones of what the interpreter says of its own end."""
        lines = self._end.decode(errors="replace").splitlines()[1 if self._is_cut else 0 :]
        fatal = next((at for at, line in enumerate(lines) if line.startswith(_FATAL)), None)
        return "\n".join(lines[-LINES:] if fatal is None else lines[fatal : fatal + LINES])

    async def _pass_on(
        self, reader: asyncio.StreamReader, transport: asyncio.BaseTransport
    ) -> None:
        try:
            while chunk := await reader.read(1 << 16):
                self._is_cut = self._is_cut or len(self._end) + len(chunk) > KEPT
                self._end = (self._end + chunk)[-KEPT:]
                # Our own standard error may be closed by now, or full for good.
                with contextlib.suppress(OSError, ValueError):
                    sys.stderr.write(chunk.decode(errors="replace"))
                    sys.stderr.flush()
        finally:
            transport.close()
