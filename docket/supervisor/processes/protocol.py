"""Messages between supervisor and worker process: one JSON object per line, both ways.

==============  ==================================  ===================================================
To the child    ``configure`` (revision, orders)    become this; answered by ready or rejected
..              ``drain`` (seconds)                 finish what runs, hand the rest back, exit
From the child  ``hello``                           is there, and waits for orders
..              ``ready`` (revision, consumer,      works with this revision, and runs this code
..              code)
..              ``rejected`` (revision, reason,     cannot become this, goes on as it was;
..              trouble)                            whether Redis was ``away``, ``full``, ``refused``
..              ``status``                          every second: what runs, slots, claims, counts, contact
==============  ==================================  ===================================================

The end of the line, without a word, means that the other side is dead.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from typing import Any

LARGEST = 64 << 20
"""Bytes of the longest line: the orders of a very large configuration."""

CHANNEL = "DOCKET_CHANNEL"
"""The environment variable with the number of the channel's descriptor, for the child."""

STACKS = signal.SIGUSR2
"""The signal upon which a worker process writes the stacks of its threads to its standard error."""


class Channel:
    """One end of the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, line: socket.socket) -> Channel:
        """Open the end of this socket."""
        line.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=line, limit=LARGEST)
        return cls(reader, writer)

    async def say(self, word: str, **fields: Any) -> None:
        """Say something; it is not an error if the other side is gone."""
        await self.send(json.dumps({"word": word, **fields}))

    async def send(self, message: str) -> None:
        """Send a message that is JSON already."""
        try:
            self._writer.write(message.encode() + b"\n")
            await self._writer.drain()
        except ConnectionError:
            return

    async def hear(self) -> dict[str, Any] | None:
        """Return the next message of the other side; None when it is gone."""
        try:
            line = await self._reader.readline()
        except ConnectionError:
            return None
        return json.loads(line) if line.endswith(b"\n") else None

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
