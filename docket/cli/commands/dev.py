"""``docket dev``: for who writes tasks: a server of its own, and new code as soon as it is saved."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from ...config.describing.starter import STARTER
from ...discovery.layering import embedded_url
from ..parameters.options import Config, Profile, Settings, chosen
from ..terminal.exit_codes import NotFound
from ..terminal.output import note

TASKS: Final = "tasks.py"

CODE: Final = '''\
"""Tasks that docket.toml names: change them while everything runs, and save."""

from __future__ import annotations


async def hello(name: str = "world") -> None:
    """Greet somebody."""
    print(f"Hello, {name}!", flush=True)
'''
"""The tasks that the starter names."""


def dev(
    config: Config = None,
    profile: Profile = None,
    settings: Settings = None,
    init: Annotated[
        bool, typer.Option("--init", help="Write a docket.toml and a tasks.py, if there are none.")
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(
            help="The server, in place of the one in the file.",
            show_default="one of its own, in .docket",
        ),
    ] = None,
) -> None:
    """Run a docket.toml with a server of its own, and follow the code beside it as well as the file."""
    from .supervisor import run  # noqa: PLC0415 - --help needs none of it

    file, over = chosen(config, profile, settings)
    if not file.exists():
        _begin(file, init)
    place = url or embedded_url(file)
    fixed = f"url={json.dumps(place)}", "supervisor.reload.follow_code=true"
    over = replace(over, settings=(*over.settings, *fixed))
    # Bytecode is compared with newer code by the second: a file saved twice in one would be missed.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    note(f"edit {file}, or any .py beside it, and save; Ctrl-C stops")
    raise SystemExit(run(file, over))


def _begin(file: Path, init: bool) -> None:
    """Write something to begin with, if that is wanted."""
    is_wanted = init or (
        sys.stdin.isatty()
        and typer.confirm(f"There is no {file}. Write one to begin with?", err=True)
    )
    if not is_wanted:
        raise NotFound(
            f"there is no {file}; docket dev --init writes one, with a {TASKS}, and runs it"
        )
    file.write_text(STARTER, "utf-8")
    tasks = file.with_name(TASKS)
    if not tasks.exists():
        tasks.write_text(CODE, "utf-8")
    note(f"{file} and {tasks}: written")
    note("docket task add hello name=Jane   runs a task, typed in another terminal")
