"""Explanations, and the way in which they show times."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final

from ..foundation.durations import format_duration
from ..foundation.plain import plain

_ROUNDED: Final = (
    (timedelta(days=2), timedelta(hours=1)),
    (timedelta(hours=1), timedelta(minutes=1)),
    (timedelta(seconds=1), timedelta(seconds=1)),
)
"""Lengths from which on a duration is rounded, and to what."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is so.

    Arguments:
        says: what it is, in a sentence.
        advice: what can be done about it; empty where nothing has to be.
    """

    says: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The explanation of a state.

    Arguments:
        subject: the key of an execution, or the owner and name of a schedule.
        state: its state.
        cause: the name of the reason, for programs.
        sentence: the reason, in one sentence.
        advice: what can be done about it; empty where nothing has to be.
        facts: further facts, the most important first.
    """

    subject: str
    state: str
    cause: str
    sentence: str
    advice: str
    facts: tuple[Fact, ...] = ()

    def __str__(self) -> str:
        facts = [f"- {_with(fact.says, fact.advice)}" for fact in self.facts]
        return "\n".join([_with(self.sentence, self.advice), *facts])


def _with(sentence: str, advice: str) -> str:
    return f"{sentence}\n  To do: {advice}" if advice else sentence


def at(moment: datetime) -> str:
    """Return a moment as explanations show it.

    Example:
        >>> at(datetime(2026, 11, 28, 7, 30, tzinfo=timezone.utc))
        '2026-11-28 07:30:00 UTC'
    """
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(length: timedelta) -> str:
    """Return a length without more detail than people want to know.

    Example:
        >>> span(timedelta(hours=2, minutes=5, seconds=7.3))
        '2h5m'
    """
    length = abs(length)
    for least, unit in _ROUNDED:
        if length >= least:
            return format_duration((length + unit / 2) // unit * unit)
    return "less than 1s"


def word(text: str) -> str:
    """Return a text from outside as one word of a command."""
    quoted = shlex.quote(plain(text))
    return f"-- {quoted}" if text.startswith("-") else quoted


def named(names: Sequence[str], most: int = 5) -> str:
    """Names in a row, the first of them if they are many.

    Example:
        >>> named(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    shown = ", ".join(map(plain, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def counted(number: int, one: str, many: str) -> str:
    """Return a number with the noun that it counts.

    Example:
        >>> counted(1, "other", "others"), counted(2_000, "other", "others")
        ('1 other', '2,000 others')
    """
    return f"{number:,} {one if number == 1 else many}"
