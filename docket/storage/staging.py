"""The parts of a commit that follow in slices: its schedules, and its strikes on arguments.

A commit is active when its record is, in one short script, however many schedules it has. What it
declares is staged before, and brought over afterwards; the leader goes on with that.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from ..connection.base import Argument, Connection
from .keys import Keys
from .scripting.retrying import read_patiently, run_patiently, value_of
from .scripting.script import Script

_STAGE = Script("stage", ("owner", "token", "kept"))
_FOLLOW = Script(
    "follow",
    (
        "HISTORY",
        "owner",
    ),
)

CHUNK = 200
"""Fields that one script stages."""

KEPT = 3600
"""Seconds for which something stays staged that is never committed."""


class DeclaredSchedule(NamedTuple):
    """One schedule in the words of the scripts."""

    name: str
    timing: str
    """The fields that decide when it is due; as long as they are the same, so is the next time."""
    definition: str
    next_time: int
    """Unix time in ms from which it starts if its timing is new; 0 if it is no longer due."""
    renamed_from: str
    """The name that it had before; empty if it had none."""
    seal: str = ""
    """The signature of the definition; empty if there is none."""


class StruckRule(NamedTuple):
    """A rule in the words of the scripts."""

    identity: str
    action: str
    ends: int
    """Unix time in ms; 0 is never."""
    rule: bytes

    @property
    def is_of_a_task(self) -> bool:
        """True if it strikes every execution of a task."""
        return is_of_a_task(self.identity)


def is_of_a_task(identity: str) -> bool:
    """Return True if the rule of this identity strikes every execution of a task."""
    return identity.startswith("task:")


class Staged(NamedTuple):
    """Something that waits to be committed."""

    token: str
    size: int


class Staging:
    """Access to ``P:staged:…``, and the completion of commits.

    Arguments:
        connection: how the server is reached.
        keys: the docket's.
    """

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def stage(
        self,
        owner: str,
        declared: Sequence[DeclaredSchedule],
        lifted: Sequence[str] = (),
        struck: Sequence[StruckRule] = (),
    ) -> Staged:
        """Write down what is to follow a commit; nothing of it is active.

        Arguments:
            owner: the owner of these schedules and strikes.
            declared: all schedules of the owner.
            lifted: the identities of rules that are removed.
            struck: rules that are added.
        """
        fields: dict[str, Argument] = {f"row:{one.name}": json.dumps(one[1:]) for one in declared}
        fields |= {f"heir:{one.renamed_from}": one.name for one in declared if one.renamed_from}
        fields |= {f"lift:{identity}": b"" for identity in lifted}
        fields |= {
            f"strike:{rule.identity}": f"{rule.action} {rule.ends}\n".encode() + rule.rule
            for rule in struck
        }
        staged = Staged(uuid.uuid4().hex, len(fields))
        # The count comes last: what is not complete is not committed.
        rest = iter([*fields.items(), ("count", staged.size)])
        while chunk := list(islice(rest, CHUNK)):
            call = _STAGE.call(
                self._keys, owner, staged.token, KEPT, *(part for field in chunk for part in field)
            )
            (reply,) = await run_patiently(self._connection, call)
            value_of(reply)
        return staged

    async def follow(self, owner: str, most: int | None = None) -> bool:
        """Carry out what is committed; return True if all of it is done.

        Arguments:
            owner: the owner of the commit.
            most: the maximum number of slices; None is any number.

        Raises:
            ServerUnavailable: Redis did not answer in time; another call goes on.
        """
        done = 0
        while most is None or done < most:
            (reply,) = await run_patiently(self._connection, _FOLLOW.call(self._keys, owner))
            is_more, _ = value_of(reply)
            if not is_more:
                return True
            done += 1
        return False

    async def next_times(self, owner: str, names: Sequence[str]) -> list[int]:
        """Return the next due times of schedules, in ms; 0 for those that are no longer due."""
        moments: list[int] = []
        for at in range(0, len(names), CHUNK):
            fields = [f"next:{owner}/{name}" for name in names[at : at + CHUNK]]
            command = ("HMGET", self._keys.schedules, *fields)
            (reply,) = await read_patiently(self._connection, command)
            moments += [int(moment or 0) for moment in value_of(reply)]
        return moments
