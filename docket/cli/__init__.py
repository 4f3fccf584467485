"""The command line: one file per noun, loaded when it is asked for."""

from __future__ import annotations

import importlib
import sys

import typer

from .. import __version__

app = typer.Typer(
    name="docket",
    help="Look after a docket: its embedded server and its workers.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def server(context: typer.Context) -> None:
    """Start, stop or look at the embedded server."""
    _run_noun("server", context.args)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def worker(context: typer.Context) -> None:
    """Run a worker."""
    _run_noun("worker", context.args)


def _run_noun(noun: str, arguments: list[str]) -> None:
    module = importlib.import_module(f".{noun}", __package__)
    module.app(arguments, prog_name=f"docket {noun}")


def main() -> None:
    """The entry point of ``docket``."""
    app(sys.argv[1:])
