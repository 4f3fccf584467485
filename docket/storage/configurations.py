"""The active configuration, those before it, and the supervisors that follow it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, cast

from ..connection.base import Connection
from ..foundation.plain import plain
from ..foundation.units import from_time
from .executions import queue_argument
from .keys import Keys
from .scripting.replies import pairs
from .scripting.retrying import read_patiently, run_patiently, value_of
from .scripting.script import Script, time_query
from .staging import DeclaredSchedule, Staging, StruckRule, is_of_a_task

logger = logging.getLogger("docket.storage")

_COMMIT = Script(
    "commit",
    (
        *("owner", "base", "token", "entry", "keep", "staged"),
        *("routes", "schemas", "paused", "lifted"),
    ),
)
_BEAT = Script("beat", ("owner", "who", "lease", "about"))
_RESIGN = Script("resign", ("owner", "who"))

_BRIEFLY = timedelta(seconds=1)
"""Time for which a beat is repeated, which the next one follows anyway, and a farewell."""


class RevisionEntry(NamedTuple):
    """One configuration, as it is kept; secrets are masked in it."""

    digest: str
    """Its meaning, as ``docket.config.planning.meaning`` gives it."""
    text: str
    """Its whole content, as TOML."""
    declared: int | None
    """The ``revision`` that the file gives itself."""
    host: str
    """The host that made it active."""
    why: str
    """The reason: applied, or rolled back to another revision."""
    seal: str = ""
    """The signature of all this and of the number of the revision; empty if there is none."""


class Revision(NamedTuple):
    """One configuration that was made active."""

    number: int
    at: int
    """Time at which it became active, Unix time in ms."""
    entry: RevisionEntry
    version: str = ""
    """Random, and another one for each commit: a number comes again where the data have gone back. It is
    unknown in the history."""


class RevisionChange(NamedTuple):
    """The parts that become active with a configuration."""

    schedules: Sequence[DeclaredSchedule] = ()
    """All schedules of the owner."""
    lifted: Sequence[str] = ()
    """The identities of rules that are removed."""
    struck: Sequence[StruckRule] = ()
    """Rules that are added."""
    routes: Mapping[str, str] = {}
    """The queue of each task that has another one than the default."""
    schemas: Mapping[str, int] = {}
    """The shape of the arguments of each task that has another one than the first."""
    paused: Sequence[str] = ()
    """The queues that are paused; ``*`` is every one."""


class Commit(NamedTuple):
    """The outcome of a commit."""

    is_done: bool
    """False if another one had come before."""
    revision: int
    """The active revision."""
    version: str = ""
    """The version of this one, if it is active."""


class Beat(NamedTuple):
    """The answer to a beat of a supervisor."""

    leads: bool
    revision: int
    """The active revision; 0 if there is none."""
    leader: str
    is_unfinished: bool = False
    """True while a part of a commit is still to follow."""
    is_full: bool = False
    """True if the server has no memory left for any other write."""
    version: str = ""
    """The version of the active revision."""


class Supervising(NamedTuple):
    """A supervisor, as it describes itself."""

    who: str
    heard: int
    """Time of its last beat, Unix time in ms."""
    about: dict[str, Any]


class Configurations:
    """Access to ``P:configuration:…``, ``P:revisions:…``, ``P:leader:…`` and ``P:supervisors``."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self.staging = Staging(connection, keys)

    async def current(self, owner: str) -> Revision | None:
        """Return the active configuration of an owner; None if there is none."""
        (reply,) = await read_patiently(
            self._connection, ("HMGET", self._keys.configuration(owner), "entry", "token")
        )
        stamped, version = value_of(reply)
        return None if stamped is None else _revision(stamped, (version or b"").decode())

    async def history(self, owner: str) -> list[Revision]:
        """Return the configurations of an owner that are kept, the newest first."""
        (reply,) = await read_patiently(
            self._connection, ("LRANGE", self._keys.revisions(owner), 0, -1)
        )
        return [_revision(stamped) for stamped in value_of(reply)]

    async def commit(
        self, owner: str, base: int, entry: RevisionEntry, keep: int, change: RevisionChange
    ) -> Commit:
        """Make a configuration active, unless another one has come before.

        Its routes, shapes, paused queues and strikes of whole tasks are active with it. Its schedules, and
        strikes on arguments, follow: ``staging.follow`` carries them out.

        Arguments:
            owner: the owner of the configuration.
            base: the revision that it follows; 0 is none.
            entry: the configuration.
            keep: how many revisions are kept.
            change: the parts that become active with it.
        """
        struck = [rule for rule in change.struck if rule.is_of_a_task]
        lifted = [identity for identity in change.lifted if is_of_a_task(identity)]
        while True:
            staged = await self.staging.stage(
                owner,
                change.schedules,
                [identity for identity in change.lifted if not is_of_a_task(identity)],
                [rule for rule in change.struck if not rule.is_of_a_task],
            )
            call = _COMMIT.call(
                self._keys,
                *(owner, base, staged.token, json.dumps(entry._asdict()), keep, staged.size),
                *(len(change.routes), len(change.schemas), len(change.paused), len(lifted)),
                *(part for route in change.routes.items() for part in route),
                *(part for schema in change.schemas.items() for part in schema),
                *map(queue_argument, change.paused),
                *lifted,
                *(field for rule in struck for field in rule),
            )
            (reply,) = await run_patiently(self._connection, call)
            word, revision = value_of(reply)
            if word != b"UNSTAGED":
                return Commit(word == b"COMMITTED", int(revision), staged.token)

    async def beat(self, owner: str, who: str, lease: int, about: dict[str, Any]) -> Beat:
        """Record the state of a supervisor, and let it lead if no other one does.

        Arguments:
            owner: the owner of the configuration that it follows.
            who: the supervisor.
            lease: ms for which it leads, unless it beats again; 0 if it may not.
            about: its state.
        """
        call = _BEAT.call(self._keys, owner, who, lease, json.dumps(about))
        (reply,) = await run_patiently(self._connection, call, patience=_BRIEFLY)
        leads, revision, leader, unfinished, full, version = value_of(reply)
        return Beat(
            *(bool(leads), int(revision), leader.decode(), bool(unfinished), bool(full)),
            version=version.decode(),
        )

    async def resign(self, owner: str, who: str) -> None:
        """Record that a supervisor is gone, and no longer leads."""
        call = _RESIGN.call(self._keys, owner, who)
        (reply,) = await run_patiently(self._connection, call, patience=_BRIEFLY)
        value_of(reply)

    async def supervisors(self, silence: int) -> list[Supervising]:
        """Return the supervisors of all owners that were heard of lately; an unreadable one is left out.

        Arguments:
            silence: ms for which one may be silent.
        """
        time, reply = await read_patiently(
            self._connection,
            time_query(self._connection, self._keys),
            ("HGETALL", self._keys.supervisors),
        )
        since = from_time(value_of(time)) - silence
        found: list[Supervising] = []
        for name, told in pairs(value_of(reply)).items():
            who = name.decode(errors="replace")
            try:
                found.append(supervising_of(who, told))
            except (ValueError, TypeError) as error:
                logger.error(
                    "Supervisor %s is left out, what is stored is none: %s", plain(who), error
                )
        return sorted(
            (one for one in found if one.heard >= since), key=lambda one: (one.who, one.heard)
        )


def supervising_of(who: str, told: bytes) -> Supervising:
    """Return a supervisor, read from what is stored of it.

    Raises:
        ValueError, TypeError: what is stored is no supervisor.
    """
    heard, _, text = told.partition(b"\n")
    about: Any = json.loads(text)
    if not isinstance(about, dict):
        raise TypeError("expected how a supervisor stands, found something else")
    return Supervising(who, int(heard), cast("dict[str, Any]", about))


_UNREADABLE = RevisionEntry("", "", None, "", "not readable")


def _revision(stamped: bytes, version: str = "") -> Revision:
    """Return a revision, also where something else is stored: that must not end its reader."""
    head, _, entry = stamped.partition(b"\n")
    number = at = 0
    try:
        number, at = map(int, head.split())
        told: Any = RevisionEntry(**json.loads(entry))
    except (ValueError, TypeError):
        return Revision(number, at, _UNREADABLE, version)
    is_ours = isinstance(told.declared, int | None) and all(
        isinstance(text, str) for text in (told.digest, told.text, told.host, told.why, told.seal)
    )
    return Revision(number, at, told if is_ours else _UNREADABLE, version)
