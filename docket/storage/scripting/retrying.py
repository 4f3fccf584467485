"""Patience with a server that is away, and the meaning of its answers.

Only calls that may run twice are repeated here: every script of this package, and reads.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from redis.exceptions import ResponseError

from ...connection.base import Command, Connection, Reply, errors_of, is_error
from ...connection.errors import Severity, needs_login, severity, translate
from ...errors import DocketError, LoginRefused, ServerUnavailable
from .script import Call, run

PATIENCE = timedelta(seconds=10)
"""Time for which a caller's own call (an add, a cancel, a read) is repeated before it raises."""

REMEMBERED = timedelta(seconds=30)
"""Minimum time for which a finished record stays: longer than ``PATIENCE``, so a repeated call finds it."""

_SHORTEST = 0.02
_LONGEST = 1.0


async def run_patiently(
    connection: Connection, *calls: Call, patience: timedelta = PATIENCE
) -> list[Any]:
    """Run scripts, repeating them while the server is away or cannot work, until ``patience`` is over.

    Replies that are errors for good come back as values of ``DocketError``.

    Raises:
        ServerUnavailable: the server did not come back in time.
    """
    return await patiently(connection, lambda: run(connection, *calls), patience)


async def read_patiently(connection: Connection, *commands: Command) -> list[Any]:
    """Read, as ``run_patiently`` runs; the commands change nothing, so they may run twice."""
    return await patiently(connection, lambda: connection.send(*commands), PATIENCE)


async def patiently(
    connection: Connection, ask: Callable[[], Awaitable[list[Reply]]], patience: timedelta
) -> list[Any]:
    """Ask, as ``run_patiently`` runs, for what is made anew each time.

    Raises:
        ServerUnavailable: the server did not come back in time.
    """
    deadline = asyncio.get_running_loop().time() + patience.total_seconds()
    backoff: Backoff | None = None
    while True:
        try:
            replies = await ask()
            errors = errors_of(replies)
            if not errors:
                return replies
            trouble = next((one for one in errors if _is_passing(connection, one)), None)
            if trouble is None:
                return [translate(reply) if is_error(reply) else reply for reply in replies]
            unavailable = translate(trouble)
        except (ServerUnavailable, LoginRefused) as error:
            if isinstance(error, LoginRefused) and not connection.has_worked:
                raise
            unavailable = error
        backoff = backoff or Backoff(_SHORTEST, _LONGEST)
        pause = backoff.next_pause()
        if asyncio.get_running_loop().time() + pause > deadline:
            raise unavailable
        await asyncio.sleep(pause)


def value_of(reply: Reply) -> Any:
    """Return the reply, unless it is an error: that is raised in our words."""
    if is_error(reply):
        raise translate(reply)
    if isinstance(reply, DocketError):
        raise reply
    return reply


class Backoff:
    """Pauses that grow up to a limit, each moved by chance.

    The jitter keeps a fleet that lost its server together from coming back together.

    Arguments:
        shortest, longest: the first and the longest pause in seconds.
        factor: by how much each pause is longer than the one before.
        jitter: the share of a pause that chance may add or take away.
    """

    def __init__(
        self, shortest: float, longest: float, factor: float = 2.0, jitter: float = 0.3
    ) -> None:
        self._shortest = shortest
        self._longest = longest
        self._factor = factor
        self._jitter = jitter
        self._pause = shortest

    def next_pause(self) -> float:
        """Return the seconds to wait before the next try."""
        pause, self._pause = self._pause, min(self._pause * self._factor, self._longest)
        return pause * random.uniform(1 - self._jitter, 1 + self._jitter)  # noqa: S311

    def reset(self) -> None:
        """Start with the shortest pause again, after a success."""
        self._pause = self._shortest


def _is_passing(connection: Connection, error: ResponseError) -> bool:
    """Return True if the same call may not meet this error again.

    A login that is refused after it was accepted is one: a password rotates, or an ACL is loaded late.
    """
    is_login = connection.has_worked and needs_login([error])
    return is_login or severity(error) in {Severity.TRANSIENT, Severity.SCRIPT_MISSING}
