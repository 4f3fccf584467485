"""A command as a task: its arguments are filled in, its exit code is the outcome."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypedDict

from ..errors import CommandFailed
from ..foundation.deaths import describe_exit
from . import processes
from .environment import allowed
from .template import fill_in, signature_of

OUTPUT = 64 * 1024
"""Characters of the output, the last ones, that are kept as the result."""

LONGEST_LINE = 8192


class CommandResult(TypedDict):
    """The outcome of a command."""

    exit_code: int
    output: str


def command_task(
    name: str, command: Sequence[str], env: Collection[str] = ()
) -> Callable[..., Any]:
    """Return a task that runs a command, never through a shell.

    Each ``{name}`` in it is replaced by an argument, which stays one word in any case. What
    the command prints goes to the log of the task, line by line, and the end of it into the result. At
    a timeout or a cancellation it is ended. Nothing that it has started outlives it, or the worker.

    Arguments:
        name: the task.
        command: the program and its arguments.
        env: variables of the worker that it gets beside ``PATH``, ``HOME``, ``LANG`` and the like; ``PG*``
            stands for all that start with ``PG``.

    Raises:
        InvalidSetting: a brace stands alone.

    Example:
        >>> docket.register(command_task("dump", ["pg_dump", "--file", "{path}", "orders"]), ["dump"])
    """
    signature = signature_of(command)
    logger = logging.getLogger(f"docket.task.{name}")

    async def run(**arguments: Any) -> CommandResult:
        signature.bind(**arguments)
        return await _run([fill_in(word, arguments) for word in command], env, logger)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"Run {command[0]}."
    run.__signature__ = signature  # type: ignore[attr-defined]
    return run


async def _run(
    command: Sequence[str], env: Collection[str], logger: logging.Logger
) -> CommandResult:
    if shutil.which(command[0]) is None:
        raise CommandFailed(
            f"expected a program, found {command[0]!r}, which is not there or cannot be run; install it, or "
            "give its whole path"
        )
    try:
        process = await processes.KIND.start(command, allowed(os.environ, env))
    except OSError as error:
        raise CommandFailed(f"{command[0]} cannot be run: {error}") from error
    tail: deque[str] = deque()
    try:
        await _follow(process.output, tail, logger)
        code = await process.exit_code()
    except BaseException:
        await process.end()
        raise
    output = "".join(tail)[-OUTPUT:]
    if code:
        how = f"was ended by {describe_exit(code)}" if code < 0 else f"exited with {code}"
        last = output.strip().rpartition("\n")[2][-500:]
        raise CommandFailed(
            f"{command[0]} {how}: {last}" if last else f"{command[0]} {how}", code, output
        )
    return CommandResult(exit_code=code, output=output)


async def _follow(stream: asyncio.StreamReader, tail: deque[str], logger: logging.Logger) -> None:
    kept = 0
    while line := await _line(stream):
        text = line.decode(errors="replace")
        logger.info("%s", text.rstrip("\n"))
        tail.append(text)
        kept += len(text)
        while kept - len(tail[0]) >= OUTPUT:
            kept -= len(tail.popleft())


async def _line(stream: asyncio.StreamReader) -> bytes:
    """Return a line, or as much of it as fits."""
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as end:
        return end.partial
    except asyncio.LimitOverrunError:
        return await stream.read(LONGEST_LINE)
