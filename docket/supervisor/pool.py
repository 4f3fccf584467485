"""A pool of equal worker processes: what is desired beside what runs, and the steps from one to the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ..errors import ServerUnavailable
from ..orders import WorkerOrders
from ..service import end
from ..storage.patience import Backoff
from .lookout import HANG, Lookout
from .process import Died, ProcessState, Rejected, WorkerProcess, describe_exit
from .recycling import NEVER, Recycling
from .vitals import resident_bytes

logger = logging.getLogger("docket.supervisor")

KILL_AFTER = 1.0
"""Seconds that a process gets to exit when its drain is over."""

ANSWER_WITHIN = 5.0
"""Seconds that a process that works gets to say that it has become what it was told to be."""

LOOK_EVERY = 1.0
"""Seconds between two looks at the processes: whether they hang, and whether they have done enough."""


@dataclass(frozen=True)
class Desired:
    """What a pool shall be."""

    revision: int
    processes: int
    orders: WorkerOrders
    directory: str
    environment: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    surge: int = 1
    """How many new processes come up at a time in a roll."""
    recycling: Recycling = NEVER


@dataclass(frozen=True)
class Brake:
    """How a pool behaves when its processes crash.

    Arguments:
        initial, longest: the first and the longest pause before a restart, in seconds.
        factor: by how much each pause is longer than the one before.
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


class Pool:
    """Keeps as many processes ready as are desired.

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
        """Processes that are gone, by why: crash, hung, recycled, drained."""
        self.is_degraded = False
        self._bury = bury
        self._exhausted = exhausted
        self._lookout = Lookout(name, hang)
        self.brake = brake
        self._recent_crashes: deque[float] = deque()
        self._canaries: list[WorkerProcess] = []
        """Processes that are up beside the pool, and are not of it before it rolls."""
        self._keepers: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._restarting = asyncio.Lock()

    @property
    def crashes(self) -> int:
        """How many processes have ended without being told to."""
        return self.exits["crash"] + self.exits["hung"]

    @property
    def ready(self) -> int:
        """How many processes work."""
        return sum(process.state is ProcessState.READY for process in self.processes)

    async def start(self) -> None:
        """Bring all processes up; the pool is ready when they are.

        Raises:
            Rejected: the first one can not become what is desired.
        """
        started = await asyncio.gather(
            *(self._spawn(self.desired) for _ in range(self.desired.processes)),
            return_exceptions=True,
        )
        for error in started:
            if isinstance(error, BaseException):
                await self.stop(0)
                raise error
        self._keep(self._look_after())

    async def stop(self, seconds: float | None = None) -> None:
        """Drain all processes and wait until they are gone.

        Arguments:
            seconds: how long running executions may go on; the pool's own drain time, if left out.
        """
        self._stopping = True
        await self._retire(list(self.processes), seconds)
        for keeper in list(self._keepers):
            await end(keeper)

    def hurry(self) -> None:
        """Drain no longer: end all processes now."""
        for process in self.processes:
            process.hurry()

    async def reconfigure(self, desired: Desired) -> None:
        """Become something else by settings alone; processes come and go as their number says.

        Raises:
            Rejected: a process can not become this; all are as they were.
        """
        try:
            async with self._restarting:
                await self._reconfigure(desired)
        finally:
            self._keep(self._restart())

    def revive(self) -> bool:
        """Try again to have as many processes as are desired; tells whether there were too few."""
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
            await self._tell(staying, desired)
            while len(self._working()) < desired.processes:
                await self._spawn(desired)
        except (Rejected, ServerUnavailable):
            self.desired = previous
            await self._tell(self._working(), previous)
            raise
        for process in surplus:
            self._retire_later(process)

    async def _tell(self, processes: list[WorkerProcess], desired: Desired) -> None:
        """Have processes that work become this; who does not answer becomes it as soon as it can.

        Raises:
            Rejected: one of them can not become it.
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
        """Bring up one process beside the others that is what the pool shall be: the canary.

        Raises:
            Rejected: it can not work; nothing has changed.
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
            Rejected: the new processes can not work; the old ones go on.
        """
        try:
            async with self._restarting:
                await self._roll(desired, self._taken_in(canary))
        finally:
            # Some may have ended meanwhile.
            self._keep(self._restart())

    def _taken_in(self, canary: WorkerProcess | None) -> list[WorkerProcess]:
        """The canary as a process of the pool, if it has not ended meanwhile."""
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
            while (missing := desired.processes - len(fresh)) > 0:
                fresh += await self._spawn_several(desired, min(missing, desired.surge))
                surplus = len(old) + len(fresh) - desired.processes
                for process in old[: max(0, surplus)]:
                    old.remove(process)
                    self._retire_later(process)
        except (Rejected, ServerUnavailable):
            self.desired = previous
            await self._retire(fresh, 0)
            while len(self._working()) < previous.processes:
                await self._spawn(previous)
            raise
        for process in old:
            self._retire_later(process)

    @property
    def brake(self) -> Brake:
        """How the pool behaves when its processes crash."""
        return self._brake

    @brake.setter
    def brake(self, brake: Brake) -> None:
        self._brake = brake
        self._backoff = Backoff(brake.initial, brake.longest, brake.factor, brake.jitter)

    def _forgive(self) -> None:
        """Another configuration is another chance."""
        self._recent_crashes.clear()
        self._backoff.reset()
        self.is_degraded = False

    def _working(self) -> list[WorkerProcess]:
        return [
            process
            for process in self.processes
            if process.state is ProcessState.READY and process not in self._canaries
        ]

    async def _spawn(self, desired: Desired) -> WorkerProcess:
        process = WorkerProcess(self.name, desired.directory, desired.environment)
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
        self._keep(self._watch(process))
        return process

    async def _spawn_several(self, desired: Desired, count: int) -> list[WorkerProcess]:
        """So many at a time; if one of them can not work, none of them does."""
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
        keeper = asyncio.ensure_future(work)
        self._keepers.add(keeper)
        keeper.add_done_callback(self._keepers.discard)

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
            await self._bury(process)

    async def _look_after(self) -> None:
        """See to processes that hang, and to those that have done enough."""
        while not self._stopping:
            await asyncio.sleep(LOOK_EVERY)
            for process in self._working():
                if self._lookout.hangs(process):
                    await self._put_down(process)
            for process in self._working():
                if reason := self._had_enough(process):
                    await self._replace(process, reason)

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

    async def _replace(self, process: WorkerProcess, reason: str) -> None:
        async with self._restarting:
            if process not in self._working():
                return
            try:
                await self._spawn(self.desired)
            except (Rejected, ServerUnavailable) as error:
                logger.error("Pool %s: a new process can not work: %s", self.name, error)
                return
        logger.info("Pool %s: process %d is replaced: %s", self.name, process.pid, reason)
        process.fate = "recycled"
        self._retire_later(process)

    async def _watch(self, process: WorkerProcess) -> None:
        """Replace a process that ends by itself."""
        await process.until_exited()
        if self._stopping or process not in self.processes or process.was_told_to_go:
            return
        self.processes.remove(process)
        await self._bury(process)
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
            except ServerUnavailable as error:
                logger.warning("Pool %s: a new process waits for Redis: %s", self.name, error)
                await asyncio.sleep(self._backoff.next_pause())
            except Rejected as error:
                self._recent_crashes.append(time.monotonic())
                self._give_up_if_exhausted()
                logger.error("Pool %s: a new process can not work: %s", self.name, error)
