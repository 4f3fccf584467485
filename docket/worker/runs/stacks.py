"""Stacks of runs: where each of them stands now, read from another thread."""

from __future__ import annotations

import asyncio
import linecache
import sys
from collections.abc import Coroutine, Iterator
from types import FrameType
from typing import Any, Final, cast

from .fingerprint import FOREIGN, OURS
from .slots import Run

MOST: Final = 100
"""Frames that are shown of one run, at most."""

_INSIDE: Final = (
    ("cr_frame", "cr_await"),
    ("gi_frame", "gi_yieldfrom"),
    ("ag_frame", "ag_await"),
)
"""Attributes of what can be awaited: its frame, and what it awaits itself."""


def stack_of(run: Run, loop_thread: int) -> list[dict[str, Any]]:
    """Return the frames of a run, the innermost first: those of the user's code, then those of libraries.

    Where it has none of its own, as while its dependencies are resolved, the innermost of ours stands for it.

    Arguments:
        run: what runs.
        loop_thread: the thread of the event loop.
    """
    frames = list(_frames(run, loop_thread))
    frames.reverse()
    users = [one for one in frames if not one[0].startswith(FOREIGN)]
    libraries = [
        one for one in frames if one[0].startswith(FOREIGN) and not one[0].startswith(OURS)
    ]
    shown = users + _within(frames, users, libraries) or frames[:1]
    return [
        {
            "file": file,
            "line": line,
            "function": function,
            "text": linecache.getline(file, line).strip(),
            "is_users": not file.startswith(FOREIGN),
        }
        for file, line, function in shown[:MOST]
    ]


_Place = tuple[str, int, str]


def _within(frames: list[_Place], users: list[_Place], libraries: list[_Place]) -> list[_Place]:
    """Return the frames of libraries that the user's code has called: those that are further inside."""
    if not users:
        return libraries
    return [one for one in frames[: frames.index(users[0])] if one in libraries]


def _frames(run: Run, loop_thread: int) -> Iterator[_Place]:
    """Yield the places where a run stands, the outermost first."""
    if run.thread is not None:
        yield from _of_thread(run.thread)
    elif (task := run.task) is not None:
        if getattr(task.get_coro(), "cr_running", False):
            yield from _of_thread(loop_thread)
        else:
            yield from _of_task(task, {id(task)}, run.coroutine)


def _of_thread(thread: int) -> Iterator[_Place]:
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - there is no other way
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return map(_place, reversed(frames))


def _of_task(
    task: asyncio.Task[Any], seen: set[int], driven: Coroutine[Any, Any, Any] | None = None
) -> Iterator[_Place]:
    """Yield the places of a task, then of the tasks that it waits for.

    Arguments:
        task: the task.
        seen: the tasks that were looked at.
        driven: a coroutine that it drives itself, which nothing that it awaits leads to.
    """
    yield from _of_awaitable(task.get_coro())
    yield from _of_awaitable(driven)
    for other in _awaited_by(task):
        if id(other) not in seen:
            seen.add(id(other))
            yield from _of_task(other, seen)


def _of_awaitable(awaitable: Any) -> Iterator[_Place]:
    while awaitable is not None:
        for frame, inner in _INSIDE:
            found = getattr(awaitable, frame, None)
            if found is not None:
                yield _place(found)
                awaitable = getattr(awaitable, inner, None)
                break
        else:
            return


def _awaited_by(task: asyncio.Task[Any]) -> Iterator[asyncio.Task[Any]]:
    """Yield the tasks that a task waits for: one, or those of ``gather``."""
    waiter = getattr(task, "_fut_waiter", None)
    found: list[Any] = [waiter, *(getattr(waiter, "_children", None) or ())]
    for one in found:
        if isinstance(one, asyncio.Task) and not one.done():
            yield cast("asyncio.Task[Any]", one)


def _place(frame: FrameType) -> _Place:
    return frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name
