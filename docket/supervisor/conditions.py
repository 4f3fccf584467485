"""The state of a supervisor, in the words that operators look for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

Name: TypeAlias = Literal[
    "Connected",
    "Valid",
    "Applied",
    "Progressing",
    "Degraded",
    "Watching",
    "OldCode",
    "Drift",
    "RestartRequired",
    "Paused",
    "Deaf",
    "PingLate",
]
"""Connected: Redis does what it is asked to do; if not, the reason is wrong, refused, full or away.
Valid: the file can be used as it is. Applied: it is what runs. Progressing: a change is under way.
Degraded: a pool was given up. Watching: changes of the file are noticed. OldCode: processes run older code
than the files hold. Drift: what runs here is not the active revision, or not the content of the file.
RestartRequired: the file changes what only a restart can. Paused: schedules have no runs, because a row of
failures or an operator has stopped them; one that is paused by its file does not count. Deaf: processes with
free slots claim nothing although work is due, and are replaced. PingLate: a call that does nothing has not
come through a pool in time."""


@dataclass(frozen=True, slots=True)
class SupervisorCondition:
    """One of them.

    Arguments:
        name: which one.
        status: whether it is the case.
        reason: why, in one word.
        message: why, for people.
        since: since when, Unix time in seconds.
    """

    name: Name
    status: bool = False
    reason: str = ""
    message: str = ""
    since: float = 0.0


class Conditions:
    """All of them, as they stand."""

    def __init__(self) -> None:
        now = time.time()
        self._all: dict[Name, SupervisorCondition] = {
            name: SupervisorCondition(name, since=now) for name in get_args(Name)
        }

    def __getitem__(self, name: Name) -> SupervisorCondition:
        return self._all[name]

    def __iter__(self) -> Iterator[SupervisorCondition]:
        return iter(list(self._all.values()))

    def tell(self, name: Name, status: bool, reason: str, message: str = "") -> None:
        """Record that something is the case from now on, or is not."""
        before = self._all[name]
        now = time.time() if status != before.status else before.since
        self._all[name] = replace(before, status=status, reason=reason, message=message, since=now)

    @property
    def fields(self) -> list[dict[str, Any]]:
        """All of them as JSON has them."""
        return [asdict(condition) for condition in self]
