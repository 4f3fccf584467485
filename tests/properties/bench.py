"""A docket on an event loop of its own, for machines whose steps are plain calls."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from redis.asyncio.client import PubSub
from typing_extensions import Self

from docket import Docket, ExecutionState
from docket.connection.base import Command
from docket.storage.scripting.retrying import value_of

from .snapshot import Snapshot

T = TypeVar("T")

_MARK = "the end of this step"


class Bench:
    """One docket that is emptied between examples, and the states that it has announced.

    Arguments:
        url: the server.
        name: the docket.
    """

    def __init__(self, url: str, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self.docket = Docket(name, url)

    def __enter__(self) -> Self:
        self.do(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self._stack.aclose())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _open(self) -> None:
        # Only the storage is opened: rules are not read here, and need not make sense.
        self.storage = self.docket.storage
        await self.storage.open()
        self._stack.push_async_callback(self.storage.close)
        self.keys = self.storage.keys
        self._prefix = self.keys.state("")
        self._line: PubSub = await self._stack.enter_async_context(
            self.storage.connection.subscriber()
        )
        await self._line.psubscribe(f"{self._prefix}*")
        await self._line.get_message(timeout=10)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Have it done, and return when it is."""
        return self._loop.run_until_complete(work)

    def send(self, *command: str | int | bytes) -> Any:
        """One command, outside of everything that is tested: what time, or an operator, would do."""
        send = self.storage.connection.send
        whole: Command = command
        (reply,) = self.do(send(whole))
        return value_of(reply)

    def snapshot(self) -> Snapshot:
        """All that is kept now."""
        return self.do(Snapshot.take(self.storage.connection, self.keys))

    def announced(self) -> list[tuple[str, ExecutionState]]:
        """Keys and states that were announced since this was asked last, in order."""
        self.send("PUBLISH", self.keys.state(_MARK), "")
        return self.do(self._announced())

    async def _announced(self) -> list[tuple[str, ExecutionState]]:
        heard: list[tuple[str, ExecutionState]] = []
        while True:
            event: Any = await self._line.get_message(timeout=10)
            assert event is not None, "the line of the events is silent"
            key = event["channel"].decode().removeprefix(self._prefix)
            if key == _MARK:
                return heard
            heard.append((key, ExecutionState(event["data"].decode().partition("\n")[0])))

    def clear(self) -> None:
        """Forget everything of the last example."""
        if names := self.snapshot().kept:
            self.send("DEL", *(self.keys.named(name) for name in names))
        self.announced()
