"""Carries out a plan, step by step; what was done is undone when a step fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from typing_extensions import assert_never

from ..assembly import lane_of, orders_for, rule_for, serializer_for
from ..config.model import Configuration
from ..config.plan import (
    Action,
    Apply,
    ChangeLogging,
    ReconfigurePool,
    ReconfigureSupervisor,
    ReplaceSchedules,
    ReplaceStrikes,
    ReplaceTaskPolicies,
    RollPool,
    StartPool,
    StopPool,
    plan,
)
from ..config.tables.strikes import Strike
from ..config.tables.tasks import Task
from ..errors import DocketError
from ..instrumentation.console import set_up_logging
from ..schedules.desired import desired_schedules
from ..schedules.ticker import Ticker
from ..storage.exchange import release
from ..storage.keys import DEFAULT_QUEUE
from ..storage.storage import Storage
from ..strikelist import StrikeList
from .pool import Brake, Desired, Pool
from .process import WorkerProcess

logger = logging.getLogger("docket.supervisor")

FROM_FILE = "file:"
"""What the source of a strike begins with that the configuration made; only such are taken back."""


@dataclass
class Fleet:
    """What a supervisor keeps: pools, schedules, and what Redis holds for them.

    Arguments:
        path: the configuration file; tasks are imported from its directory.
        storage: what Redis holds.
        ticker: the schedules.
        pools: the pools, by name.
        on_exit: called with what a process had counted when it is gone.
        queues: every queue that a pool of this life has worked on: a dead worker may hold work of any.
    """

    path: Path
    storage: Storage
    ticker: Ticker
    pools: dict[str, Pool] = field(default_factory=dict[str, Pool])
    on_exit: Callable[[list[tuple[str, str, int]]], None] = lambda _: None
    queues: set[str] = field(default_factory=set[str])

    async def bury(self, process: WorkerProcess) -> None:
        """Keep what a process has counted, and have the work that it left taken over at once."""
        self.on_exit(process.counts)
        if process.consumer is None:
            return
        try:
            connection, keys = self.storage.connection, self.storage.keys
            count = await release(connection, keys, process.consumer, sorted(self.queues))
        except DocketError as error:
            logger.warning(
                "The work of process %d is taken over when its leases end: %s", process.pid, error
            )
            return
        if count:
            logger.warning("%d executions of process %d are taken over", count, process.pid)


class Applier:
    """Makes the fleet what a configuration says.

    Arguments:
        fleet: what is kept.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def establish(self, configuration: Configuration) -> None:
        """Bring everything up for the first time.

        Raises:
            Rejected: a pool can not work.
            ServerUnavailable: Redis did not answer in time.
        """
        await self._strike(configuration.strikes)
        await self._route(configuration.tasks)
        for name in configuration.workers:
            await self._start(name, configuration, 1)
        await self._schedule(configuration)

    async def apply(
        self, old: Configuration, new: Configuration, apply: Apply, revision: int
    ) -> None:
        """Carry out a plan; if a step fails, everything is as it was before.

        A pool whose step fails stays as it was; every other step is taken back.

        Raises:
            Rejected: a pool can not work with the new configuration.
            ServerUnavailable: Redis did not answer in time.
        """
        done: list[Action] = []
        self._fleet.ticker.serializer = serializer_for(new, self._fleet.path)
        try:
            for action in apply.actions:
                if _subject(action)[0] != "pool":  # what is about several may fail half way
                    done.append(action)
                await self._do(action, new, revision)
                done.append(action)
        except Exception:
            self._fleet.ticker.serializer = serializer_for(old, self._fleet.path)
            await self._undo(done, old, new, revision)
            raise

    async def _undo(
        self, done: list[Action], old: Configuration, new: Configuration, revision: int
    ) -> None:
        back = plan(new, old)
        assert isinstance(back, Apply)
        touched = {_subject(action) for action in done}
        for action in back.actions:
            if _subject(action) not in touched:
                continue
            try:
                await self._do(action, old, revision)
            except Exception as error:
                logger.error("Could not undo %s: %s", _subject(action), error)

    async def _do(self, action: Action, configuration: Configuration, revision: int) -> None:
        match action:
            case ChangeLogging(logging=settings):
                set_up_logging(settings.level, settings.format)
                await self._reconfigure_all(configuration, revision)
            case ReconfigureSupervisor():
                for pool in self._fleet.pools.values():
                    pool.brake = brake_of(configuration)
            case ReplaceStrikes(strikes=strikes):
                await self._strike(strikes)
            case ReplaceTaskPolicies(tasks=tasks):
                await self._route(tasks)
                await self._reconfigure_all(configuration, revision)
            case StartPool(name=name):
                await self._start(name, configuration, revision)
            case StopPool(name=name):
                await self._stop(name)
            case RollPool(name=name):
                await self._fleet.pools[name].roll(self._desired(name, configuration, revision))
            case ReconfigurePool(name=name):
                desired = self._desired(name, configuration, revision)
                await self._fleet.pools[name].reconfigure(desired)
            case ReplaceSchedules():
                await self._schedule(configuration)
            case _:
                assert_never(action)

    def _desired(self, name: str, configuration: Configuration, revision: int) -> Desired:
        pool = configuration.workers[name]
        self._fleet.queues.update(pool.queues)
        return Desired(
            revision,
            pool.processes,
            orders_for(configuration, name, self._fleet.path),
            str(self._fleet.path.resolve().parent),
            dict(pool.env),
        )

    async def _start(self, name: str, configuration: Configuration, revision: int) -> None:
        if name in self._fleet.pools:
            return
        desired = self._desired(name, configuration, revision)
        pool = Pool(name, desired, brake_of(configuration), self._fleet.bury)
        await pool.start()
        self._fleet.pools[name] = pool

    async def _stop(self, name: str) -> None:
        pool = self._fleet.pools.pop(name, None)
        if pool is not None:
            await pool.stop()

    async def _reconfigure_all(self, configuration: Configuration, revision: int) -> None:
        for name, pool in self._fleet.pools.items():
            if name in configuration.workers and not _rolls(pool, name, configuration):
                await pool.reconfigure(self._desired(name, configuration, revision))

    async def _schedule(self, configuration: Configuration) -> None:
        await self._fleet.ticker.declare(desired_schedules(configuration))

    async def _route(self, tasks: Mapping[str, Task]) -> None:
        lanes = {name: lane_of(task) for name, task in tasks.items()}
        routes = {name: lane for name, lane in lanes.items() if lane != DEFAULT_QUEUE}
        await self._fleet.storage.executions.route(routes)

    async def _strike(self, strikes: tuple[Strike, ...]) -> None:
        """Have exactly these strikes of the configuration in force; those of callers are not touched."""
        fleet = self._fleet
        in_force = StrikeList(serializer=fleet.ticker.serializer, storage=fleet.storage)
        await in_force.refresh()
        wanted = {rule.identity: rule for rule in map(rule_for, strikes)}
        for identity, rule in dict(in_force.rules).items():
            if identity not in wanted and rule.source.startswith(FROM_FILE):
                await in_force.lift(rule)
        for identity, rule in wanted.items():
            if in_force.rules.get(identity) != rule:
                await in_force.impose(rule)


def brake_of(configuration: Configuration) -> Brake:
    """How pools behave when their processes crash."""
    restart = configuration.supervisor.restart
    return Brake(
        initial=restart.backoff.initial.total_seconds(),
        longest=restart.backoff.max.total_seconds(),
        factor=restart.backoff.factor,
        jitter=restart.backoff.jitter,
        stable_after=restart.stable_after.total_seconds(),
        max_crashes=restart.max_crashes,
        window=restart.window.total_seconds(),
    )


def _subject(action: Action) -> tuple[str, str]:
    """What an action is about: the same for the step forth and the step back."""
    if isinstance(action, (StartPool, StopPool, RollPool, ReconfigurePool)):
        return "pool", action.name
    return type(action).__name__, ""


def _rolls(pool: Pool, name: str, configuration: Configuration) -> bool:
    """Whether settings alone can not make the pool what the configuration says."""
    return dict(pool.desired.environment) != dict(configuration.workers[name].env)
