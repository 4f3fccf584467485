"""TLS before any server: a small proxy, because the servers of the wheels may have been built without."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from pathlib import Path
from typing import Any, cast

import trustme
from typing_extensions import Self


class TLSProxy:
    """Takes TLS connections on a port of its own and hands the plain bytes on.

    Arguments:
        port: of the server on this machine.
        directory: where the certificate of the authority is put for clients.
    """

    def __init__(self, port: int, directory: Path) -> None:
        self._target = port
        self.authority = directory / "authority.pem"
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tls proxy", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, with the authority that clients have to trust."""
        return f"rediss://localhost:{self.port}/0?ssl_ca_certs={self.authority}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10), "the TLS proxy does not listen"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._carry, "localhost", 0, ssl=self._context())
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._ended.wait()
        server.close()
        carriers = asyncio.all_tasks() - {asyncio.current_task()}
        for carrier in carriers:
            carrier.cancel()
        await asyncio.gather(*carriers, return_exceptions=True)

    def _context(self) -> ssl.SSLContext:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.authority))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        cast(Any, authority.issue_cert("localhost", "127.0.0.1")).configure_cert(context)
        return context

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.wait(
                [
                    asyncio.create_task(_copy(reader, back)),
                    asyncio.create_task(_copy(there, writer)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for one in (back, writer):
                one.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
