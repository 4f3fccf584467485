"""The commands that explanations name."""

from __future__ import annotations

import re
import shlex

import typer
import typer.main
from typer.core import TyperGroup

from docket.cli import COMMANDS, _load


def commands_in(text: str) -> list[str]:
    """The commands of ``docket`` that a text names, each once."""
    return sorted({*re.findall(r"`(docket [^`]+)`", text)})


def expect_command(line: str) -> None:
    """Fail unless a command can be typed so."""
    _, noun, *words = shlex.split(line)
    command = typer.main.get_command(_load(COMMANDS[noun][0]))
    context = typer.Context(command)
    if isinstance(command, TyperGroup):
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
    command.make_context(noun, words, parent=context)
