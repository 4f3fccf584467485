"""``docket clear``: cancels everything that waits."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ..plain import plain
from .exits import Refused
from .output import note, say
from .place import Config, Name, Place, Url, visit

if TYPE_CHECKING:
    from ..docket import Docket

SAMPLE: Final = 5

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only show how much it would be, and a sample.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Only a terminal is asked.")]


def clear(
    *,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Cancel everything that is queued or scheduled; what runs goes on."""
    asks = not yes and sys.stdin.isatty()

    async def work(docket: Docket) -> str:
        if dry_run or asks:
            count, sample = await _waiting(docket)
            told = (
                f"{_executions(count)} of docket {docket.name!r} at {docket.storage.connection.url}"
            )
            if dry_run:
                note(sample)
                return f"Would clear {told}"
            ask(f"{sample}\nThis cancels {told}.")
        # Scripts read it: as pydocket says it, one or many.
        return f"Cleared {await docket.clear()} tasks from docket {docket.name!r}"

    say(visit(Place(docket, url, config), work))


def ask(what: str) -> None:
    """Ask the terminal whether to go on; where there is none, nobody is asked.

    Arguments:
        what: what is about to happen.

    Raises:
        Refused: the answer was no.
    """
    if sys.stdin.isatty():
        note(what)
        if not typer.confirm("Go on?", err=True):
            raise Refused("Nothing was done")


async def _waiting(docket: Docket) -> tuple[int, str]:
    """How many would go, and the first of them by their names."""
    snapshot = await docket.snapshot()
    waiting = [one for one in snapshot.future if one.state.value in ("scheduled", "queued")]
    shown = [plain(one.call_repr()) for one in waiting[:SAMPLE]]
    more = [f"and {len(waiting) - SAMPLE} more"] if len(waiting) > SAMPLE else []
    return len(waiting), "\n".join([*shown, *more])


def _executions(count: int) -> str:
    return "1 execution" if count == 1 else f"{count} executions"
