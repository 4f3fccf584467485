"""Pages over HTTP, on a thread of their own, for strangers too: few connections, and none for long."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

logger = logging.getLogger(__name__)

MOST: Final = 32
"""Connections at a time; one more ends the oldest, which has had its time."""

PATIENCE: Final = 5.0
"""Seconds that a client may take to ask, and as many to take the answer."""

LONGEST: Final = 8192
"""Bytes of a request; none of ours has a body."""


@dataclass(frozen=True)
class Response:
    """One page."""

    status: HTTPStatus
    body: str
    content_type: str = "text/plain; charset=utf-8"


class HealthServer:
    """A server on a thread of its own, so that a stuck event loop is reported instead of timing out.

    Arguments:
        host, port: the address to listen at; port 0 takes a free one.
        pages: the answers, by path.
        patience: seconds that a client may take to ask, and to take the answer.

    Raises:
        OSError: the address cannot be listened on.
    """

    def __init__(
        self,
        host: str,
        port: int,
        pages: Mapping[str, Callable[[], Response]],
        patience: float = PATIENCE,
    ) -> None:
        self._socket = _listening(host, port)
        self._answers = _Answers(pages, is_local=_is_loopback(self._socket.getsockname()[0]))
        self._patience = patience
        self._port = self._socket.getsockname()[1]
        self._open: dict[asyncio.StreamWriter, None] = {}
        """The connections that count, the oldest first."""
        self._talks: set[asyncio.Task[None] | None] = set()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="docket-health", daemon=True)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no longer."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._answer, sock=self._socket, limit=LONGEST)
        await self._stopping.wait()
        server.close()
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*filter(None, self._talks))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        self._talks.add(talk)
        if len(self._open) >= MOST:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        self._open[writer] = None
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self._patience)
            writer.write(self._answers.to(head))
            writer.write_eof()
            # Until the other side hangs up, too: what it has not read yet would be lost.
            await asyncio.wait_for(reader.read(1), self._patience)
        except asyncio.LimitOverrunError:
            writer.write(
                _written(Response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too long\n"))
            )
        except (asyncio.TimeoutError, asyncio.IncompleteReadError, OSError):
            writer.transport.abort()
        finally:
            self._open.pop(writer, None)
            self._talks.discard(talk)
            with suppress(OSError):
                writer.close()


class _Answers:
    """The answers to requests.

    Arguments:
        pages: by path.
        is_local: whether only this machine can ask; then a foreign name of it is refused.
    """

    def __init__(self, pages: Mapping[str, Callable[[], Response]], *, is_local: bool) -> None:
        self._pages = pages
        self._is_local = is_local

    def to(self, head: bytes) -> bytes:
        """Return the answer to a request, of which the head is given."""
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _written(Response(HTTPStatus.BAD_REQUEST, "this is not an HTTP/1 request\n"))
        method, target, _ = words
        if method not in ("GET", "HEAD"):
            answer = Response(HTTPStatus.METHOD_NOT_ALLOWED, "expected GET or HEAD\n")
            return _written(answer, "Allow: GET, HEAD\r\n")
        host = next((line[5:].strip() for line in lines if line[:5].lower() == "host:"), "")
        if self._is_local and not _is_this_machine(host):
            text = "this is reached as localhost, or by an address: a page elsewhere must not read it\n"
            answer = Response(HTTPStatus.MISDIRECTED_REQUEST, text)
        else:
            answer = self._page(target.partition("?")[0])
        return _written(answer, with_body=method != "HEAD")

    def _page(self, path: str) -> Response:
        page = self._pages.get(path)
        if page is None:
            known = ", ".join(sorted(self._pages))
            return Response(HTTPStatus.NOT_FOUND, f"nothing here; there is {known}\n")
        try:
            return page()
        except Exception as error:
            # A page that fails must not end the thread that asks it.
            logger.exception("A page could not be made")
            text = f"{type(error).__name__}: {error}\n"
            return Response(HTTPStatus.INTERNAL_SERVER_ERROR, text)


def _listening(host: str, port: int) -> socket.socket:
    line = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        line.bind((host, port))
        line.listen(128)
    except OSError:
        line.close()
        raise
    return line


def _written(answer: Response, header: str = "", *, with_body: bool = True) -> bytes:
    body = answer.body.encode(errors="replace")
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
        f"Content-Type: {answer.content_type}\r\nContent-Length: {len(body)}\r\n"
        f"X-Content-Type-Options: nosniff\r\n{header}Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (body if with_body else b"")


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _is_this_machine(host: str) -> bool:
    """Return True if a request to this machine may have this Host header; it may have none."""
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    name = name.strip("[]").lower()
    if not name or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
