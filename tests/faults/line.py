"""A line to a server that can be cut, on an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from typing_extensions import Self


class Line:
    """Carries bytes to a port and back, until it is cut.

    Arguments:
        port: where the server listens.
        rate: how many bytes of replies it carries in a second, over each connection; any number if 0.
    """

    def __init__(self, port: int, rate: int = 0) -> None:
        self._to = port
        self._rate = rate
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server
        self._is_deaf = False
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(60)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        """Where it begins."""
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        """Close every connection; new ones are carried."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(60)

    def lose_replies(self, is_deaf: bool) -> None:
        """Have everything that the server says get lost, from now on or no longer."""
        self._is_deaf = is_deaf

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _serve(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The server of the event loop asks this task for its error: being cancelled must be none.
        with suppress(asyncio.CancelledError):
            try:
                there, onward = await asyncio.open_connection("127.0.0.1", self._to)
            except OSError:
                writer.close()
                return
            self._writers |= {writer, onward}
            there_and_back = self._copy(reader, onward, False), self._copy(there, writer, True)
            await asyncio.gather(*there_and_back)
            self._writers -= {writer, onward}

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_reply: bool
    ) -> None:
        with suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(1 << 16):
                if is_reply and self._is_deaf:
                    continue
                writer.write(data)
                await writer.drain()
                if is_reply and self._rate:
                    await asyncio.sleep(len(data) / self._rate)
        writer.close()
