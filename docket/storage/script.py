"""The typed face of a Lua file: named arguments in, one command out, NOSCRIPT healed.

A script names its arguments in its Python declaration; the loader turns them into Lua locals, so that
no Lua file counts ``ARGV``. Every script is routed by one key of its docket and builds all other keys
from the prefix ``P``, which is legal because a docket lives in one slot.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import resources

from redis.exceptions import NoScriptError

from ..connection.base import Argument, Command, Connection, Reply, ThreadConnection
from .keys import Keys

_INCLUDE = re.compile(r"^--! include (\w+)$", re.MULTILINE)

_INSERT = re.compile(r"^ *--! insert (\w+)$", re.MULTILINE)
"""Where a part of a script stands that has a file of its own, because few calls come there."""

MODULES = ("gates", "leases", "parked", "passed", "suspects", "turns")
"""Files of which few scripts need anything in most calls: what one of them defines is made when it is first
used, as ``gates.leave``. To make all of them took longer than to add one execution."""

_USES = re.compile(rf"\b({'|'.join(MODULES)})\.(?=\w)")

_NAMES = re.compile(r"^local (?:function )?(\w+(?:, \w+)*)", re.MULTILINE)
"""What stands at the top level of a file."""

_ENDING = """
-- What was done before an error is told like the rest: nobody does it again, and somebody may wait for it.
local ok, reply = pcall(script)
send_events()
if ok then return reply end
return error(reply, 0)
"""
"""Ends every script. No script sends its events itself, so that none can forget to."""


@cache
def _read(name: str) -> str:
    directory = resources.files("docket.storage") / "scripts"
    return (directory / f"{name}.lua").read_text("utf-8")


def used_modules(texts: Sequence[str]) -> list[str]:
    """Return the modules that these texts use, and those that are used by these in turn."""
    used = set[str]()
    texts = list(texts)
    while texts:
        new = set(_USES.findall(texts.pop())) - used
        used |= new
        texts.extend(map(_read, new))
    return sorted(used)


def _making(modules: Sequence[str]) -> str:
    """Return the Lua text of the function that gives modules, and makes each when it is first asked for."""
    branches = "".join(
        f"if name == '{name}' then\n{_read(name)}\n{_exports(name)}\nend\n" for name in modules
    )
    return (
        "local modules = {}\nfunction use(name)\nlocal module = modules[name]\n"
        "if module then return module end\nmodule = {}\nmodules[name] = module\n"
        f"{branches}return module\nend"
    )


def _exports(module: str) -> str:
    names = [one for found in _NAMES.findall(_read(module)) for one in found.split(", ")]
    return "\n".join(f"module.{one} = {one}" for one in names)


@dataclass(frozen=True)
class Script:
    """One Lua file and the names of its arguments.

    ``arguments`` become Lua locals of the same names; whatever is passed beyond them stands in ``ARGV``
    from the index ``REST`` on. ``P`` is the prefix of the docket, ``server`` the server,
    whose time was not moved.
    """

    name: str
    arguments: tuple[str, ...] = field(default=())
    is_movable: bool = False
    """Whether it sees the time as tests have moved it."""

    @cached_property
    def source(self) -> str:
        """The Lua text that the server gets: arguments, what goes before every script, includes, body."""
        names = ["P", *self.arguments]
        values = [f"ARGV[{index}]" for index in range(1, len(names) + 1)]
        body = _INSERT.sub(lambda found: _read(found[1]), _read(self.name))
        included = [_read(name) for name in _INCLUDE.findall(body)]
        used = used_modules([*included, body])
        text = "\n".join(
            [
                f"local {', '.join(names)} = {', '.join(values)}",
                f"local REST = {len(names) + 1}",
                "local server = redis",
                *map(_read, ["probe", *["moved"] * self.is_movable, "format", "events"]),
                *(["local use"] if used else []),
                *included,
                *([_making(used)] if used else []),
                # A function, so that events are sent also where it ends by an error.
                "local function script()",
                body,
                "end",
                _ENDING,
            ]
        )
        # A table that makes itself when it is first looked into costs each call more than this.
        return _USES.sub(r"use('\1').", text)

    @cached_property
    def sha(self) -> str:
        """The name under which the server remembers it."""
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    @cached_property
    def movable(self) -> Script:
        """The same script, as it is run where time can be moved."""
        return replace(self, is_movable=True)

    def call(self, keys: Keys, *arguments: Argument) -> Call:
        """The call with these arguments, not yet sent."""
        return Call(self, (keys.future, keys.prefix, *arguments))


_TIME = Script("time")


@dataclass(frozen=True, slots=True)
class Call:
    """A script with its arguments, ready to be sent, and safe to be sent twice."""

    script: Script
    arguments: tuple[Argument, ...]

    @property
    def command(self) -> Command:
        """What is sent as a rule: the short form."""
        return ("EVALSHA", self.script.sha, 1, *self.arguments)

    @property
    def full_command(self) -> Command:
        """What is sent when the server does not know the script (restart, failover, flush)."""
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
    """The command that tells the server's time, as the scripts of the docket see it."""
    return _TIME.movable.call(keys).full_command if connection.is_throwaway else ("TIME",)


def run_blocking(connection: ThreadConnection, *calls: Call) -> list[Reply]:
    """As ``run``, for a thread."""
    replies = connection.send(*[call.command for call in calls])
    missing = _missing(replies)
    if missing:
        healed = connection.send(*_healing(calls, missing))
        _fill_in(replies, missing, healed)
    return replies


def _missing(replies: Sequence[Reply]) -> list[int]:
    return [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]


def _healing(calls: Sequence[Call], missing: Sequence[int]) -> list[Command]:
    """What was missing once more: the first call of each script brings its text for all that follow."""
    told = set[Script]()
    commands: list[Command] = []
    for call in (calls[index] for index in missing):
        commands.append(call.command if call.script in told else call.full_command)
        told.add(call.script)
    return commands


def _fill_in(replies: list[Reply], indexes: list[int], healed: list[Reply]) -> None:
    for index, reply in zip(indexes, healed, strict=True):
        replies[index] = reply
