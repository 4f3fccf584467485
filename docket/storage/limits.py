"""Flow control: slots of concurrency limits, cooldowns, rates, and what has to settle."""

from __future__ import annotations

from datetime import timedelta

from ..connection.base import Argument, Connection
from .executions import queue_argument
from .keys import Keys
from .patience import run_patiently, value_of
from .script import Script

_ACQUIRE = Script("acquire", ("slot", "size", "queue", "message"))
_COOLDOWN = Script("cooldown", ("verb", "name", "owner", "window"))
_RATE = Script("rate", ("verb", "name", "key", "owner", "limit", "window", "drop"))
_DEBOUNCE = Script("debounce", ("name", "key", "settle", "max_wait"))


class Limits:
    """Asks whether something may start now; each question may be asked twice.

    Who waits for a slot says so in the settlement of its run, and the end of another run wakes it.
    """

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def acquire(self, slot: str, size: int, queue: str, message: bytes) -> bool:
        """Take a slot for a message; False if all are taken. It is given back with the message.

        Arguments:
            slot: the limit.
            size: how many slots it has.
            queue: the queue of the message.
            message: the message of the run.
        """
        return bool(await self._ask(_ACQUIRE, slot, size, queue_argument(queue), message))

    async def start(self, name: str, owner: str, window: timedelta) -> bool:
        """Whether this is the first start within the window.

        Arguments:
            name: whose window.
            owner: who asks.
            window: how long others are kept out.
        """
        return bool(await self._ask(_COOLDOWN, "take", name, owner, _milliseconds(window)))

    async def undo_start(self, name: str, owner: str) -> None:
        """The start did not take place after all."""
        await self._ask(_COOLDOWN, "undo", name, owner, 0)

    async def count(
        self, name: str, key: str, owner: str, limit: int, window: timedelta, drop: bool
    ) -> timedelta | None:
        """How long to wait until a start is within the rate: zero to start now, None to drop it.

        Arguments:
            name: whose rate.
            key: the execution.
            owner: its run.
            limit: starts per window.
            window: how long a start counts.
            drop: give no later moment away.
        """
        wait = await self._ask(
            _RATE, "take", name, key, owner, limit, _milliseconds(window), int(drop)
        )
        return _pause(wait)

    async def undo_count(self, name: str, owner: str) -> None:
        """The start did not take place after all."""
        await self._ask(_RATE, "undo", name, "", owner, 0, 0, 0)

    async def settle_down(
        self, name: str, key: str, settle: timedelta, max_wait: timedelta | None
    ) -> timedelta | None:
        """How long to wait until submissions have settled: zero to start now, None to drop this one.

        Arguments:
            name: whose submissions.
            key: the execution.
            settle: how long it must be quiet.
            max_wait: after which it starts in any case.
        """
        longest = 0 if max_wait is None else max(1, _milliseconds(max_wait))
        return _pause(await self._ask(_DEBOUNCE, name, key, _milliseconds(settle), longest))

    async def _ask(self, script: Script, *arguments: Argument) -> int:
        (reply,) = await run_patiently(self._connection, script.call(self._keys, *arguments))
        return int(value_of(reply))


def _pause(wait: int) -> timedelta | None:
    return None if wait < 0 else timedelta(milliseconds=wait)


def _milliseconds(duration: timedelta) -> int:
    return max(1, int(duration / timedelta(milliseconds=1)))
