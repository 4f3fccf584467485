"""A line to a server that misbehaves as networks do, one fault at a time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import Final

from typing_extensions import Self

FAULTS: Final = (
    "cut before", "cut after", "reset before", "reset after", "half a request", "half a reply",
    "delayed request", "delayed reply", "black hole", "lost replies", "garbage", "slow bytes", "refused",
)  # fmt: skip
"""What can happen to what is sent next: before it reaches the server, or when it has an answer."""

DELAY = 0.4
"""Seconds of the faults that delay."""


class Proxy:
    """Carries bytes between clients and a server, in a thread of its own.

    Arguments:
        port: of the server on this machine.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._fault = ""
        self.port = 0
        self.struck = 0
        """How often a fault has met something that was sent."""
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens; commands that get no answer are given up soon."""
        return f"redis://127.0.0.1:{self.port}/0?socket_timeout=1"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10), "the proxy does not listen"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()

    def have(self, fault: str) -> None:
        """From now on this happens to everything that is sent; nothing, if it is empty."""
        self._fault = fault

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._ended.wait()
        server.close()
        carriers = asyncio.all_tasks() - {asyncio.current_task()}
        for carrier in carriers:
            carrier.cancel()
        await asyncio.gather(*carriers, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._fault == "refused":
            self._strike()
            return _hang_up(writer, at_once=True)
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        ways = [
            asyncio.create_task(self._ask(reader, back, writer)),
            asyncio.create_task(self._answer(there, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.close()
            writer.close()

    async def _ask(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, writer: asyncio.StreamWriter
    ) -> None:
        """Carry what is asked; returns when the line ends."""
        while data := await reader.read(65536):
            fault = self._fault
            if fault in ("cut before", "reset before"):
                self._strike()
                return _hang_up(writer, at_once=fault == "reset before")
            if fault == "half a request":
                self._strike()
                back.write(data[: len(data) // 2])
                await back.drain()
                return None
            if fault == "black hole":
                self._strike()
                continue
            if fault == "delayed request":
                self._strike()
                await asyncio.sleep(DELAY)
            back.write(data)
            await back.drain()
        return None

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry what is answered; returns when the line ends."""
        while data := await there.read(65536):
            fault = self._fault
            if fault in ("cut after", "reset after"):
                self._strike()
                return _hang_up(writer, at_once=fault == "reset after")
            if fault == "half a reply":
                self._strike()
                writer.write(data[: len(data) // 2])
                await writer.drain()
                return None
            if fault == "lost replies":
                self._strike()
                continue
            if fault == "garbage":
                self._strike()
                data = b"\x00?garbage\r\n" + data
            if fault == "delayed reply":
                self._strike()
                await asyncio.sleep(DELAY)
            if fault == "slow bytes":
                self._strike()
                for at in range(0, len(data), 50):
                    writer.write(data[at : at + 50])
                    await writer.drain()
                    await asyncio.sleep(0.001)
                continue
            writer.write(data)
            await writer.drain()
        return None

    def _strike(self) -> None:
        self.struck += 1


def _hang_up(writer: asyncio.StreamWriter, *, at_once: bool) -> None:
    if at_once:
        # Without lingering the other side gets a reset.
        line: socket.socket = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()
