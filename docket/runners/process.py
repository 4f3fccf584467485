"""Plain functions in processes of their own: for work that computes, and would hold up everything else."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import pickle
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..discovery.beside import directories
from ..errors import ProcessDied, RemoteTraceback
from ..foundation.deaths import describe_exit
from .calling import LENGTH, MAIN, PROGRAM

IDLE: Final = 300.0
"""Seconds after which a process that has nothing to do is ended."""

GRACE: Final = 1.0
"""Seconds in which an idle process has to end by itself: threads that a function has left may keep it."""

_ADVICE: Final = {
    -signal.SIGKILL: "the system does so when memory runs out, and its log says so (dmesg): give the worker "
    "more memory, or the task less at a time",
    **dict.fromkeys(
        (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE, -signal.SIGABRT),
        "native code has crashed; the standard error of the worker shows where",
    ),
}


class Processes:
    """As many interpreters as there are calls at a time; one that is idle takes the next call."""

    def __init__(self) -> None:
        self._idle: list[_Interpreter] = []

    async def call(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Call a function in a process, and return its result; it is killed if no one waits any longer.

        The function must be importable, and everything that it is given and gives must be picklable.

        Arguments:
            name: the task, for messages.
            function: a plain function of some module.
            args: its positional arguments.
            kwargs: its keyword arguments.

        Raises:
            ProcessDied: the process has ended before the function did.
        """
        call = _dumped(functools.partial(function, *args, **kwargs))
        interpreter = self._idle_one() or await _Interpreter.started()
        try:
            await self._end(
                one for one in [*self._idle] if time.monotonic() - one.idle_since > IDLE
            )
            answer = await interpreter.ask(call)
        except BaseException:
            await interpreter.kill()
            raise
        if answer is None:
            raise _death(name, await interpreter.exit_code())
        interpreter.idle_since = time.monotonic()
        self._idle.append(interpreter)
        has_returned, value, where = _loaded(answer)
        if has_returned:
            return value
        raise value from RemoteTraceback(where)

    async def close(self) -> None:
        """End those that are idle."""
        await self._end(self._idle)

    async def _end(self, some: Iterable[_Interpreter]) -> None:
        ending = [*some]
        self._idle = [one for one in self._idle if one not in ending]
        await asyncio.gather(*(one.end() for one in ending))

    def _idle_one(self) -> _Interpreter | None:
        while self._idle:
            interpreter = self._idle.pop()
            if interpreter.is_alive:
                return interpreter
            interpreter.hang_up()
        return None


class _Interpreter:
    """A process that makes calls.

    Arguments:
        process: the child of this process.
        reader, writer: the line to it.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.idle_since = 0.0

    @classmethod
    async def started(cls) -> _Interpreter:
        """Start one.

        Raises:
            OSError: it cannot be started.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-c", PROGRAM, str(theirs.fileno()), *sys.path),
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                )
                ours.setblocking(False)
                interpreter = cls(process, *await asyncio.open_connection(sock=ours))
            except BaseException:
                # One that has been started all the same ends with its line.
                ours.close()
                raise
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        program = None if spec is None else spec.name, getattr(main, "__file__", None)
        interpreter._say(_dumped((directories(), program)))
        return interpreter

    @property
    def is_alive(self) -> bool:
        """True as long as its end is unknown."""
        return self._process.returncode is None

    async def ask(self, call: bytes) -> bytes | None:
        """Let it make a call; return None if the line ends before the answer."""
        try:
            self._say(call)
            await self._writer.drain()
            length = int.from_bytes(await self._reader.readexactly(LENGTH), "big")
            return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def _say(self, message: bytes) -> None:
        self._writer.write(len(message).to_bytes(LENGTH, "big"))
        self._writer.write(message)

    async def exit_code(self) -> int:
        """Wait until it has ended; returns its exit code, negative for the signal that ended it."""
        self.hang_up()
        return await self._process.wait()

    async def kill(self) -> None:
        """End it now."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self.exit_code()

    async def end(self) -> None:
        """End it, as it has nothing to do, and wait for that."""
        try:
            await asyncio.wait_for(self.exit_code(), GRACE)
        except asyncio.TimeoutError:
            await self.kill()

    def hang_up(self) -> None:
        """End the line to it, and so itself, unless it is held up."""
        self._writer.close()


def _dumped(value: Any) -> bytes:
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _loaded(answer: bytes) -> Any:
    # What our program defines is called so there.
    sys.modules[MAIN] = sys.modules["__main__"]
    return pickle.loads(answer)  # noqa: S301 - our own process says so


def _death(name: str, code: int) -> ProcessDied:
    if code < 0:
        advice = _ADVICE.get(code, "something has sent it that signal, or a limit was reached")
    else:
        advice = (
            "something in it has ended it, as os._exit() does: return, or raise an error; the standard error "
            "of the worker may say more"
        )
    return ProcessDied(f"the process of {name} was ended by {describe_exit(code)}: {advice}", code)
