"""Selects dead letters for ``docket dead retry`` and ``discard``, and reports their outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ...foundation.plain import plain
from ..terminal.exit_codes import Misused
from ..terminal.output import note
from .many import account, ask_before, sample
from .typed_values import parse_argument

if TYPE_CHECKING:
    from ...docket import Docket
    from ...operations import Deed, Done
    from ...storage.executions import Record

_WHY: Final = {
    "STRUCK": "a strike on its task keeps it; `docket strikes ls` lists the strikes",
    "UNKNOWN": "there is no such execution",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A selection of dead letters.

    Arguments:
        keys: these; without any, all that the others let through.
        task: those of this task.
        error: those whose error has this text in it.
        since: those that failed no longer ago than this.
    """

    keys: Sequence[str] = ()
    task: str | None = None
    error: str | None = None
    since: timedelta | None = None

    def check(self) -> None:
        """Refuse a choice of nothing, and one that says two things.

        Raises:
            Misused: it is one of these.
        """
        by_filter = [one for one in (self.task, self.error, self.since) if one is not None]
        if self.keys and by_filter:
            raise Misused(
                "expected keys, or --task, --error and --since, found both; give one kind"
            )
        if not self.keys and not by_filter:
            raise Misused(
                "expected which dead letters are meant: their keys, or --task, --error, --since"
            )

    @property
    def about(self) -> dict[str, Any]:
        """The choice as the audit has it."""
        return {"task": self.task, "error": self.error, "since": self.since}

    async def find(self, docket: Docket) -> list[str]:
        """Return the keys of those that are meant."""
        if self.keys:
            return list(dict.fromkeys(self.keys))
        executions = docket.storage.executions
        now = await executions.now()
        return [one.key async for one in executions.dead() if self._lets_through(one, now)]

    def _lets_through(self, record: Record, now: int) -> bool:
        is_late = self.since is None or (
            record.completed_at is not None
            and now / 1000 - record.completed_at.timestamp() <= self.since.total_seconds()
        )
        return (
            is_late
            and self.task in (None, record.task)
            and (self.error is None or self.error in (record.error or ""))
        )


def parse_changes(texts: Sequence[str]) -> dict[str, Any]:
    """Return the arguments that were typed as ``name=VALUE``.

    Raises:
        Misused: one has no name, or no value.

    Example:
        >>> parse_changes(["customer=acme", "amount=int:5"])
        {'customer': 'acme', 'amount': 5}
    """
    changes: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise Misused(f"expected NAME=VALUE such as amount=int:5 after --set, found {text!r}")
        changes[name] = parse_argument(value)
    return changes


def parse_rate(text: str) -> float:
    """Return how many a second were typed as ``10/s`` or ``30/m``.

    Raises:
        Misused: it is neither.

    Example:
        >>> parse_rate("30/m")
        0.5
    """
    count, _, unit = text.partition("/")
    seconds = {"s": 1, "m": 60, "h": 3600}.get(unit.strip() or "s")
    if seconds is None or not count.strip().isdigit() or not int(count):
        raise Misused(f"expected a rate such as 10/s or 30/m, found {text!r}")
    return int(count) / seconds


async def chosen(
    docket: Docket, choice: Choice, verb: str, *, dry_run: bool, yes: bool
) -> list[str]:
    """Return the chosen keys, after a question at the terminal; empty if nothing is to be done.

    Raises:
        CommandRefused: the answer was no.
        Misused: there is no terminal to ask at.
    """
    keys = await choice.find(docket)
    deed = f"{verb} {_counted(len(keys))} of docket {docket.name!r}"
    shown = sample(map(plain, keys), len(keys))
    if dry_run:
        note(f"Would {deed}")
        if keys:
            note(shown)
        return []
    if not choice.keys and keys and not yes:
        ask_before(deed, shown)
    return keys


def summary(done: Sequence[Done], good: Deed, verb: str) -> str:
    """Return the outcome in one line.

    Arguments:
        done: each.
        good: the outcome that was wanted.
        verb: what was done to them.

    Raises:
        NotFound: there was only one, and there is none of that key.
        CommandRefused: none of them is a dead letter that lets it be done.
        Partial: it was done to some of them only.
    """
    counts = Counter(one.deed.name for one in done)
    told = f"{verb} {_counted(counts[good.name])}"
    return account(told, done, good.name, _why, _counted)


def _why(one: Done) -> str:
    if one.deed.name == "NOT_DEAD":
        return f"it is not a dead letter{f', it is {one.detail}' if one.detail else ''}"
    return _WHY.get(one.deed.name) or plain(one.detail)


def _counted(number: int) -> str:
    return "1 dead letter" if number == 1 else f"{number} dead letters"
