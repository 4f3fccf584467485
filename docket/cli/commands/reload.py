"""``docket reload``: let a supervisor read its file again, and report the outcome."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

import typer

from ..configuration.supervisors import Socket, answer, end_of, place, said, tell
from ..parameters.author import Author, Reason
from ..parameters.options import Config, Profile, Settings
from ..parameters.times import duration_option
from ..terminal.output import Form, Output, show_one

BRIEFLY: Final = timedelta(seconds=10)
"""Time that a supervisor has to acknowledge a request."""


def reload(
    config: Config = None,
    profile: Profile = None,
    settings: Settings = None,
    control: Socket = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Wait for the outcome: exit 0 applied or unchanged, 7 invalid, 4 refused, "
            "1 rolled back or failed, 8 timed out, 5 no supervisor.",
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
    reason: Reason = "",
    author: Author = None,
    output: Output = Form.TABLE,
) -> None:
    """Let the supervisor read its file again, even if the same content has failed before."""
    where = place(control, config, profile, settings)
    patience = timeout if wait else BRIEFLY
    by = said(author, reason)
    outcome = answer(where, "reload", patience, wait=wait, allow_removals=allow_removals, **by)
    if wait:
        tell(outcome, output)
        raise typer.Exit(end_of(outcome))
    if output in (Form.JSON, Form.JSONL):
        show_one("outcome", outcome, output)
    else:
        typer.echo("asked; `docket reload --wait` reports the outcome, `docket status` the state")
