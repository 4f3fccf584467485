"""One worker process, from the outside: spawned, instructed, drained, killed, buried."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import errno
import hashlib
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ...discovery.fingerprint import NO_CODE, Code
from ...errors import OperatorError, ServerFull, ServerRefused, ServerUnavailable
from ...foundation.deaths import describe_exit
from ...foundation.worker_spec import WorkerSpec
from . import begin
from .last_words import LastWords
from .protocol import CHANNEL, STACKS, Channel

REJECTIONS: Final = {"away": ServerUnavailable, "full": ServerFull, "refused": ServerRefused}
"""Errors of a process that does not get to Redis, by the word that it says."""

BEGIN: Final = begin.__file__
"""Script at which processes begin that import what a configuration names."""

_LAST_WORDS = 1.0
"""Seconds for what a process has said or written before it was gone."""


class ProcessState(enum.Enum):
    """The state of a worker process."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    EXITED = "exited"


class Rejected(Exception):
    """A process cannot follow its new orders."""


class Died(Rejected):
    """A process has ended before it could answer."""


class SpawnFailed(OperatorError):
    """A process could not be started, for a reason that is not its own: it is tried again."""


class WorkerProcess:
    """A fresh interpreter that runs one worker; never a fork, so that nothing of us leaks into it.

    Arguments:
        pool: the name of its pool.
        directory: its working directory, from which tasks are imported.
        environment: variables beyond our own.
        keeps_words: whether its death is reported with its last output to the standard error.
    """

    def __init__(
        self,
        pool: str,
        directory: str,
        environment: Mapping[str, str],
        *,
        keeps_words: bool = False,
    ) -> None:
        self.pool = pool
        self.state = ProcessState.STARTING
        self.revision = 0
        self.consumer: str | None = None
        self.code = NO_CODE
        """The code that it has imported."""
        self.status: dict[str, Any] = {}
        self.pid = 0
        self.born = time.monotonic()
        self.heard_at = self.born
        """Time of its last word: its event loop turns as long as it speaks."""
        self.fate = "crash"
        """Kind of end that is counted, should it end now."""
        self.was_told_to_go = False
        self.left_suspects = False
        """True if anything was in flight when it died by itself."""
        self._directory = directory
        self._environment = environment
        self._words = LastWords() if keeps_words else None
        self._answers: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._has_begun = False
        """True if our code has run in it."""
        self._exited = asyncio.Event()
        self._hurried = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for the signal that ended it; None while it lives."""
        return None if self._process is None else self._process.returncode

    @property
    def counts(self) -> list[tuple[str, str, int]]:
        """Its counts: metric, task, number."""
        return [(metric, task, count) for metric, task, count in self.status.get("counts", [])]

    @property
    def runs(self) -> int:
        """Number of runs that it has ended."""
        return sum(count for metric, _, count in self.counts if metric == "docket_tasks_completed")

    @property
    def age(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self.born

    @property
    def lot(self) -> float:
        """A number from 0 to 1 that is its own, and stays the same."""
        digest = hashlib.sha256(f"{self.pool}/{self.pid}".encode()).digest()
        return int.from_bytes(digest[:4], "big") / 0xFFFFFFFF

    @property
    def death(self) -> str:
        """The manner of its death, in words; empty if it was ended on purpose."""
        if self.was_told_to_go and self.fate != "hung" and self.exit_code in {0, -signal.SIGKILL}:
            return ""
        death = "a hang" if self.fate == "hung" else describe_exit(self.exit_code)
        words = self._words.text if self._words is not None else ""
        return f"{death}, and these words:\n{words}" if words else death

    async def spawn(self) -> None:
        """Start the interpreter; it waits for its orders.

        Raises:
            SpawnFailed: the surroundings do not allow it now: the interpreter or the directory is away,
                or there are no descriptors, processes or memory left.
        """
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    self._process = await self._executed(theirs.fileno())
                    self._channel = await Channel.over(ours)
                except BaseException:
                    # One that has been started all the same ends with its line.
                    ours.close()
                    raise
        except (OSError, MemoryError, RuntimeError) as error:
            raise SpawnFailed(why_not_spawned(error, self._directory)) from error
        self.pid = self._process.pid
        self._watching = asyncio.create_task(self._watch(), name=f"docket process {self.pid}")

    async def _executed(self, line: int) -> asyncio.subprocess.Process:
        words = await self._words.open() if self._words is not None else None
        try:
            # A session of its own: a Ctrl-C in the terminal is the supervisor's to answer.
            return await asyncio.create_subprocess_exec(
                sys.executable,
                BEGIN,
                "worker",
                cwd=self._directory,
                env={**os.environ, **self._environment, CHANNEL: str(line)},
                pass_fds=[line],
                stdin=asyncio.subprocess.DEVNULL,
                stderr=words,
                start_new_session=True,
            )
        finally:
            if words is not None:
                os.close(words)

    async def configure(self, revision: int, orders: WorkerSpec) -> None:
        """Send it new orders, and wait until it follows them.

        Raises:
            Rejected: it cannot.
            Died: it ended in the attempt.
            SpawnFailed: it ended before it could run any code of ours.
            ServerUnavailable: it does not reach Redis.
            ServerRefused: Redis does not let it in.
        """
        assert self._channel is not None
        await self._channel.send(
            f'{{"word": "configure", "revision": {revision}, "orders": {orders.text}}}'
        )
        while True:
            answer = await self._answers.get()
            if answer is None and not self._has_begun:
                raise SpawnFailed(
                    f"a worker process ended with {describe_exit(self.exit_code)} before it could begin; "
                    f"{sys.executable} may lack packages or memory: its standard error says more"
                )
            if answer is None:
                raise Died(f"the process exited with {describe_exit(self.exit_code)}")
            if answer["revision"] != revision:
                continue
            if answer["word"] == "rejected":
                raise REJECTIONS.get(answer["trouble"], Rejected)(answer["reason"])
            self.revision = revision
            self.consumer = answer["consumer"]
            if self.state is ProcessState.STARTING:
                self.state = ProcessState.READY
            return

    async def drain(self, seconds: float, patience: float) -> None:
        """Let it finish what runs, hand the rest back and exit; it is killed if it does not.

        Arguments:
            seconds: how long running executions may go on.
            patience: how many seconds more it gets to exit.
        """
        self.was_told_to_go = True
        if self.state is not ProcessState.EXITED:
            self.state = ProcessState.DRAINING
        assert self._channel is not None
        await self._channel.say("drain", seconds=seconds)
        over = asyncio.create_task(self._hurried.wait())
        gone = asyncio.create_task(self._exited.wait())
        await asyncio.wait(
            {over, gone}, timeout=seconds + patience, return_when=asyncio.FIRST_COMPLETED
        )
        over.cancel()
        if not gone.done():
            gone.cancel()
            await self.kill()

    def dump_stacks(self) -> None:
        """Make it write the stacks of all its threads to its standard error, even if it hangs."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, STACKS)

    def hurry(self) -> None:
        """Drain no longer: end it now. What runs is taken over by others."""
        self._hurried.set()

    async def kill(self) -> None:
        """End it now, with its whole process group."""
        self._kill_group()
        await self._exited.wait()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    async def until_exited(self) -> None:
        """Wait until it is gone."""
        await self._exited.wait()

    async def _watch(self) -> None:
        assert self._process is not None
        assert self._channel is not None
        listening = asyncio.create_task(self._listen(self._channel))
        await self._process.wait()
        # Everything that its tasks have started and left behind.
        self._kill_group()
        # Its last words are in the line, which has no end while something that it left behind holds it.
        await asyncio.wait({listening}, timeout=_LAST_WORDS)
        listening.cancel()
        if self._words is not None:
            await self._words.until_silent(_LAST_WORDS)
        self._channel.close()
        self.state = ProcessState.EXITED
        self._answers.put_nowait(None)
        self._exited.set()

    async def _listen(self, channel: Channel) -> None:
        while (message := await channel.hear()) is not None:
            self.heard_at = time.monotonic()
            if message["word"] == "hello":
                self._has_begun = True
            elif message["word"] == "status":
                self.status = message
            else:
                if message["word"] == "ready":
                    self.revision = message["revision"]
                    self.code = Code.read(message["code"])
                self._answers.put_nowait(message)


_REMEDIES: Final = {
    errno.EMFILE: "raise the limit of open files (LimitNOFILE)",
    errno.ENFILE: "the system has no file descriptors left",
    errno.EAGAIN: "raise the limit of processes (LimitNPROC, TasksMax, the pids of a container)",
    errno.ENOMEM: "there is no memory left: free some, or allow this service more",
}


def why_not_spawned(error: BaseException, directory: str) -> str:
    """Return why a worker process could not be started, and what to do about it.

    Arguments:
        error: what starting it has raised.
        directory: its working directory.
    """
    number = error.errno if isinstance(error, OSError) else None
    remedy = _REMEDIES.get(number or 0)
    if remedy is None and not Path(directory).is_dir():
        remedy = f"the directory {directory} is not there"
    if remedy is None and not os.access(sys.executable, os.X_OK):
        remedy = f"the interpreter {sys.executable} is not there"
    reason = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
    return f"cannot start a worker process: {reason}" + (f"; {remedy}" if remedy else "")
