"""The control socket, over which the command line asks a supervisor for its state, and for actions.

Only its user may connect. No request, in any form, ends the supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from ...errors import DocketError, OperatorError
from ...foundation.service import end
from .client import VERSION, elsewhere, is_answered, socket_of, stranger_at

logger = logging.getLogger("docket.supervisor")

LARGEST: Final = 1 << 16
"""Bytes of the longest request."""

PATIENCE: Final = 30.0
"""Seconds that a client may stay silent, or not read the answer."""

MOST: Final = 64
"""Maximum number of clients at a time."""

Request: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = Callable[[Request], Awaitable[Mapping[str, Any]]]


class Misunderstood(DocketError):
    """The request has no meaning."""


class NoPlace(OperatorError):
    """A supervisor can listen nowhere; it can do without."""


class Control:
    """The server of the control socket.

    Arguments:
        place: where the socket is.
        answers: the functions that answer, by the word of the request.
        patience: how many seconds a client may stay silent, or not read the answer.
    """

    def __init__(
        self, place: Path, answers: Mapping[str, Answer], patience: float = PATIENCE
    ) -> None:
        self._place = place
        self._socket = place
        self._answers = answers
        self._patience = patience
        self._talks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._inode = 0

    async def start(self) -> None:
        """Listen from now on; the socket of a supervisor that is dead is replaced.

        Raises:
            NoPlace: this user can listen nowhere.
            OperatorError: another supervisor listens there.
        """
        found = socket_of(self._place)
        # One of another user is nothing to us, nor to our command line.
        if stranger_at(found, self._place) is None and is_answered(found):
            raise OperatorError(
                f"another supervisor listens on {socket_of(self._place)}: stop it, or set supervisor.control "
                "(DOCKET_SUPERVISOR__CONTROL) to another path"
            )
        try:
            line = self._bound(self._place)
        except OSError as error:
            try:
                line = self._bound_elsewhere()
            except OSError:
                raise NoPlace(
                    f"cannot listen on {self._place}: {error.strerror or error}; set supervisor.control "
                    "to a path that this user may write to"
                ) from error
        self._server = await asyncio.start_unix_server(self._meet, sock=line, limit=LARGEST)

    def _bound(self, path: Path) -> socket.socket:
        """Return a socket on a path; what was there was not answered."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        line = socket.socket(socket.AF_UNIX)
        try:
            line.bind(os.fspath(path))
            # No one can connect before it listens, so it is never open to others.
            path.chmod(0o600)
        except OSError:
            line.close()
            raise
        self._socket, self._inode = path, path.lstat().st_ino
        return line

    def _bound_elsewhere(self) -> socket.socket:
        """Return a socket among this user's files; its path is noted at the place, if that can be."""
        path = elsewhere(self._place)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        found = path.parent.lstat()
        if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise PermissionError(f"{path.parent} is not this user's own")
        line = self._bound(path)
        with contextlib.suppress(OSError):
            self._place.write_text(os.fspath(path), "utf-8")
        logger.info("The control socket is %s", path)
        return line

    async def stop(self) -> None:
        """Listen no longer, and leave no socket behind."""
        if self._server is None:
            return
        self._server.close()
        for talk in list(self._talks):
            await end(talk)
        self._server = None
        self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._socket.lstat().st_ino != self._inode:
                return  # another process has taken the place meanwhile
            self._socket.unlink()
        if self._socket != self._place:
            with contextlib.suppress(OSError):  # where nothing could be written down
                self._place.unlink()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = cast("asyncio.Task[None]", asyncio.current_task())
        self._talks.add(talk)
        try:
            await self._talk(reader, writer)
        except (OSError, asyncio.TimeoutError):
            writer.transport.abort()  # gone, or as good as gone
        finally:
            self._talks.discard(talk)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                line = await asyncio.wait_for(reader.readline(), self._patience)
            except ValueError:
                told = f"expected a line of at most {LARGEST} bytes"
                await self._say(writer, _error("misunderstood", told))
                # Hanging up before all is read would take the answer back.
                await asyncio.wait_for(_forget(reader), self._patience)
                return
            if not line.endswith(b"\n"):
                return
            if len(self._talks) > MOST:
                await self._say(
                    writer, _error("failed", f"{MOST} clients are connected already; try again")
                )
                return
            await self._say(writer, await self._answered(line))

    async def _say(self, writer: asyncio.StreamWriter, answer: Mapping[str, Any]) -> None:
        writer.write(json.dumps({"version": VERSION, **answer}, default=str).encode() + b"\n")
        await asyncio.wait_for(writer.drain(), self._patience)

    async def _answered(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = _read(line)
            answer = self._answers.get(request["ask"])
            if answer is None:
                known = ", ".join(sorted(self._answers))
                raise Misunderstood(f"there is no {request['ask']!r}; there is {known}")
            return {"answer": await answer(request)}
        except Misunderstood as error:
            return _error("misunderstood", str(error))
        except DocketError as error:
            return _error("refused", str(error))
        except Exception as error:
            logger.exception("A request over the control socket failed")
            return _error("failed", f"{type(error).__name__}: {error}")


async def _forget(reader: asyncio.StreamReader) -> None:
    while await reader.read(LARGEST):
        pass


def _read(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Misunderstood(f"expected a JSON object on one line: {error}") from error
    if not isinstance(found, dict) or not isinstance(cast(Any, found).get("ask"), str):
        raise Misunderstood('expected a JSON object such as {"version": 1, "ask": "status"}')
    request = cast(dict[str, Any], found)
    if request.get("version") != VERSION:
        raise Misunderstood(
            f"expected version {VERSION}, found {request.get('version')!r}: this supervisor is of another "
            "release of Docket than the command line"
        )
    return request


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "message": message}}
