"""Cancels executions by what they are: for ``task cancel``, ``queue purge`` and ``parked discard``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ...foundation.plain import plain
from ..terminal.exit_codes import Misused, Partial
from ..terminal.output import note
from .many import SAMPLE, ask_before, sample
from .typed_values import parse_compared

if TYPE_CHECKING:
    from ...docket import Docket
    from ...operations import Done, Found, Selection
    from ...strikelist import Condition

_WHERE: Final = re.compile(r"(\w+)\s*(==|!=|>=|<=|>|<)(.*)", re.DOTALL)


def parse_where(texts: Sequence[str]) -> tuple[Condition, ...]:
    """Return the comparisons that were typed as ``NAME==VALUE``.

    Raises:
        Misused: one is none.

    Example:
        >>> parse_where(["customer==acme", "amount>=int:5"])
    """
    from ...strikelist import Condition, Operator  # noqa: PLC0415 - --help needs none of it

    found: list[Condition] = []
    for text in texts:
        parts = _WHERE.fullmatch(text.strip())
        if parts is None:
            raise Misused(
                f"expected a comparison such as customer==acme or amount>=int:5, found {text!r}"
            )
        name, operator, value = parts.groups()
        found.append(Condition(name, Operator(operator), parse_compared(value, operator)))
    return tuple(found)


async def cancel_found(
    docket: Docket,
    selection: Selection,
    *,
    verb: str = "cancel",
    author: str,
    reason: str,
    dry_run: bool,
    yes: bool,
) -> str:
    """Cancel what a selection means, after a question at the terminal; return what was done.

    Arguments:
        docket: where.
        selection: what is meant.
        verb: the word of the deed in the audit.
        author: the person who asks for it.
        reason: the reason.
        dry_run: only say what would be done.
        yes: do not ask.

    Raises:
        CommandRefused: the answer was no.
        Misused: there is no terminal to ask at.
        Partial: the arguments of some cannot be read here, so that they were left alone.
    """
    from ...operations import new_deed  # noqa: PLC0415 - --help needs none of it

    found = await docket.operations.find(selection)
    what = f"{_counted(len(found.matches))} of docket {docket.name!r}"
    if dry_run:
        note(_sample(found))
        return _complete(f"Would cancel {what}", found)
    if found.matches and not yes:
        ask_before(f"cancel {what}", _sample(found))
    deed = new_deed()
    done = await docket.operations.cancel(
        *found.matches,
        author=author,
        reason=reason,
        deed=deed,
        verb=verb,
        chosen_by=selection.about,
    )
    told = summary(done, docket.name)
    return _complete(f"{told} (deed {deed})" if done else told, found)


def summary(done: Sequence[Done], docket: str) -> str:
    """Return how many were cancelled, in one line.

    Arguments:
        done: each.
        docket: the name of the docket.
    """
    counts = Counter(one.deed.name for one in done)
    cancelled, running = counts["CANCELLED"], counts["REQUESTED"]
    told = f"Cancelled {_counted(cancelled + running)} of docket {docket!r}"
    if running:
        told += f", of which {running} run and end at their next checkpoint"
    if others := len(done) - cancelled - running:
        told += f"; {others} had ended, or stood for another call, by then"
    return told


def _complete(told: str, found: Found) -> str:
    """Return a sentence if it is the whole truth; raise it, with the rest, if it is not.

    Raises:
        Partial: some could not be read.
    """
    if not found.unreadable:
        return told
    names = ", ".join(map(plain, found.unreadable[:SAMPLE]))
    more = f" and {len(found.unreadable) - SAMPLE} more" if len(found.unreadable) > SAMPLE else ""
    raise Partial(
        f"{told}; left {len(found.unreadable)} alone whose arguments cannot be read here: {names}{more}"
    )


def _sample(found: Found) -> str:
    matches = (f"{plain(one.key)} ({plain(one.task)}, {one.state.value})" for one in found.matches)
    return sample(matches, len(found.matches))


def _counted(number: int) -> str:
    return "1 execution" if number == 1 else f"{number} executions"
