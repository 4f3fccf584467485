"""Lists that end where they are full, and say what they leave out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from ...foundation.call_options import CallOptions
from ...foundation.lifecycle import ExecutionState

if TYPE_CHECKING:
    from ...storage.executions import Record

LOOKED_AT: Final = 10_000
"""Executions that are looked at for those of one task, at most, unless more of them are asked for."""

Limit = Annotated[int, typer.Option(min=1, help="The number of entries to list.")]

MOST: Final = 1000
"""Number of executions listed unless another limit is given."""

LISTED: Final = (ExecutionState.RUNNING, ExecutionState.QUEUED, ExecutionState.SCHEDULED)
"""States that wait or run, in the order in which they are listed."""


class Picked(NamedTuple):
    """The executions to list."""

    records: list[Record]
    rest: str
    """A sentence about those that are not listed; empty if all are."""


async def pick(
    records: AsyncIterator[Record],
    limit: int,
    count: Callable[[], Awaitable[int]],
    *,
    task: str | None = None,
    tag: str | None = None,
    is_filtered: bool = False,
) -> Picked:
    """Pick the executions to list, and look no further.

    Arguments:
        records: all there are.
        limit: how many are listed.
        count: counts all of them; called only where some are left out.
        task: the task that they are of; None is any.
        tag: a tag that they have; None is any, or none.
        is_filtered: whether others were left out before: then there is no count of the rest.
    """
    picked: list[Record] = []
    most, looked = max(limit, LOOKED_AT), 0
    async for record in records:
        is_wanted = task in (None, record.task) and (
            tag is None or tag in CallOptions.read(record.options).tags
        )
        if len(picked) == limit:
            is_filtered = is_filtered or not (task is None is tag)
            return Picked(picked, await _rest(limit, count, is_wanted, is_filtered))
        if looked == most:
            total = await count()
            return Picked(
                picked, f"only {most} of {total} were looked at; --limit {total} looks at all"
            )
        looked += 1
        if is_wanted:
            picked.append(record)
    return Picked(picked, "")


async def _rest(
    limit: int,
    count: Callable[[], Awaitable[int]],
    is_wanted: bool,
    is_filtered: bool,
) -> str:
    if is_filtered:
        are = "are" if is_wanted else "may be"
        return f"there {are} more; a higher --limit lists them, too"
    total = await count()
    return f"{total - limit} more; --limit {total} lists them, too"
