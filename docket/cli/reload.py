"""``docket reload``: has a supervisor read its file again, and tells what became of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

import typer

from ..supervisor.asking import NobodyAnswers, NotGranted, NotInTime, ask
from .exits import PARTIAL
from .lengths import duration_option
from .options import Config, Profile, Settings
from .output import Form, Output, note, show_one
from .supervising import Socket, Unanswered, place, tell

EXITS: Final = {
    "applied": 0,
    "unchanged": 0,
    "invalid": 1,
    "refused": 2,
    "rolled_back": 3,
    "failed": PARTIAL,
}
TIMED_OUT: Final = 4


def reload(
    config: Config = None,
    profile: Profile = None,
    settings: Settings = None,
    control: Socket = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Wait for what becomes of it: exit 0 applied or unchanged, 1 invalid, 2 refused, "
            "3 rolled back, 4 timed out, 5 no supervisor, 6 failed.",
        ),
    ] = False,
    timeout: Annotated[
        timedelta, duration_option("--timeout", help="With --wait: how long to wait.")
    ] = timedelta(minutes=2),
    allow_removals: Annotated[
        bool,
        typer.Option(
            "--allow-removals",
            help="With --wait: even if more is removed than max_removals allows.",
        ),
    ] = False,
    output: Output = Form.TABLE,
) -> None:
    """Have the supervisor read its file again, also if what it says has failed before."""
    where = place(control, config, profile, settings)
    patience = timeout.total_seconds() if wait else 10.0
    try:
        outcome = ask(where, "reload", patience, wait=wait, allow_removals=allow_removals)
    except NobodyAnswers as error:
        raise Unanswered(str(error)) from error
    except NotInTime as error:
        note(str(error))
        raise typer.Exit(TIMED_OUT) from error
    except NotGranted as error:
        note(str(error))
        raise typer.Exit(EXITS["refused"]) from error
    if wait:
        tell(outcome, output)
        raise typer.Exit(EXITS[outcome["result"]])
    if output in (Form.JSON, Form.JSONL):
        show_one("outcome", outcome, output)
    else:
        typer.echo(
            "asked; `docket reload --wait` tells what becomes of it, `docket status` how it stands"
        )
