"""The situation of a schedule: when it is due next, and why not now, in one question."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ...connection.base import Connection
from ...errors import Undecodable, UnknownSchedule
from ...foundation.plain import plain
from ...foundation.units import MILLISECOND, from_milliseconds
from ..configurations import Supervising, supervising_of
from ..keys import Keys
from ..schedules import DueOutcome, Known, known_of, outcomes_of
from ..scripting.replies import pairs
from ..scripting.retrying import run_patiently, value_of
from ..scripting.script import Script
from ..strikes import StoredRule, stored_rule

logger = logging.getLogger("docket.storage")

_SITUATION = Script("schedule_situation", ("name",))
_LIVE = ("scheduled", "queued", "running")
SILENCE = timedelta(seconds=10)
"""Time for which a supervisor may be silent and still count: it beats every second."""


@dataclass(frozen=True, slots=True)
class ScheduleSituation:
    """The state of a schedule, and what is around it.

    Arguments:
        id: owner/name.
        now: the server's time.
        known: what Redis holds of it; None if no active file declares it.
        forgotten_in: the time for which what has happened to it is remembered, if it is not declared.
        outcomes: what became of its last due times, the latest first.
        run: the key of the run that has its turn, or had it last.
        run_is_live: true while that run is not over.
        waiting: how many of its runs wait for that one.
        leader: the supervisor that runs the schedules of its owner.
        supervisors: those of its owner that live.
        is_following: whether a commit is still being carried out.
        rules: the strike of its whole task, by its identity, if there is one.
    """

    id: str
    now: datetime
    known: Known | None
    forgotten_in: timedelta | None = None
    outcomes: tuple[DueOutcome, ...] = ()
    run: str = ""
    run_is_live: bool = False
    waiting: int = 0
    leader: str = ""
    supervisors: tuple[Supervising, ...] = ()
    is_following: bool = False
    rules: Mapping[str, StoredRule] = field(default_factory=dict[str, StoredRule])


class ScheduleSituations:
    """Reader of the situations of schedules."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def of(self, name: str) -> ScheduleSituation | None:
        """Return the situation of a schedule, read in one command; None if there is no such schedule.

        Arguments:
            name: owner/name, or the name alone where only one owner has one so called.

        Raises:
            UnknownSchedule: there are several.
            Undecodable: something else is stored there.
        """
        (reply,) = await run_patiently(self._connection, _SITUATION.call(self._keys, name))
        parts: list[Any] = value_of(reply)
        if not parts:
            return None
        told = {word.decode(): value for word, value in zip(parts[::2], parts[1::2], strict=True)}
        if "names" in told:
            ids = ", ".join(sorted(plain(one.decode(errors="replace")) for one in told["names"]))
            raise UnknownSchedule(f"several owners have a schedule {name!r}: say which, of {ids}")
        try:
            return _situation(told)
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            raise Undecodable(
                f"expected what has happened to the schedule {plain(name)!r}, found something else "
                f"({error}); declare it again, or take that away"
            ) from error


def _situation(told: dict[str, Any]) -> ScheduleSituation:
    id_ = told["id"].decode(errors="replace")
    now = from_milliseconds(int(told["now"]))
    state = pairs(told.get("state", []))
    outcomes = outcomes_of(id_, told.get("outcomes", []))
    fields = {
        f"{field}:{id_}".encode(): told[field]
        for field in ("definition", "next", "seal")
        if field in told
    }
    owner, left = id_.partition("/")[0], int(told.get("left", -1))
    return ScheduleSituation(
        id=id_,
        now=now,
        known=known_of(id_, fields, state, outcomes) if "definition" in told else None,
        forgotten_in=left * MILLISECOND if left > 0 else None,
        outcomes=tuple(outcomes),
        run=told.get("run", b"").decode(errors="replace"),
        run_is_live=told.get("run_state", b"").decode() in _LIVE,
        waiting=int(told.get("waiting", 0)),
        leader=told.get("leader", b"").decode(errors="replace"),
        supervisors=tuple(_living(pairs(told["supervisors"]), owner, now)),
        is_following=bool(told.get("following")),
        rules={f"task:{told['task'].decode(errors='replace')}": stored_rule(told["rule"])}
        if "rule" in told
        else {},
    )


def _living(told: dict[bytes, bytes], owner: str, now: datetime) -> list[Supervising]:
    """Return the supervisors of an owner that were heard of lately; an unreadable one is left out."""
    found: list[Supervising] = []
    for name, text in told.items():
        who = name.decode(errors="replace")
        try:
            one = supervising_of(who, text)
        except (ValueError, TypeError) as error:
            logger.error("Supervisor %s is left out, what is stored is none: %s", plain(who), error)
            continue
        if one.about.get("owner") == owner and from_milliseconds(one.heard) >= now - SILENCE:
            found.append(one)
    return sorted(found, key=lambda one: one.who)
