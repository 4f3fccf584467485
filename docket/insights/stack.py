"""Stacks: where a running execution stands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta

from ..foundation.durations import format_duration
from ..foundation.plain import plain

BLOCKED = timedelta(seconds=1)
"""Time without a turn of the event loop from which on it is mentioned."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A place in the code.

    Arguments:
        file: its path at the worker.
        line: its number.
        function: its name.
        text: the line itself; empty if the worker cannot read it.
        is_users: whether it is of the application, not of a library.
    """

    file: str
    line: int
    function: str
    text: str
    is_users: bool

    def __str__(self) -> str:
        return plain(f"{self.file}:{self.line} in {self.function}: {self.text}")


@dataclass(frozen=True, slots=True)
class Stack:
    """The place where a running execution stands.

    Arguments:
        key: the execution.
        task: its task.
        worker: who runs it.
        is_thread: whether it is a plain function, in a thread.
        loop_stands: the time for which the event loop of the worker has not turned.
        frames: the places, the innermost first: those of the application, then those of libraries.
    """

    key: str
    task: str
    worker: str
    is_thread: bool
    loop_stands: timedelta
    frames: tuple[Frame, ...]

    def __str__(self) -> str:
        """Return it as people read it, a line for each place."""
        where = "in a thread of" if self.is_thread else "in the event loop of"
        lines = [plain(f"{self.key} ({self.task}) stands {where} worker {self.worker}:")]
        lines += [f"  {frame}" for frame in self.frames]
        if self.loop_stands >= BLOCKED:
            stands = format_duration(timedelta(seconds=round(self.loop_stands.total_seconds())))
            lines.append(f"the event loop of the worker has not turned for {stands}")
        return "\n".join(lines)


def stack_from(key: str, task: str, worker: str, answer: bytes) -> Stack:
    """Return the stack that a worker has answered with."""
    told = json.loads(answer)
    return Stack(
        key,
        task,
        worker,
        told["is_thread"],
        timedelta(seconds=told["loop_stands"]),
        tuple(Frame(**frame) for frame in told["frames"]),
    )
