"""The person who gives a command, and the reason: options of every command that changes something."""

from __future__ import annotations

import getpass
import os
from typing import Annotated

import typer

Author = Annotated[
    str | None,
    typer.Option(help="The person who asks for it. [env: DOCKET_AUTHOR]", show_default="you"),
]
Reason = Annotated[str, typer.Option(help="The reason, for people.")]


def author(named: str | None = None) -> str:
    """Return the person who gives a command.

    Arguments:
        named: the one that was named; left out, that is ``DOCKET_AUTHOR``, else the user of this process, or
            the number that a container without a list of users knows instead.
    """
    if named is None:
        named = os.environ.get("DOCKET_AUTHOR") or None
    if named is not None:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return f"uid {os.getuid()}"
