"""A pool of equal worker processes: what is desired beside what runs, and the steps from one to the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import OperatorError
from ...foundation.deaths import describe_exit
from ...foundation.service import Reports, Service, end
from ...foundation.worker_spec import WorkerSpec
from ...storage.scripting.retrying import Backoff
from .deaf_pauses import DeafPauses
from .hang_detector import HANG, HangDetector
from .process import Died, ProcessState, Rejected, SpawnFailed, WorkerProcess
from .quarantine import Quarantine
from .recycling import NEVER, Recycling
from .usage import resident_bytes

logger = logging.getLogger("docket.supervisor")

SPAWN_PAUSES = (0.5, 5.0)
"""The first and the longest pause in seconds after a process could not be started at all."""

KILL_AFTER = 1.0
"""Seconds that a process gets to exit when its drain is over."""

ANSWER_WITHIN = 5.0
"""Seconds that a working process has to confirm new orders."""

LOOK_EVERY = 1.0
"""Seconds between two looks at the processes: whether they hang, and whether they have done enough."""


@dataclass(frozen=True)
class Desired:
    """The desired state of a pool."""

    revision: int
    processes: int
    orders: WorkerSpec
    directory: str
    environment: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    surge: int = 1
    """Number of new processes that start at a time in a roll."""
    recycling: Recycling = NEVER
    file: Path | None = None
    """The configuration file. Processes start in its directory, where links lead to at that moment."""

    @property
    def place(self) -> str:
        """The directory that a process starts in now."""
        if self.file is None:
            return self.directory
        return os.fspath(self.file.resolve().parent)


@dataclass(frozen=True)
class Brake:
    """The restart policy of a pool.

    Arguments:
        initial, longest: the first and the longest pause before a restart, in seconds.
        factor: by how much each pause is longer than the previous one.
        jitter: the share of a pause that chance may add or take away.
        stable_after: seconds after which a process counts as healthy.
        max_crashes: how many crashes within ``window`` seconds make the pool degraded.
    """

    initial: float = 0.5
    longest: float = 60.0
    factor: float = 2.0
    jitter: float = 0.2
    stable_after: float = 30.0
    max_crashes: int = 5
    window: float = 120.0


class Care(Service):
    """The care for a pool, once a second.

    Arguments:
        pool: the name of the pool.
        look: one look.
    """

    silence = 30.0

    def __init__(self, pool: str, look: Callable[[], Awaitable[None]]) -> None:
        self._pool = pool
        self._look = look

    @property
    def label(self) -> str:
        """Name in the log and in ``/livez``."""
        return f"the care for pool {self._pool}"

    async def run(self) -> None:
        """Look until stopped."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self._look()
            self.turn()


class Pool:
    """A number of worker processes that are kept ready.

    Arguments:
        name: the pool.
        desired: what it shall be at first.
        brake: how it behaves when its processes crash.
        bury: called with each process that is gone.
        exhausted: called once when the pool is given up, because its processes crash too often.
        hang: after how many seconds of silence without computing a process counts as hung.
    """

    def __init__(
        self,
        name: str,
        desired: Desired,
        brake: Brake,
        bury: Callable[[WorkerProcess], Awaitable[None]],
        exhausted: Callable[[str], None] = lambda _: None,
        hang: float = HANG,
    ) -> None:
        self.name = name
        self.desired = desired
        self.processes: list[WorkerProcess] = []
        self.exits: Counter[str] = Counter()
        """Processes that are gone, by why: crash, hung, deaf, recycled, drained."""
        self.is_degraded = False
        self.trouble = ""
        """Reason for fewer processes than desired; empty if there are enough."""
        self._bury = bury
        self._exhausted = exhausted
        self._hang_detector = HangDetector(name, hang)
        self.brake = brake
        self._recent_crashes: deque[float] = deque()
        self._canaries: list[WorkerProcess] = []
        """Processes that are up beside the pool, and are not of it before it rolls."""
        self._keepers: set[asyncio.Task[None]] = set()
        self._care = Care(name, self._look)
        self._reports = Reports()
        self._spawning = Backoff(*SPAWN_PAUSES)
        self._restarts = 0
        """Number of attempts under way to start the desired processes."""
        self._putting_down: set[WorkerProcess] = set()
        self._replacing = False
        self._stopping = False
        self._restarting = asyncio.Lock()
        self.quarantine = Quarantine(name, lambda: self.desired, self._bury_suspect)

    @property
    def crashes(self) -> int:
        """Number of processes that have ended without being asked to."""
        return self.exits["crash"] + self.exits["hung"]

    @property
    def ready(self) -> int:
        """Number of processes that work."""
        return sum(process.state is ProcessState.READY for process in self.processes)

    @property
    def behind(self) -> int:
        """Number of processes that run another revision than is desired: they drain, or do not answer.

        A canary is ahead, and does not count; nor does a process that has no orders yet.
        """
        return sum(
            process.revision not in (0, self.desired.revision)
            for process in self.processes
            if process not in self._canaries
        )

    def stuck(self) -> str:
        """Return why the processes are no longer looked after; empty if they are."""
        return self._care.stuck()

    async def start(self, *, waits: bool = False) -> None:
        """Bring all processes up; the pool is ready when they are.

        Arguments:
            waits: whether it is enough that processes which cannot be started now are started later.

        Raises:
            Rejected: the first one cannot become what is desired.
            SpawnFailed: a process cannot be started.
            OperatorError: the processes do not reach Redis.
        """
        started = await asyncio.gather(
            *(self._spawn(self.desired) for _ in range(self.desired.processes)),
            return_exceptions=True,
        )
        for error in started:
            if waits and isinstance(error, SpawnFailed):
                self._tell(error)
            elif isinstance(error, BaseException):
                await self.stop(0)
                raise error
        await self._care.start()

    async def stop(self, seconds: float | None = None) -> None:
        """Drain all processes and wait until they are gone.

        Arguments:
            seconds: how long running executions may go on; the pool's own drain time, if left out.
        """
        self._stopping = True
        await self._care.stop()
        drain = self.desired.orders.drain if seconds is None else seconds
        await asyncio.gather(
            self._retire(list(self.processes), seconds), self.quarantine.stop(drain)
        )
        for keeper in list(self._keepers):
            await end(keeper)

    def hurry(self) -> None:
        """Drain no longer: end all processes now."""
        for process in self.processes:
            process.hurry()
        self.quarantine.hurry()

    async def reconfigure(self, desired: Desired) -> None:
        """Change the settings of the pool; processes come and go as their number says.

        Raises:
            Rejected: a process cannot become this; all are as they were.
        """
        try:
            async with self._restarting:
                await self._reconfigure(desired)
        finally:
            self._keep(self._restart())

    def revive(self) -> bool:
        """Try again to start the desired processes; return True if there were too few."""
        if len(self._working()) >= self.desired.processes:
            return False
        self._forgive()
        self._keep(self._restart())
        return True

    async def _reconfigure(self, desired: Desired) -> None:
        self._forgive()
        surplus = self._working()[desired.processes :]
        staying = self._working()[: desired.processes]
        previous, self.desired = self.desired, desired
        try:
            await self._instruct(staying, desired)
            while len(self._working()) < desired.processes:
                await self._spawn(desired)
        except (Rejected, OperatorError):
            self.desired = previous
            with contextlib.suppress(Rejected, OperatorError):
                await self._instruct(self._working(), previous)
            raise
        for process in surplus:
            self._retire_later(process)

    async def _instruct(self, processes: list[WorkerProcess], desired: Desired) -> None:
        """Make working processes follow new orders; one that does not answer follows as soon as it can.

        Raises:
            Rejected: one of them cannot become it.
        """
        answers = await asyncio.gather(
            *(
                asyncio.wait_for(process.configure(desired.revision, desired.orders), ANSWER_WITHIN)
                for process in processes
            ),
            return_exceptions=True,
        )
        for process, answer in zip(processes, answers, strict=True):
            if isinstance(answer, asyncio.TimeoutError):
                # The orders are in the line: they are read when its event loop turns again.
                logger.warning(
                    "Pool %s: process %d does not answer, a task may block it; it follows when it can",
                    self.name,
                    process.pid,
                )
            elif isinstance(answer, BaseException) and not isinstance(answer, Died):
                # One that has died is replaced by one that is what is desired now.
                raise answer

    async def stage(self, desired: Desired) -> WorkerProcess:
        """Bring up one process beside the others that is what the pool is to be: the canary.

        Raises:
            Rejected: it cannot work; nothing has changed.
        """
        canary = await self._spawn(desired)
        self._canaries.append(canary)
        return canary

    async def unstage(self, canary: WorkerProcess) -> None:
        """Take a canary down again, unless a roll has taken it in; the pool is what it was."""
        if canary in self._canaries:
            self._canaries.remove(canary)
            await self._retire([canary], 0)

    async def roll(self, desired: Desired, canary: WorkerProcess | None = None) -> None:
        """Replace all processes, as many at a time as the surge allows: new ones work before old ones drain.

        Returns when the new ones work; the old ones go on draining.

        Arguments:
            desired: what the pool shall be.
            canary: the first of the new ones, if it is up already.

        Raises:
            Rejected: the new processes cannot work; the old ones go on.
        """
        try:
            async with self._restarting:
                await self._roll(desired, self._taken_in(canary))
        finally:
            # Some may have ended meanwhile.
            self._keep(self._restart())

    def _taken_in(self, canary: WorkerProcess | None) -> list[WorkerProcess]:
        """Return the canary as a process of the pool, if it has not ended meanwhile."""
        if canary is not None:
            self._canaries.remove(canary)
        return [process for process in self._working() if process is canary]

    async def _roll(self, desired: Desired, fresh: list[WorkerProcess]) -> None:
        self._forgive()
        old = [process for process in self._working() if process not in fresh]
        previous, self.desired = self.desired, desired
        try:
            # Until the first one is ready nothing old has been touched.
            if not fresh:
                fresh.append(await self._spawn(desired))
            self._retire_surplus(old, len(old) + len(fresh) - desired.processes)
            while (missing := desired.processes - len(fresh)) > 0:
                fresh += await self._spawn_several(desired, min(missing, desired.surge))
                self._retire_surplus(old, len(old) + len(fresh) - desired.processes)
        except (Rejected, OperatorError):
            self.desired = previous
            await self._retire(fresh, 0)
            # What cannot be started now is started by the care for the pool.
            with contextlib.suppress(Rejected, OperatorError):
                while len(self._working()) < previous.processes:
                    await self._spawn(previous)
            raise
        for process in old:
            self._retire_later(process)

    def _retire_surplus(self, old: list[WorkerProcess], surplus: int) -> None:
        """Let go of the oldest, so that there are never more processes than the surge allows."""
        for process in old[: max(0, surplus)]:
            old.remove(process)
            self._retire_later(process)

    @property
    def brake(self) -> Brake:
        """The restart policy of the pool."""
        return self._brake

    @brake.setter
    def brake(self, brake: Brake) -> None:
        self._brake = brake
        self._backoff, deaf = (
            Backoff(brake.initial, brake.longest, brake.factor, brake.jitter) for _ in range(2)
        )
        self._deaf_pauses = DeafPauses(deaf, brake.window)

    def _forgive(self) -> None:
        """Forget earlier crashes: another configuration is another chance."""
        self._recent_crashes.clear()
        self._backoff.reset()
        self._deaf_pauses.reset()
        self.is_degraded = False

    def _working(self) -> list[WorkerProcess]:
        return [
            process
            for process in self.processes
            if process.state is ProcessState.READY and process not in self._canaries
        ]

    async def _spawn(self, desired: Desired) -> WorkerProcess:
        process = WorkerProcess(self.name, desired.place, desired.environment)
        await process.spawn()
        self.processes.append(process)
        try:
            await process.configure(desired.revision, desired.orders)
        except BaseException:
            await process.kill()
            # Who stops the pool may have removed it.
            with contextlib.suppress(ValueError):
                self.processes.remove(process)
            raise
        logger.info(
            "Pool %s: process %d works with revision %d", self.name, process.pid, desired.revision
        )
        self._recovered()
        self._keep(self._watch(process))
        return process

    async def _spawn_several(self, desired: Desired, count: int) -> list[WorkerProcess]:
        """Start so many processes at a time; if one of them cannot work, none of them does."""
        spawned = await asyncio.gather(
            *(self._spawn(desired) for _ in range(count)), return_exceptions=True
        )
        ready = [process for process in spawned if isinstance(process, WorkerProcess)]
        for error in spawned:
            if isinstance(error, BaseException):
                await self._retire(ready, 0)
                raise error
        return ready

    def _keep(self, work: Awaitable[None]) -> None:
        keeper = asyncio.ensure_future(self._told_of(work))
        self._keepers.add(keeper)
        keeper.add_done_callback(self._keepers.discard)

    async def _told_of(self, work: Awaitable[None]) -> None:
        """Do one thing for the pool; an error is logged, and the care for the pool makes up for it."""
        try:
            await work
        except Exception as error:
            if self._reports.is_news(error):
                logger.exception("Pool %s: an unexpected error; the pool goes on", self.name)

    def _tell(self, error: Exception) -> None:
        """Log why a process could not be started, once for as long as it stays the same."""
        self.trouble = str(error)
        if self._reports.is_news(error):
            logger.error("Pool %s: %s; it is tried again until it works", self.name, error)

    def _recovered(self) -> None:
        if self.trouble:
            self.trouble = ""
            self._reports.clear()
            logger.info("Pool %s: processes can be started again", self.name)
        self._spawning.reset()

    def _retire_later(self, process: WorkerProcess) -> None:
        process.state = ProcessState.DRAINING
        self._keep(self._retire([process]))

    async def _retire(self, processes: list[WorkerProcess], seconds: float | None = None) -> None:
        drain = self.desired.orders.drain if seconds is None else seconds
        for process in processes:
            process.state = ProcessState.DRAINING
        await asyncio.gather(*(process.drain(drain, KILL_AFTER) for process in processes))
        for process in processes:
            if process in self.processes:
                self.processes.remove(process)
            self.exits["drained" if process.fate == "crash" else process.fate] += 1
            await self._bury_quietly(process)

    async def _bury_suspect(self, process: WorkerProcess) -> None:
        """Bury a process that ran suspects; its crashes count, but not against the pool."""
        self.exits["drained" if process.was_told_to_go else "crash"] += 1
        await self._bury_quietly(process)

    async def _bury_quietly(self, process: WorkerProcess) -> None:
        """Take care of what it leaves behind; if that fails, its leases end by themselves."""
        await self._told_of(self._bury(process))

    async def _look(self) -> None:
        """Look after processes that hang, those that have done enough, and those that are missing."""
        for process in self._working():
            if process not in self._putting_down and self._hang_detector.hangs(process):
                self._putting_down.add(process)
                self._keep(self._put_down(process))
        tired = {one: why for one in self._working() if (why := self._had_enough(one))}
        if tired and not self._replacing:
            self._replacing = True
            self._keep(self._replace_all(tired))
        if self._is_short_of_processes():
            self._keep(self._restart())

    def _is_short_of_processes(self) -> bool:
        """Return True if processes are missing, and none is about to be started."""
        is_seen_to = self._restarts or self._restarting.locked() or self.is_degraded
        return not is_seen_to and len(self._working()) < self.desired.processes

    async def _replace_all(self, tired: Mapping[WorkerProcess, str]) -> None:
        try:
            for process, reason in tired.items():
                if process not in self._putting_down:
                    await self._replace(process, reason)
        finally:
            self._replacing = False

    def replace_deaf(self, process: WorkerProcess, reason: str) -> float:
        """Replace a process that does not hear of work, and let it drain; asked for again, do it once.

        Where processes go deaf again and again, each is asked for until its pause is over: pauses are as long
        as those before crashed processes are restarted. Returns the seconds that are left, 0 if none are.

        Arguments:
            process: the process.
            reason: how that shows, for the log.
        """
        if process in self._putting_down:
            return 0.0
        is_known = process in self._deaf_pauses
        left = self._deaf_pauses.left(process)
        if not is_known:
            logger.error("Pool %s: process %d is deaf: %s", self.name, process.pid, reason)
        if not left:
            self._putting_down.add(process)
            self._keep(self._replace_one(process, reason))
        return left

    async def _replace_one(self, process: WorkerProcess, reason: str) -> None:
        try:
            await self._replace(process, reason, "deaf")
        finally:
            self._putting_down.discard(process)

    async def _put_down(self, process: WorkerProcess) -> None:
        logger.error(
            "Pool %s: process %d hangs: it has said nothing for %.0f s and computes nothing; it is killed",
            self.name,
            process.pid,
            time.monotonic() - process.heard_at,
        )
        process.fate = "hung"
        process.dump_stacks()
        await asyncio.sleep(0.5)  # for the stacks to be written: one that is stopped writes none
        await process.kill()

    def _had_enough(self, process: WorkerProcess) -> str:
        recycling = self.desired.recycling
        rss = 0 if recycling.max_rss is None else resident_bytes(process.pid)
        return recycling.reason(process.lot, runs=process.runs, age=process.age, rss=rss)

    async def _replace(self, process: WorkerProcess, reason: str, fate: str = "recycled") -> None:
        async with self._restarting:
            if process not in self._working():
                return
            try:
                await self._spawn(self.desired)
            except OperatorError as error:
                self._tell(error)
                await asyncio.sleep(self._spawning.next_pause())
                return
            except Rejected as error:
                if self._reports.is_news(error):
                    logger.error("Pool %s: a new process cannot work: %s", self.name, error)
                return
        logger.info("Pool %s: process %d is replaced: %s", self.name, process.pid, reason)
        process.fate = fate
        self._retire_later(process)

    async def _watch(self, process: WorkerProcess) -> None:
        """Replace a process that ends by itself."""
        await process.until_exited()
        if self._stopping or process not in self.processes or process.was_told_to_go:
            return
        self.processes.remove(process)
        self._putting_down.discard(process)
        await self._bury_quietly(process)
        if process.left_suspects:
            self.quarantine.ask_for()
        self._count_crash(process, process.age)
        await self._restart()

    def _count_crash(self, process: WorkerProcess, age: float) -> None:
        now = time.monotonic()
        self.exits[process.fate] += 1
        self._recent_crashes.append(now)
        while self._recent_crashes[0] < now - self.brake.window:
            self._recent_crashes.popleft()
        if age >= self.brake.stable_after:
            self._backoff.reset()
        self._give_up_if_exhausted()
        logger.error(
            "Pool %s: process %d ended with %s after %.1f s; its work is taken over",
            self.name,
            process.pid,
            describe_exit(process.exit_code),
            age,
        )

    def _give_up_if_exhausted(self) -> None:
        was_degraded = self.is_degraded
        self.is_degraded = len(self._recent_crashes) > self.brake.max_crashes
        if self.is_degraded and not was_degraded:
            self._exhausted(self.name)

    async def _restart(self) -> None:
        """Start what is missing, however long that takes."""
        self._restarts += 1
        try:
            await self._start_missing()
        finally:
            self._restarts -= 1

    async def _start_missing(self) -> None:
        while not self._stopping and len(self._working()) < self.desired.processes:
            if self.is_degraded:
                logger.error(
                    "Pool %s is degraded: more than %d crashes in %.0f s; it is left as it is until "
                    "its configuration or code changes",
                    self.name,
                    self.brake.max_crashes,
                    self.brake.window,
                )
                return
            pause = 0.0 if len(self._recent_crashes) <= 1 else self._backoff.next_pause()
            await asyncio.sleep(pause)
            try:
                # One at a time: who dies together must not be replaced twice, nor with old orders.
                async with self._restarting:
                    if len(self._working()) < self.desired.processes:
                        await self._spawn(self.desired)
            except OperatorError as error:
                # Neither its code nor its configuration is to blame: it is not a crash.
                self._tell(error)
                await asyncio.sleep(self._spawning.next_pause())
            except Rejected as error:
                self.trouble = f"a new process cannot work: {error}"
                self._recent_crashes.append(time.monotonic())
                self._give_up_if_exhausted()
                logger.error("Pool %s: a new process cannot work: %s", self.name, error)
