"""Processes of commands: started, followed, and ended with all that they have started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from typing_extensions import Self, override

from ..errors import CommandFailed

GRACE = 5.0
"""Seconds between the polite and the final signal to a command that has to end."""

KEEPER = str(Path(__file__).with_name("keeper.py"))

ISOLATED = ("-I", "-S")
"""The keeper needs the standard library only, and nothing beside the configuration can get in its way."""


class CommandProcess(ABC):
    """A command that runs.

    Arguments:
        program: what it is called, for messages.
        process: the child of this process.
    """

    def __init__(self, program: str, process: asyncio.subprocess.Process) -> None:
        self.program = program
        self.process = process

    @classmethod
    @abstractmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str]) -> Self:
        """Start a command.

        Raises:
            OSError: it cannot be started.
        """

    @property
    def output(self) -> asyncio.StreamReader:
        """The output; it ends when nothing is left that could write to it."""
        assert self.process.stdout is not None
        return self.process.stdout

    @abstractmethod
    async def exit_code(self) -> int:
        """Wait until it has ended; returns its exit code, negative for the signal that ended it.

        Raises:
            CommandFailed: it could not be run.
        """

    @abstractmethod
    async def end(self) -> None:
        """End it with all that it has started, politely at first."""


class KeptProcess(CommandProcess):
    """A command with a keeper, which ends what the command leaves behind, and all of it if we die (Linux)."""

    @override
    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str]) -> Self:
        keeper = [sys.executable, *ISOLATED, KEEPER, str(os.getpid()), str(GRACE)]
        words = [*keeper, *command]
        return cls(command[0], await _spawn(words, environment, asyncio.subprocess.PIPE))

    @override
    async def exit_code(self) -> int:
        assert self.process.stderr is not None
        said = (await self.process.stderr.read()).decode(errors="replace")
        await self.process.wait()
        try:
            word = json.loads(said)
        except ValueError:
            raise CommandFailed(
                f"{self.program} was lost: the process that keeps it has ended too early: {said[-500:]}"
            ) from None
        if "error" in word:
            raise CommandFailed(f"{self.program} cannot be run: {word['error']}")
        return int(word["code"])

    @override
    async def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        await self.process.wait()


class GroupedProcess(CommandProcess):
    """A command in a process group of its own, which is ended with it: what other systems have."""

    @override
    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str]) -> Self:
        return cls(command[0], await _spawn(command, environment, asyncio.subprocess.STDOUT))

    @override
    async def exit_code(self) -> int:
        return await self.process.wait()

    @override
    async def end(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.process.wait(), GRACE)


KIND: type[CommandProcess] = KeptProcess if sys.platform == "linux" else GroupedProcess


async def _spawn(
    words: Sequence[str], environment: Mapping[str, str], stderr: int
) -> asyncio.subprocess.Process:
    """Start a program in a session of its own, with nothing to read."""
    return await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        env=environment,
        start_new_session=True,
    )
