"""The typed face of a Lua file: named arguments in, one command out, NOSCRIPT healed.

A script names its arguments in its Python declaration; the loader turns them into Lua locals, so that
no Lua file counts ``ARGV``. Every script is routed by one key of its docket and builds all other keys
from the prefix ``P``, which is legal because a docket lives in one slot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from redis.exceptions import NoScriptError

from ...connection.base import Argument, Command, Connection, Reply, ThreadConnection
from ..keys import Keys
from .source import assemble

KNOWN = frozenset({"HISTORY", "RESULTS"})
"""Arguments that are the same in all calls of a docket."""


@dataclass(frozen=True)
class Script:
    """One Lua file and the names of its arguments.

    ``arguments`` become Lua locals of the same names; what is passed beyond them stands in ``ARGV``
    from the index ``REST`` on. ``P`` is the prefix of the docket, ``server`` the server,
    whose time was not moved. Scripts that end executions name ``HISTORY`` first, and scripts that count
    results ``RESULTS``: those are known to the caller.
    """

    name: str
    arguments: tuple[str, ...] = field(default=())
    is_movable: bool = False
    """True if it sees the time as tests have moved it."""

    @cached_property
    def source(self) -> str:
        """The Lua text that the server gets."""
        return assemble(self.name, self.arguments, is_movable=self.is_movable)

    @cached_property
    def sha(self) -> str:
        """The name under which the server remembers it."""
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    @cached_property
    def _known(self) -> tuple[str, ...]:
        """Attributes of the keys of a docket that are its first arguments."""
        return tuple(name.lower() for name in self.arguments if name in KNOWN)

    @cached_property
    def movable(self) -> Script:
        """The same script, as it is run where time can be moved."""
        return replace(self, is_movable=True)

    def call(self, keys: Keys, *arguments: Argument) -> Call:
        """Return the call with these arguments, not yet sent."""
        known = [getattr(keys, name) for name in self._known]
        return Call(self, (keys.future, keys.prefix, *known, *arguments))


_TIME = Script("time")


@dataclass(frozen=True, slots=True)
class Call:
    """A script with its arguments, ready to be sent, and safe to be sent twice."""

    script: Script
    arguments: tuple[Argument, ...]

    @property
    def command(self) -> Command:
        """The command that is sent as a rule: the short form."""
        return ("EVALSHA", self.script.sha, 1, *self.arguments)

    @property
    def full_command(self) -> Command:
        """The command that is sent when the server does not know the script (restart, failover, flush)."""
        return ("EVAL", self.script.source, 1, *self.arguments)


async def run(connection: Connection, *calls: Call) -> list[Reply]:
    """Send all calls in one round trip; errors come back as values, in order.

    Raises:
        ServerUnavailable: as ``Connection.send``.
    """
    if connection.is_throwaway:
        calls = tuple(Call(call.script.movable, call.arguments) for call in calls)
    replies = await connection.send(*[call.command for call in calls])
    missing = _missing(replies)
    if missing:
        healed = await connection.send(*_healing(calls, missing))
        _fill_in(replies, missing, healed)
    return replies


def time_query(connection: Connection, keys: Keys) -> Command:
    """Return the command that asks for the server's time, as the scripts of the docket see it."""
    return _TIME.movable.call(keys).full_command if connection.is_throwaway else ("TIME",)


def run_blocking(connection: ThreadConnection, *calls: Call) -> list[Reply]:
    """Send all calls as ``run`` does, from a thread."""
    replies = connection.send(*[call.command for call in calls])
    missing = _missing(replies)
    if missing:
        healed = connection.send(*_healing(calls, missing))
        _fill_in(replies, missing, healed)
    return replies


def _missing(replies: Sequence[Reply]) -> list[int]:
    return [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]


def _healing(calls: Sequence[Call], missing: Sequence[int]) -> list[Command]:
    """Return the missing calls once more: the first one of each script brings its text for the others."""
    told = set[Script]()
    commands: list[Command] = []
    for call in (calls[index] for index in missing):
        commands.append(call.command if call.script in told else call.full_command)
        told.add(call.script)
    return commands


def _fill_in(replies: list[Reply], indexes: list[int], healed: list[Reply]) -> None:
    for index, reply in zip(indexes, healed, strict=True):
        replies[index] = reply
