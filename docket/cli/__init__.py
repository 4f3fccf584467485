"""The command line: one file per noun, loaded when it is asked for."""

from __future__ import annotations

import importlib
import sys

import typer

from .. import __version__

app = typer.Typer(
    name="docket",
    help="Look after a docket.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


# The noun itself shows its help: it is not loaded, and costs nothing, until it is asked for.
@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def server(context: typer.Context) -> None:
    """Start, stop or look at the embedded server."""
    noun = importlib.import_module(".server", __package__)
    noun.app(context.args, prog_name="docket server")


def main() -> None:
    """The entry point of ``docket``."""
    app(sys.argv[1:])
