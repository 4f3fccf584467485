"""Parked executions: their reasons, their tasks, and what became of those that were released."""

from __future__ import annotations

from typing import Any, NamedTuple

UNREADABLE = (
    "%s is parked, but what is stored under its key is no record: it is no longer listed, "
    "and what is there is left alone"
)
"""Log message for a parked key that holds something else."""


class Group(NamedTuple):
    """The executions that are parked for one reason and of one task."""

    reason: str
    task: str
    """The name of the task; of what a strike has parked, the identity of its rule."""

    @classmethod
    def read(cls, text: bytes) -> Group:
        """Return the group of a member of ``P:parked-groups``."""
        reason, _, task = text.decode(errors="replace").partition(":")
        return cls(reason, task)

    def __str__(self) -> str:
        return f"{self.reason}:{self.task}"


class Released(NamedTuple):
    """The outcome of releasing parked executions."""

    released: list[tuple[str, str]]
    """Keys and tasks."""
    unreadable: list[str]
    """Keys whose record is none: they are no longer listed as parked."""


def released_of(reply: list[Any]) -> tuple[bool, Released]:
    """Return True if there may be more, and what a script has released."""
    more, unreadable, *found = reply
    names = [name.decode() for name in found]
    pairs = list(zip(names[::2], names[1::2], strict=True))
    return bool(more), Released(pairs, [key.decode(errors="replace") for key in unreadable])
