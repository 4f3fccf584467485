"""What a soak stands on: a server or a cluster, how it is reached, and what breaks there."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

from tests.fleet.binaries import valkey_9
from tests.fleet.cluster import Cluster
from tests.fleet.process import ServerProcess

from .line import Line

Way: TypeAlias = Callable[[int], Awaitable[None]]
"""One way to break something of the worker at a place."""


class Ground(ABC):
    """Where a soak takes place.

    Arguments:
        directory: where servers keep their files.
        stack: ends what was started.
        dice: decide how long things are broken.
        docket: the name of the docket.
        size: how many places there are for workers.
    """

    def __init__(
        self, directory: Path, stack: ExitStack, dice: random.Random, docket: str, size: int
    ) -> None:
        self._directory = directory
        self._stack = stack
        self._dice = dice
        self._docket = docket
        self._size = size
        self.url = ""
        """Where nobody breaks the line."""

    @abstractmethod
    def place(self, number: int) -> str:
        """Return how the worker at a place reaches the server."""

    @abstractmethod
    def ways(self) -> list[Way]:
        """Return what may break."""


class Standalone(Ground):
    """One server that keeps what it acknowledges; each worker is at the end of a line of its own."""

    def __init__(
        self, directory: Path, stack: ExitStack, dice: random.Random, docket: str, size: int
    ) -> None:
        super().__init__(directory, stack, dice, docket, size)
        durable = ("--appendonly", "yes", "--appendfsync", "always")
        self._server = stack.enter_context(
            ServerProcess(valkey_9(), directory / "server", *durable)
        )
        self._lines = [stack.enter_context(Line(self._server.port)) for _ in range(size)]
        self.url = self._server.url

    def place(self, number: int) -> str:
        return self._lines[number].url

    def ways(self) -> list[Way]:
        return [self._cut, self._deafen, self._restart]

    async def _cut(self, place: int) -> None:
        await asyncio.to_thread(self._lines[place].cut)

    async def _deafen(self, place: int) -> None:
        line = self._lines[place]
        line.lose_replies(True)
        await asyncio.sleep(self._dice.uniform(0.05, 0.5))
        await asyncio.to_thread(line.cut)
        line.lose_replies(False)

    async def _restart(self, place: int) -> None:
        self._server.kill()
        await asyncio.sleep(self._dice.uniform(0, 0.5))
        await asyncio.to_thread(self._server.start)


class Clustered(Ground):
    """Three primaries, of which any may have to serve the docket next."""

    def __init__(
        self, directory: Path, stack: ExitStack, dice: random.Random, docket: str, size: int
    ) -> None:
        super().__init__(directory, stack, dice, docket, size)
        self._cluster = stack.enter_context(Cluster(valkey_9(), directory / "cluster"))
        self.url = self._cluster.url

    def place(self, number: int) -> str:
        return self.url

    def ways(self) -> list[Way]:
        return [self._move_the_slot]

    async def _move_the_slot(self, place: int) -> None:
        key = f"{{{self._docket}}}:stream"
        to = self._cluster.other(key)
        self._cluster.begin_move(key, to)
        for _ in range(self._dice.randrange(5)):
            await asyncio.to_thread(self._cluster.carry, key, to, 20)
            await asyncio.sleep(self._dice.uniform(0, 0.1))
        await asyncio.to_thread(self._cluster.finish_move, key, to)


GROUNDS: dict[str, type[Ground]] = {"standalone": Standalone, "cluster": Clustered}
"""By what ``SERVER`` says."""
