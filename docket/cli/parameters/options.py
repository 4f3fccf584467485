"""Options that several commands share: which configuration is meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ...config.load import Chosen
from ...discovery.address import FILE

Config = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        "-c",
        envvar="DOCKET_CONFIG",
        help="The configuration; further ones are laid over the first.",
        show_default=FILE,
    ),
]
Profile = Annotated[
    str | None, typer.Option(help="The profile of the file (profiles.NAME) to use.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Set a key, over everything else."),
]


def chosen(
    config: Sequence[Path] | None, profile: str | None, settings: Sequence[str] | None
) -> tuple[Path, Chosen]:
    """Return the file that is meant, and what is laid over it."""
    file, *overlays = config or [Path(FILE)]
    return file, Chosen(tuple(overlays), profile, tuple(settings or ()))
