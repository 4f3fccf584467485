"""A sample, a question and an account: the parts of every command that acts on many executions."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ...foundation.plain import plain
from ..terminal.exit_codes import CommandRefused, Misused, NotFound, Partial
from ..terminal.output import note

if TYPE_CHECKING:
    from ...operations import Done

SAMPLE: Final = 5
"""Number of executions that are named before many are acted on, or left alone."""

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only show the number of executions, and a sample.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Only a terminal is asked.")]


def sample(lines: Iterable[str], count: int) -> str:
    """Return the first of so many lines, and the number of the others."""
    shown = list(itertools.islice(lines, SAMPLE))
    return "\n".join([*shown, *[f"and {count - SAMPLE} more"][: count > SAMPLE]])


def ask(what: str) -> None:
    """Ask at the terminal whether to go on; without a terminal, go on.

    Arguments:
        what: what is about to happen.

    Raises:
        CommandRefused: the answer was no.
    """
    if sys.stdin.isatty():
        note(what)
        if not typer.confirm("Go on?", err=True):
            raise CommandRefused("Nothing was done")


def ask_before(deed: str, shown: str) -> None:
    """Ask at the terminal before a deed on many that were not named one by one.

    Arguments:
        deed: the deed, with the number of executions.
        shown: a sample of them.

    Raises:
        CommandRefused: the answer was no.
        Misused: there is no terminal to ask at.
    """
    if not sys.stdin.isatty():
        raise Misused(f"expected --yes, as no terminal can be asked: this would {deed}")
    ask(f"{shown}\nThis would {deed}.")


def account(
    told: str,
    done: Sequence[Done],
    good: str,
    why: Callable[[Done], str],
    counted: Callable[[int], str] = str,
) -> str:
    """Return what was done in one line, if it was done to all.

    Arguments:
        told: what was done, and to how many.
        done: the outcome of each.
        good: the name of the outcome that was wanted.
        why: the reason why another one was left alone.
        counted: a number of them, in words.

    Raises:
        NotFound: there is none of them.
        CommandRefused: it could be done to none of them.
        Partial: it was done to some of them only.
    """
    rest = [one for one in done if one.deed.name != good]
    if not rest:
        return told
    reasons = sample((f"{plain(one.key)}: {why(one)}" for one in rest), len(rest))
    words = f"{told}, and left {counted(len(rest))} alone\n{reasons}"
    if len(rest) < len(done):
        raise Partial(words)
    is_any_known = any(one.deed.name != "UNKNOWN" for one in done)
    raise (CommandRefused if is_any_known else NotFound)(words)
