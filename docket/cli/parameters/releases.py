"""Selects parked executions for ``docket parked release``, and reports their outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...foundation.plain import plain
from ..terminal.descriptions import known_tasks
from ..terminal.exit_codes import CommandRefused, Misused, Partial
from ..terminal.output import note
from .many import account

if TYPE_CHECKING:
    from ...docket import Docket
    from ...operations import Done
    from ...storage.parked import Group

STRUCK: Final = "struck"
"""Reason of executions that a strike keeps back; they are released with the strike, and no other way."""

_WHY: Final = {
    "MOVED": "its key stands for another call by now",
    "UNKNOWN": "there is no such execution",
    "FAILED": "its record is damaged; `docket fsck`",
}


@dataclass(frozen=True, slots=True)
class ParkedChoice:
    """A selection of parked executions.

    Arguments:
        keys: these; without any, all that the others let through.
        task: those of this task.
        reason: those that are parked for this reason.
    """

    keys: Sequence[str] = ()
    task: str | None = None
    reason: str | None = None

    def check(self) -> None:
        """Refuse a choice that says two things.

        Raises:
            Misused: it does.
        """
        if self.keys and (self.task is not None or self.reason is not None):
            raise Misused("expected keys, or --task and --parked-for, found both; give one kind")

    def is_for(self, reason: str) -> bool:
        """Return True if those that are parked for a reason are meant; a detail of it need not be named."""
        return self.reason in (None, reason, reason.partition(" ")[0])

    async def find(self, docket: Docket) -> tuple[Mapping[Group, int], int]:
        """Count what can be released, by group, and what a strike keeps back."""
        groups = await docket.storage.workers.parked_by_group()
        meant = {group: count for group, count in groups.items() if self.is_for(group.reason)}
        struck = 0
        for group, count in meant.items():
            if group.reason == STRUCK:
                struck += (
                    count if self.task is None else await _struck(docket, group, count, self.task)
                )
        free = {
            group: count
            for group, count in meant.items()
            if group.reason != STRUCK and self.task in (None, group.task)
        }
        return free, struck


async def _struck(docket: Docket, group: Group, count: int, task: str) -> int:
    """Count the executions of a task that one rule keeps back."""
    kind, _, name = group.task.partition(":")
    if kind == "task":
        return count if name == task else 0
    # A rule on arguments may be one for several tasks.
    records = docket.storage.executions.parked(group=group)
    return sum([record.task == task async for record in records])


async def release_groups(
    docket: Docket, groups: Mapping[Group, int], author: str, reason: str
) -> tuple[int, int]:
    """Release groups of parked executions; return how many were, and how many a strike keeps."""
    from ...operations import Deed  # noqa: PLC0415 - --help needs none of it

    keys: list[str] = []
    for group in groups:
        keys += [record.key async for record in docket.storage.executions.parked(group=group)]
    chosen_by = {"parked": {str(group): count for group, count in groups.items()}}
    done = await docket.operations.release(*keys, author=author, reason=reason, chosen_by=chosen_by)
    counts = Counter(one.deed for one in done)
    return counts[Deed.RELEASED], counts[Deed.STRUCK]


async def warn_of_unknown(docket: Docket, groups: Mapping[Group, int]) -> None:
    """Say which tasks are known to no worker: they are parked again."""
    unknown = {group.task for group in groups} - await known_tasks(docket)
    if unknown:
        note(
            f"no worker knows {plain(', '.join(sorted(unknown)))}: the next one that finds them parks them "
            "again; start a worker with their code, and it releases them by itself"
        )


def complain_of_struck(struck: int, released: int) -> None:
    """Raise what a strike has kept from being released, if anything.

    Raises:
        Partial: others were released.
        CommandRefused: nothing was.
    """
    if not struck:
        return
    kind = Partial if released else CommandRefused
    raise kind(
        f"Released {released}; {struck} stay parked, because they are struck: `docket strikes ls` "
        "lists the strikes, `docket restore` takes one back and releases what it has parked"
    )


def counted_groups(groups: Mapping[Group, int]) -> str:
    """Return groups with the size of each, in one line."""
    return (
        ", ".join(
            f"{count} × {plain(group.task)} ({plain(group.reason)})"
            for group, count in groups.items()
        )
        or "nothing"
    )


def released(done: Sequence[Done], docket: str, verb: str) -> str:
    """Return what became of executions that were named, in one line.

    Arguments:
        done: each.
        docket: the name of the docket.
        verb: what was done to them.

    Raises:
        NotFound: there is none of them.
        CommandRefused: none of them could be released.
        Partial: some could not.
    """
    counts = Counter(one.deed.name for one in done)
    told = f"{verb} {counts['RELEASED']} of docket {docket!r}"
    return account(told, done, "RELEASED", _why)


def _why(one: Done) -> str:
    if one.deed.name == "NOT_PARKED":
        return f"it is not parked, it is {one.detail}"
    if one.deed.name == "STRUCK":
        return f"the strike {plain(one.detail)} keeps it; `docket strikes ls`, `docket restore`"
    return _WHY[one.deed.name]
