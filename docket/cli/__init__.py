"""The command line: one file per noun, loaded when it is asked for."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import Annotated, Any, Final

import typer

from .. import __version__
from ..errors import DocketError
from ..foundation.plain import PlainFormatter, plain_lines
from .terminal.exit_codes import exit_code

COMMANDS: Final = {
    "dev": ("commands.dev:dev", "Run a docket.toml with a server of its own, and follow its code."),
    "status": ("commands.status:status", "Show how a supervisor stands, or all of them."),
    "reload": ("commands.reload:reload", "Have the supervisor read its file again."),
    "restart": ("commands.restart:restart", "Have pools run the code as it is now, without a gap."),
    "config": ("commands.config:app", "Check, show and explain a configuration; plan a change."),
    "worker": ("commands.worker:worker", "Run a worker until it is asked to stop."),
    "strike": ("commands.strike:strike", "Strike out a task, or everything with such an argument."),
    "restore": ("commands.strike:restore", "Take a strike back."),
    "clear": ("commands.clear:clear", "Cancel everything that is queued or scheduled."),
    "snapshot": ("commands.snapshot:snapshot", "Show what is due, what runs, and who works."),
    "top": (
        "commands.top:top",
        "Show queues, what ends, workers and next schedules, live.",
    ),
    "watch": ("commands.watch:watch", "Follow one execution to its end."),
    "task": ("commands.task:app", "Look at executions, add and cancel them."),
    "tasks": (
        "commands.tasks:app",
        "Add one of the tasks that every docket knows, to try things out.",
    ),
    "workers": ("commands.workers:app", "Look at the workers."),
    "queue": ("commands.queue:app", "Look at the queues, pause and resume them."),
    "schedule": (
        "commands.schedule:app",
        "Look at schedules, pause them, run them beside their due times.",
    ),
    "strikes": ("commands.strikes:app", "List the active strikes."),
    "dead": (
        "commands.dead:app",
        "Look at dead letters, run them again or delete them.",
    ),
    "parked": ("commands.parked:app", "Look at what is parked, and release it."),
    "audit": ("commands.audit:audit", "List what operators have done: who, what, why."),
    "events": (
        "commands.events:events",
        "Follow how executions end and what operators do, as JSON lines.",
    ),
    "ping": (
        "commands.ping:ping",
        "Measure how long a call takes from its add to its outcome.",
    ),
    "doctor": ("commands.doctor:doctor", "Look for what is wrong with a server and a docket."),
    "fsck": ("commands.fsck:fsck", "Compare records with indexes, and repair what differs."),
    "server": ("commands.server:app", "Start, stop or look at the embedded server."),
}
"""The place of each command, and its summary before it is loaded."""

COMPLETE: Final = "_DOCKET_COMPLETE"
"""Environment variable by which a shell asks for completions."""
TYPED: Final = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")
"""Environment variables in which shells say what is typed: bash, and the others."""

app = typer.Typer(
    name="docket",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _defer(name: str, home: str, summary: str) -> None:
    """Add a command that is loaded, and costs anything, only when it is called."""

    # The command itself shows its help.
    @app.command(
        name,
        help=summary,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def _(context: typer.Context) -> None:
        try:
            _load(home)(context.args, prog_name=f"docket {name}")
        except DocketError as error:
            typer.echo(plain_lines(str(error)), err=True)
            raise typer.Exit(exit_code(error)) from error


def _load(home: str) -> typer.Typer:
    found = _attribute(home)
    if isinstance(found, typer.Typer):
        return found
    single = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    single.command()(found)
    return single


def _attribute(home: str) -> Any:
    module, _, attribute = home.partition(":")
    return getattr(importlib.import_module(f".{module}", __package__), attribute)


for _name, (_home, _summary) in COMMANDS.items():
    _defer(_name, _home, _summary)


def _say_version(is_asked: bool) -> None:
    if is_asked:
        version()
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version."),
]


@app.callback()
def docket(*, _version: Version = False) -> None:
    """Look after a docket. `docket-supervisor` runs what a docket.toml declares."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _complete(typed: list[str]) -> None:
    """Answer a shell that asks for completions, and end.

    Arguments:
        typed: the words of the command line, from the program on.
    """
    for name in typed[1:2]:
        if name in COMMANDS:
            _show_inside(name)
    app([], prog_name="docket")


def _show_inside(name: str) -> None:
    """Put a command in the place of the one that defers it: what is inside can be completed then."""
    home, summary = COMMANDS[name]
    app.registered_commands = [one for one in app.registered_commands if one.name != name]
    found = _attribute(home)
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=name, help=summary)
    else:
        app.command(name)(found)


def main() -> None:
    """Run ``docket``."""
    if COMPLETE in os.environ:
        _complete(" ".join(os.environ.get(name, "") for name in TYPED).split())
    # Warnings of libraries name what is in Redis, and are written by this where no log is set up.
    assert logging.lastResort is not None
    logging.lastResort.setFormatter(PlainFormatter())
    app(sys.argv[1:], prog_name="docket")
