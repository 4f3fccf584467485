"""Asking the supervisor of a configuration: where it listens, and what it has answered."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from ...config.control import control_of
from ...supervisor.control.client import NobodyAnswers, NotGranted, NotInTime, ask, place_of
from ..parameters.author import author as me
from ..parameters.options import chosen
from ..terminal.exit_codes import INVALID, UNREACHABLE, CommandError, CommandRefused, TimedOut
from ..terminal.output import Form, say, show_one

Socket = Annotated[
    Path | None,
    typer.Option(
        "--control",
        metavar="SOCKET",
        help="The socket of the supervisor. [left out: supervisor.control of the file]",
        show_default=False,
    ),
]


class Unanswered(CommandError):
    """No supervisor is there to be asked."""

    exit_code: ClassVar[int] = UNREACHABLE


def place(
    control: Path | None,
    config: Sequence[Path] | None,
    profile: str | None = None,
    settings: Sequence[str] | None = None,
) -> Path:
    """Return the place where the supervisor of a configuration listens, even if that cannot be used.

    Arguments:
        control: the socket, if it was named.
        config: the configuration and what is laid over it.
        profile: the profile that counts.
        settings: keys that are set.
    """
    if control is not None:
        return control
    file, over = chosen(config, profile, settings)
    return place_of(control_of(file, os.environ, over), file)


def said(author: str | None, reason: str) -> dict[str, str]:
    """Return the fields of a request that say who asks, and why.

    Arguments:
        author: the person; None is the one who gives the command.
        reason: the reason.
    """
    return {"author": me(author), "reason": reason, "source": "command line"}


def answer(where: Path, word: str, patience: timedelta, **fields: Any) -> dict[str, Any]:
    """Ask a supervisor, and return its answer.

    Arguments:
        where: its socket.
        word: the request.
        patience: how long it may take.
        fields: the particulars.

    Raises:
        Unanswered: no supervisor is there.
        Refused: it will not.
        TimedOut: it has not answered in time.
    """
    try:
        return ask(where, word, patience.total_seconds(), **fields)
    except NobodyAnswers as error:
        raise Unanswered(str(error)) from error
    except NotGranted as error:
        raise CommandRefused(str(error)) from error
    except NotInTime as error:
        raise TimedOut(str(error)) from error


def tell(outcome: Mapping[str, Any], form: Form) -> None:
    """Print what became of a change."""
    if form in (Form.JSON, Form.JSONL):
        show_one("outcome", outcome, form)
        return
    for change in outcome["changes"]:
        say(change)
    if outcome["message"]:
        say(outcome["message"], err=True)
    said = outcome["result"].replace("_", " ")
    say(f"{said}: revision {outcome['revision']} runs")


def end_of(outcome: Mapping[str, Any]) -> int:
    """Return the exit code of a command that has asked for a change."""
    codes = {
        "applied": 0,
        "unchanged": 0,
        "restarted": 0,
        "invalid": INVALID,
        "refused": CommandRefused.exit_code,
    }
    return codes.get(outcome["result"], CommandError.exit_code)
