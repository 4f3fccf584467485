"""``docket clear``: cancels everything that waits."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ...foundation.plain import plain
from ..parameters.author import Author, Reason
from ..parameters.author import author as me
from ..parameters.many import SAMPLE, DryRun, Yes, ask, sample
from ..parameters.place import Config, Name, Place, Url, visit
from ..terminal.output import note, say

if TYPE_CHECKING:
    from ...docket import Docket


def clear(
    *,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    reason: Reason = "",
    author: Author = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Cancel everything that is queued or scheduled; what runs goes on."""
    asks = not yes and sys.stdin.isatty()

    async def work(docket: Docket) -> str:
        if dry_run or asks:
            count, shown = await _waiting(docket)
            told = (
                f"{_executions(count)} of docket {docket.name!r} at {docket.storage.connection.url}"
            )
            if dry_run:
                note(shown)
                return f"Would clear {told}"
            ask(f"{shown}\nThis cancels {told}.")
        # Scripts read it: as pydocket says it, one or many.
        count = await docket.clear(author=me(author), reason=reason)
        return f"Cleared {count} tasks from docket {docket.name!r}"

    say(visit(Place(docket, url, config), work))


async def _waiting(docket: Docket) -> tuple[int, str]:
    """Return how many would be cancelled, and the first of them by name."""
    from ...execution import Execution  # noqa: PLC0415 - --help needs none of these
    from ...foundation.lifecycle import ExecutionState  # noqa: PLC0415
    from ..terminal.listings import pick  # noqa: PLC0415

    executions = docket.storage.executions
    stock = await executions.stock()
    count = stock.queued + stock.scheduled
    states = (ExecutionState.QUEUED, ExecutionState.SCHEDULED)

    async def counted() -> int:
        return count

    picked = await pick(executions.listed(states, SAMPLE + 1), SAMPLE, counted)
    calls = (plain(Execution.of(docket, record).call_repr()) for record in picked.records)
    return count, sample(calls, count)


def _executions(count: int) -> str:
    return "1 execution" if count == 1 else f"{count} executions"
