"""``docket task ls`` and ``stats``: what waits or runs, and what has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from ...foundation.lifecycle import ExecutionState
from ..parameters.place import Place, visit
from ..terminal.descriptions import EXECUTIONS, of_execution
from ..terminal.endings import ENDED, STATS, of_ended, of_stats, parse_where, told_reach
from ..terminal.listings import LISTED, pick
from ..terminal.output import Form, note, show

if TYPE_CHECKING:
    from ...docket import Docket
    from ...insights import Choice, HistoryPage, Series, Stats

LIVE_STATES: Final = tuple(state.value for state in LISTED)


@dataclass(frozen=True, slots=True)
class Asked:
    """The options by which what has ended is chosen, as they were typed."""

    since: datetime | None = None
    until: datetime | None = None
    states: Sequence[str] = ()
    task: str | None = None
    where: Sequence[str] = ()
    tags: Sequence[str] = ()
    error: str | None = None

    def choice(self) -> Choice:
        """Return what they mean.

        Raises:
            Misused: a comparison cannot be read.
        """
        from ...insights import Choice  # noqa: PLC0415 - --help needs none of it

        return Choice(
            *(self.since, self.until, self.states, self.task),
            where=parse_where(self.where),
            tags=self.tags,
            error=self.error,
        )


def list_live(
    place: Place, state: str | None, task: str | None, tag: str | None, limit: int, output: Form
) -> None:
    """List what waits or runs, those first that run."""

    async def look(docket: Docket) -> tuple[list[dict[str, Any]], str]:
        from ...execution import Execution  # noqa: PLC0415 - --help needs none of it

        executions = docket.storage.executions
        states = [ExecutionState(state)] if state else [*LISTED]

        async def count() -> int:
            return sum(await executions.stock())

        listed = executions.listed(states, limit + 1)
        picked = await pick(listed, limit, count, task=task, tag=tag, is_filtered=state is not None)
        found = [of_execution(Execution.of(docket, record)) for record in picked.records]
        return found, picked.rest

    found, rest = visit(place, look)
    show("executions", found, EXECUTIONS, output)
    if rest:
        note(rest)


def list_ended(
    place: Place, asked: Asked, limit: int | None, cursor: str | None, output: Form
) -> None:
    """List what has ended, the latest first, and say how far back that reaches."""
    choice = asked.choice()

    async def look(docket: Docket) -> HistoryPage:
        from ...insights.history import PAGE  # noqa: PLC0415 - --help needs none of it

        return await docket.insights.history(choice, limit=limit or PAGE, cursor=cursor or "")

    page = visit(place, look)
    show("ended executions", [of_ended(one) for one in page.entries], ENDED, output)
    note(told_reach(page.reach))
    if page.cursor:
        note(f"there may be more: --cursor {page.cursor} goes on")


def show_stats(place: Place, asked: Asked, output: Form) -> None:
    """Count what has ended, by task, and say from where: the series, or the history, and its reach."""
    choice = asked.choice()

    async def look(docket: Docket) -> Stats | Series:
        if _is_in_series(asked):
            return await docket.insights.series(asked.task, since=asked.since)
        return await docket.insights.stats(choice)

    found = visit(place, look)
    items, notes = of_stats(found)
    show("task statistics", items, STATS, output)
    for line in notes:
        note(line)


def _is_in_series(asked: Asked) -> bool:
    """Return True if nothing but task and time is chosen by, within the time that the series reach."""
    from ...storage.series import RESOLUTIONS  # noqa: PLC0415 - --help needs none of it

    if asked != Asked(since=asked.since, task=asked.task):
        return False
    earliest = datetime.now(timezone.utc) - RESOLUTIONS[-1].reach
    return asked.since is None or asked.since >= earliest
