"""``docket restart``: have pools run the code as it is now, without a gap."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from ..configuration.supervisors import Socket, answer, end_of, place, said, tell
from ..parameters.author import Author, Reason
from ..parameters.options import Config, Profile, Settings
from ..parameters.times import duration_option
from ..terminal.exit_codes import NotFound
from ..terminal.output import Form, Output, show_one
from .reload import BRIEFLY


def restart(
    pools: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[POOL]...", help="The pools; all of this host if left out.", show_default=False
        ),
    ] = None,
    config: Config = None,
    profile: Profile = None,
    settings: Settings = None,
    control: Socket = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Wait for the outcome: exit 0 the new code runs, 1 rolled back or failed, "
            "8 timed out, 5 no supervisor.",
        ),
    ] = False,
    timeout: Annotated[
        timedelta, duration_option("--timeout", help="With --wait: how long to wait.")
    ] = timedelta(minutes=5),
    reason: Reason = "",
    author: Author = None,
    output: Output = Form.TABLE,
) -> None:
    """Replace worker processes by new ones, which run the code as it is now.

    The code is tried out first; then new processes work before old ones drain, at most max_surge more than
    usual at a time. If the new code cannot work, the old processes go on.
    """
    where = place(control, config, profile, settings)
    patience = timeout if wait else BRIEFLY
    by = said(author, reason)
    found = answer(where, "restart", patience, pools=pools or [], wait=wait, **by)
    if found["result"] == "not_found":
        raise NotFound(found["message"])
    if wait:
        tell(found, output)
        raise typer.Exit(end_of(found))
    _acknowledge(found, output)


def _acknowledge(found: dict[str, Any], form: Form) -> None:
    if form in (Form.JSON, Form.JSONL):
        show_one("outcome", found, form)
    else:
        typer.echo(
            f"accepted: {', '.join(found['pools'])}; `docket restart --wait` reports the outcome, "
            "`docket status` the state"
        )
