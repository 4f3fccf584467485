"""The worker: wires its services together, runs them, and drains."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Any, ClassVar

from typing_extensions import Self

from ..annotations import compact_signature, get_signature
from ..calls.registry import TaskFunction, load
from ..dependencies.lifecycles import lifecycles
from ..dependencies.limits_of import limits_of
from ..dependencies.resolution import (
    FailedDependency,
    detect_single_conflicts,
    validate_worker_dependencies,
)
from ..discovery.fingerprint import Code, code_of
from ..docket import Docket
from ..errors import ServerUnavailable
from ..execution import Execution
from ..foundation.call_options import with_priorities
from ..foundation.clock import ServerClock
from ..foundation.durations import format_duration
from ..foundation.names import check_name
from ..foundation.service import Service, Services, end
from ..foundation.units import MILLISECOND, milliseconds
from ..instrumentation import logs
from ..instrumentation.events import Observer, Observers
from ..instrumentation.health import LOOPBACK, healthcheck_server
from ..instrumentation.logs import WorkerLog
from ..instrumentation.metrics import Tally
from ..instrumentation.prometheus import metrics_server
from ..instrumentation.telemetry import WorkerTelemetry
from ..runners.signals import answering
from ..serialization import says_nothing
from ..storage.bell import Bell
from ..storage.claims import Claimed, Consumer, Settlement
from ..storage.keys import DEFAULT_QUEUE
from ..storage.scripting.retrying import Backoff
from .automatic_tasks import AutomaticTasks
from .naming import Names
from .runs.account import with_account
from .runs.cancellation import Cancellation
from .runs.ends import Raised, ended
from .runs.executor import Executor, ordered
from .runs.outcome import Bookkeeping, Delayed, Failed, Outcome, Perpetuated, Waiting
from .runs.recording import RecordingTask
from .runs.slots import End, Run, Running
from .services.answering import Answering
from .services.doorbell import Doorbell
from .services.heartbeat import Heartbeat
from .services.large_calls import Loading
from .services.leases import Leases
from .services.recent_ends import RecentEnds, SeriesReport
from .services.respondent import Respondent
from .services.round_trips import RoundTrips
from .services.unparking import Unparking
from .shutdown import FAREWELL, LAST_WORDS, Shutdown

_RECHECK = timedelta(milliseconds=100)

_names: Names[Worker] = Names()


class Worker:
    """A worker, which runs the executions of a docket, as many at a time as it has slots.

    Use it as an async context manager inside the docket's own.

    Arguments:
        docket: the docket that has the work.
        name: the name that people see; if left out, the host and the process, and a number beside others.
        concurrency: the number of executions that run at a time.
        redelivery_timeout: the lease: how long a silent worker keeps what it holds. It is renewed while
            a task runs, however long that takes.
        reconnection_delay: accepted for compatibility; the pause after trouble starts at 50 ms and
            doubles up to 2 s.
        minimum_check_interval: accepted as an upper bound; a worker is woken, it does not poll.
        scheduling_resolution: accepted as an upper bound, too.
        schedule_automatic_tasks: start perpetual tasks that ask for it.
        enable_internal_instrumentation: show the worker's own Redis traffic in traces.
        fallback_task: called in place of unknown tasks; without it they are parked.
        dependencies: those wrapped around every task, by name or in order; tasks do not see the values.
        message_batch: accepted for compatibility; a claim takes as many as there are free slots.
        queues: the queues to work on, best first.
        suspects_wait: the milliseconds for which it leaves what was in flight in a process that died
            to others; None if it runs nothing else. The supervisor says so.
        is_introduced: write to the log that it starts, and which tasks it knows.
        code: the code that it runs; if left out, what was imported when it starts.

    Example:
        >>> async with Docket() as docket:
        ...     async with Worker(docket) as worker:
        ...         worker.register(greet)
        ...         await worker.run_until_finished()
    """

    clock_type: ClassVar[type[ServerClock]] = ServerClock
    """The clock that keeps the server's time between its answers."""

    def __init__(
        self,
        docket: Docket,
        name: str | None = None,
        concurrency: int = 10,
        redelivery_timeout: timedelta = timedelta(seconds=30),
        reconnection_delay: timedelta = timedelta(seconds=5),
        minimum_check_interval: timedelta = timedelta(milliseconds=250),
        scheduling_resolution: timedelta = timedelta(milliseconds=250),
        schedule_automatic_tasks: bool = True,
        enable_internal_instrumentation: bool = False,
        fallback_task: TaskFunction | None = None,
        dependencies: Mapping[str, Any] | Sequence[Any] | None = None,
        message_batch: int = 1000,
        *,
        queues: Sequence[str] = (DEFAULT_QUEUE,),
        observers: Sequence[Observer] = (),
        suspects_wait: int | None = 0,
        is_introduced: bool = True,
        code: Code | None = None,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {concurrency}")
        if message_batch < 1:
            raise ValueError(f"message_batch must be at least 1, got {message_batch}")
        if redelivery_timeout < MILLISECOND:
            raise ValueError(
                f"redelivery_timeout must be at least 1ms, got {format_duration(redelivery_timeout)}"
            )
        self.dependencies = validate_worker_dependencies(dependencies)
        self.message_batch = message_batch
        self.docket = docket
        self.name = name or _names.take(self, docket.storage.keys.prefix)
        # Two workers of one name are two consumers: what one holds must not be taken for the other's.
        self.consumer = f"{self.name}:{secrets.token_hex(4)}"
        self.redelivery_timeout = redelivery_timeout
        self.reconnection_delay = reconnection_delay
        self.minimum_check_interval = minimum_check_interval
        self.scheduling_resolution = scheduling_resolution
        self.schedule_automatic_tasks = schedule_automatic_tasks
        self.enable_internal_instrumentation = enable_internal_instrumentation
        self.fallback_task = fallback_task
        self._asked = self.queues = tuple(check_name("queue", queue) for queue in queues)
        """The queues that it is to work on; ``queues`` are these and their priorities that are used."""
        self._used: frozenset[str] = frozenset()
        self.suspects_wait = suspects_wait
        self.is_introduced = is_introduced
        self._code = code
        self.revision = 0
        """The revision of the configuration that it follows; 0 without a supervisor."""
        self._clock = self.clock_type()
        self.tally = Tally()
        telemetry = WorkerTelemetry(self.labels(), docket.tasks)
        self._recent_ends = RecentEnds(self._clock.now)
        self._observer = Observers(
            [WorkerLog(), self.tally, telemetry, self._recent_ends, *observers]
        )
        self._running = Running(concurrency)
        self._services = Services()
        self._started = asyncio.Event()
        self._shutdown = Shutdown()
        self._is_drained = False
        """True if it was drained by a deadline: then it no longer waits for anything."""
        self._runs_of_keys: Counter[str] | None = None
        """Number of runs of each key, while they are counted."""
        self._wire()

    def _wire(self) -> None:
        """Make the services and connect them."""
        docket, storage, observer = self.docket, self.docket.storage, self._observer
        lease = self.redelivery_timeout.total_seconds()
        self._has_history = bool(storage.keys.history)
        self._bookkeeping = Bookkeeping(
            docket.serializer,
            docket.dump_call,
            docket.execution_ttl,
            docket.dead_ttl,
            lambda task: docket.registry.policy(task).result_ttl,
        )
        claimant = Consumer(
            self.name,
            self.consumer,
            self.queues,
            milliseconds(self.redelivery_timeout),
            milliseconds(docket.record_ttl),
            milliseconds(docket.dead_ttl),
            self._running.concurrency,
            self.suspects_wait,
        )
        self._executor = Executor(self, observer, self.fallback_task)
        self._exchange = storage.exchange(claimant, is_shown=self.enable_internal_instrumentation)
        self._loading = Loading(self._exchange)
        self._round_trips = RoundTrips(
            self._exchange, self._running, self._clock, observer, self._begin, lease
        )
        self._bell = Bell(storage.connection, storage.keys, self.queues)
        self._doorbell = Doorbell(
            self._bell, self._round_trips.look, is_shown=self.enable_internal_instrumentation
        )
        self._round_trips.on_idle = self._doorbell.stand_by
        self._leases = Leases(
            storage.connection,
            storage.keys,
            self.consumer,
            lease,
            self._running,
            observer,
            is_quarantine=self.suspects_wait is None,
            respondent=Respondent(storage.keys, self.name, self._running),
        )
        self._answering = Answering(storage, self.name, self._leases)
        self._cancellation = Cancellation(storage, self._running, self._leases)
        self._automatic_tasks = AutomaticTasks(docket, self._clock)
        self._series_report = SeriesReport(storage.series, self.consumer, self._recent_ends)
        self._heartbeat = Heartbeat(
            docket,
            self.name,
            self._clock,
            observer,
            lambda: self.queues,
            self._look_for_priorities,
            self._automatic_tasks.look,
            lambda: limits_of(self),
            takes_all=self.fallback_task is not None,
            code=lambda: self.code.fingerprint,
            slots=lambda: self.concurrency,
            report=self._series_report.send,
        )
        self._unparking = Unparking(
            docket, observer, lambda: self._running.free, self._round_trips.look
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            # A block that ends with an error does not wait for what runs.
            await self._shutdown.ask(at_once=exc_type is not None)
        finally:
            await self._executor.close()
        _names.give_back(self, self.docket.storage.keys.prefix, self.name)

    @property
    def concurrency(self) -> int:
        """Number of executions that run at a time; can be changed while they do."""
        return self._running.concurrency

    @concurrency.setter
    def concurrency(self, concurrency: int) -> None:
        self._running.concurrency = concurrency
        self._exchange.claimant = replace(self._exchange.claimant, concurrency=concurrency)
        self._round_trips.look()

    async def work_on(self, queues: Sequence[str]) -> None:
        """Work on other queues from now on, best first; what runs goes on."""
        self._asked = tuple(queues)
        if self._serve():
            await self._doorbell.stop()
            await self._doorbell.start()
            self._round_trips.look()

    def _serve(self) -> bool:
        """Serve the queues that it is asked to, with their priorities; return True if they are others."""
        queues = with_priorities(self._asked, self._used)
        if queues == self.queues:
            return False
        self.queues = self._bell.queues = queues
        self._exchange.claimant = replace(self._exchange.claimant, queues=queues)
        return True

    async def _look_for_priorities(self) -> None:
        self._used = await self.docket.storage.queues.used()
        await self.work_on(self._asked)

    async def complete(self, run: Run) -> bool:
        """Read the call of a run that came without; return False if another worker has taken it over."""
        return await self._loading.complete(run)

    async def until_started(self) -> None:
        """Wait until the worker is registered and claims."""
        await self._started.wait()

    @property
    def is_ending(self) -> bool:
        """True if all tasks of its event loop were cancelled, as at the end of ``asyncio.run``."""
        return self._shutdown.is_ending

    @property
    def code(self) -> Code:
        """The code that it runs, as it was when it was imported."""
        if self._code is None:
            self._code = code_of(
                {getattr(task, "__module__", "") for task in self.docket.tasks.values()}
            )
        return self._code

    @property
    def in_flight(self) -> int:
        """Number of executions that run now."""
        return len(self._running)

    @property
    def free(self) -> int:
        """Number of executions that it could take now."""
        return self._running.free

    @property
    def claims(self) -> int:
        """Number of its claims that the server has answered."""
        return self._round_trips.claims

    @property
    def last_contact(self) -> float | None:
        """Time of the server's last answer, on the clock of the event loop."""
        contacts = [
            at
            for at in (self._round_trips.last_contact, self._heartbeat.last_contact)
            if at is not None
        ]
        return max(contacts, default=None)

    @property
    def outage(self) -> str:
        """The reason why Redis does not do what it is asked for; empty if it does."""
        return self._round_trips.outage or self._heartbeat.outage

    def stuck(self) -> list[str]:
        """Return the background loops that no longer do their work. Safe to call from any thread."""
        return self._services.stuck()

    def labels(self) -> Mapping[str, str]:
        """Return the labels of the metrics and spans of this worker."""
        return {**self.docket.labels(), "docket.worker": self.name}

    @property
    def workers_set(self) -> str:
        """The key of the sorted set of all workers of the docket, by their last heartbeat."""
        return self.docket.storage.keys.workers

    def worker_tasks_set(self, worker_name: str) -> str:
        """Return the key of the set of tasks that a worker knows."""
        return self.docket.storage.keys.worker_tasks(worker_name)

    def task_workers_set(self, task_name: str) -> str:
        """Return the key of the set of workers that know a task."""
        return self.docket.storage.keys.task_workers(task_name)

    def validate_task_dependencies(
        self,
        function: TaskFunction,
        arguments: Mapping[str, Any],
        annotations: Mapping[str, Sequence[Any]],
    ) -> dict[str, FailedDependency]:
        """Return the conflicts where this worker and a task both declare what there can be only one of.

        Without dependencies of its own a worker has nothing to look for: the task was checked when it
        was registered.

        Arguments:
            function: the task.
            arguments: what was resolved, by where it was found.
            annotations: what stands in ``Annotated``, by parameter.
        """
        del function
        return detect_single_conflicts(arguments, annotations) if self.dependencies else {}

    def register(self, function: TaskFunction, names: Sequence[str] | None = None) -> None:
        """Make a task known, as does ``docket.register``."""
        self.docket.register(function, names)

    async def run_forever(self) -> None:
        """Work until the awaiting task is cancelled, or the worker or its docket is left.

        Then it drains without a deadline and returns. Cancelled again, it hands back what still runs, its
        attempt unspent, and returns at once. So it does where all tasks of the event loop are cancelled, as
        ``asyncio.run`` does at its end.
        """
        await self._run(asyncio.Event().wait)

    async def run_until_finished(self) -> None:
        """Work until nothing is queued, scheduled or running; wait for future executions as well.

        What is parked is not waited for: a warning says how much that is.
        """
        await self._run(self._until_finished)

    async def run_at_most(self, iterations_by_key: Mapping[str, int]) -> None:
        """Work as ``run_until_finished`` does, running each of these keys so many times at most.

        Arguments:
            iterations_by_key: how often an execution of a key may run; others run as they come.
        """
        self._runs_of_keys = runs = Counter[str]()

        def is_enough(execution: Execution) -> bool:
            most = iterations_by_key.get(execution.key)
            return most is not None and runs[execution.key] >= most

        self.docket.strike_list.add_condition(is_enough)
        try:
            await self.run_until_finished()
        finally:
            self.docket.strike_list.remove_condition(is_enough)
            self._runs_of_keys = None

    async def drain(self, deadline: timedelta | None = None) -> None:
        """Claim no more and finish what runs.

        Arguments:
            deadline: after which what still runs is handed back to the queue, its attempt unspent. A
                task that does not let itself be ended, and a server that does not answer, are given up a
                moment later; without a deadline they are waited for.
        """
        self._round_trips.stop_claiming()
        if deadline is None:
            await self._until_empty()
            await self._round_trips.until_settled()
            return
        await _within(deadline.total_seconds(), self._until_empty())
        await _within(FAREWELL, self._hand_back())
        self._is_drained = True

    async def _hand_back(self) -> None:
        self._interrupt()
        await self._round_trips.until_landed()
        self._interrupt()  # what a claim has brought that was on its way back
        await self._running.until_empty()
        await self._round_trips.until_settled()

    def _interrupt(self) -> None:
        for run in self._running.held():
            # A run that is cancelled with the whole loop is cancelled once.
            if not (self.is_ending and run.is_cancelled_by_others):
                run.stop(End.INTERRUPTED)
            run.give_up()

    async def _until_empty(self) -> None:
        # A claim that is on its way back may bring more.
        await self._round_trips.until_landed()
        await self._running.until_empty()

    async def _run(self, finished: Callable[[], Awaitable[object]]) -> None:
        if self.is_introduced:
            logs.starting(self.name, self._described_tasks())
        services: list[Service] = [
            self._heartbeat,
            self._unparking,
            self._leases,
            self._cancellation,
            self._answering,
            self._doorbell,
            self._round_trips,
        ]
        if self.schedule_automatic_tasks:
            services.insert(1, self._automatic_tasks)
        self._is_drained = False
        self._shutdown = Shutdown()
        self._services = Services(*services)
        with self._shutdown.awaited() as asked, self.docket.used_by(self._shutdown.ask):
            if not await self._is_reached(asked):
                return
            async with contextlib.AsyncExitStack() as stack:
                try:
                    await stack.enter_async_context(lifecycles(self))
                    failure = await stack.enter_async_context(self._services.running())
                except asyncio.CancelledError:
                    # Told to end before it has claimed anything: what it said of itself is taken back.
                    self._is_drained = True
                    await stack.aclose()
                    await self._retire()
                    return
                self._started.set()
                await self._work(asked, finished, failure)
                await self._wind_up()

    async def _is_reached(self, asked: asyncio.Task[None]) -> bool:
        """Wait until the server is there and its strikes are known; return False if it is to end before."""
        reaching = asyncio.ensure_future(self._reach())
        try:
            await asyncio.wait({asked, reaching}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # Cancelling is how people stop a worker, also one that waits for its server.
            await end(reaching)
            return False
        if not reaching.done():
            await end(reaching)
            return False
        reaching.result()
        return True

    async def _reach(self) -> None:
        backoff, is_away = Backoff(0.05, 1.4), False
        while True:
            try:
                self._used = await self.docket.storage.queues.used()
                break
            except ServerUnavailable as error:
                is_away, pause = True, backoff.next_pause()
                self._observer.disrupted(error, pause)
                await asyncio.sleep(pause)
        if is_away:
            self._observer.recovered()
        self._serve()
        await self.docket.wait_for_strikes_loaded()

    def _described_tasks(self) -> Iterator[str]:
        for name, task in self.docket.tasks.items():
            yield f"{name}({compact_signature(get_signature(task))})"

    async def _work(
        self,
        asked: asyncio.Task[None],
        finished: Callable[[], Awaitable[object]],
        failure: asyncio.Task[None],
    ) -> None:
        """Work until the worker is asked to stop, or cannot go on."""
        ending = asyncio.ensure_future(finished())
        try:
            await asyncio.wait({asked, ending, failure}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # Cancelling is how people stop a worker: it goes in good order, and without noise.
            pass
        finally:
            ending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ending
        if failure.done() and not failure.cancelled():
            failure.result()

    async def _wind_up(self) -> None:
        """Let what runs come to its end; a second request has it handed back at once."""
        try:
            if not (self._is_drained or self.is_ending):
                if self.in_flight:
                    logs.finishing(self.in_flight)
                await self.drain(timedelta() if self._shutdown.is_urgent else None)
        except asyncio.CancelledError:
            if not self.is_ending:
                await self.drain(timedelta())
        if self.is_ending:
            await self._abandon()
        await self._retire()

    async def _abandon(self) -> None:
        """Hand back what runs: all tasks of the loop were cancelled, and what runs is ending by itself.

        Whoever has cancelled them waits for their ends as well. Until then the leases are kept.
        """
        self._round_trips.stop_claiming()
        self._is_drained = True
        self._interrupt()
        await self._running.until_empty()
        await _within(LAST_WORDS, self._hand_back())

    async def _retire(self) -> None:
        await _within(FAREWELL, self._series_report.send())
        retiring = self.docket.storage.workers.retire(self.name, self.consumer, self.queues)
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
            await asyncio.wait_for(retiring, FAREWELL if self._is_drained else None)

    async def _until_finished(self) -> None:
        executions = self.docket.storage.executions
        while True:
            if self._round_trips.is_idle and not self._unparking.is_under_way:
                due, future = await executions.depths(self.queues)
                if not due and not future and self._round_trips.is_idle:
                    await self._tell_parked()
                    return
                if due:
                    # Another worker's, or just added: nothing says when it is gone. One look per while.
                    self._round_trips.look()
                    await asyncio.sleep(_RECHECK.total_seconds())
                    continue
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._round_trips.until_traded(), _RECHECK.total_seconds())

    async def _tell_parked(self) -> None:
        """Warn of parked work, which has no end, at the end of all other work."""
        backlog = await self.docket.storage.executions.backlog(self.queues)
        if backlog.parked:
            self._observer.left_parked(backlog.parked)

    def _begin(self, claimed: Claimed) -> None:
        run = self._running.add(claimed)
        run.revision = self.revision
        run.begin(RecordingTask(self._perform(run), name=claimed.key))

    async def _perform(self, run: Run) -> None:
        """Take one run from its claim to its settlement; this task never fails."""
        try:
            outcome = await self._executor.outcome(run, self._clock.now())
            if self._runs_of_keys is not None and not isinstance(outcome, (Delayed, Waiting)):
                # A run that had to wait at a gate has not run.
                self._runs_of_keys[run.claimed.key] += 1
            strikes = self.docket.strike_list
            if isinstance(outcome, Perpetuated) and strikes.meets_condition(outcome.successor):
                # Struck out here, it would wait for its time for nothing.
                outcome = outcome.ended
            settlement = self._bookkeeping.settlement(run.claimed, outcome, self._clock.now())
            if settlement is not None and self._is_kept_elsewhere(settlement.result):
                outcome, settlement = await self._keep_result(run, outcome, settlement)
            if settlement is not None:
                settlement = with_account(run, outcome, settlement, is_remembered=self._has_history)
        finally:
            self._running.remove(run)
        self._round_trips.settle(run.claimed, settlement)

    def _is_kept_elsewhere(self, result: bytes) -> bool:
        """Return True if a result goes to the user's own storage; the lack of one is noted in Redis only."""
        return bool(result) and self.docket.results.are_elsewhere and not says_nothing(result)

    async def _keep_result(
        self, run: Run, outcome: Outcome, settlement: Settlement
    ) -> tuple[Outcome, Settlement | None]:
        """Take the result to the user's own storage, before its end is written down."""
        key = f"{settlement.key}:{settlement.generation}"
        keeping = self.docket.results.keep(key, settlement.result, settlement.ttl / 1000)
        kept = await ended(keeping)
        if not isinstance(kept, Raised):
            return outcome, settlement._replace(result=kept)
        # The work is done; without its result it has failed, and the error stays in Redis.
        outcome = ordered(run, kept.error, self.is_ending) or Failed(kept.error)
        return outcome, self._bookkeeping.settlement(run.claimed, outcome, self._clock.now())

    @classmethod
    async def run(  # noqa: PLR0917 - the order is given by compatibility
        cls,
        docket_name: str = "docket",
        url: str = "redis://localhost:6379/0",
        name: str | None = None,
        concurrency: int = 10,
        redelivery_timeout: timedelta = timedelta(seconds=30),
        reconnection_delay: timedelta = timedelta(seconds=5),
        minimum_check_interval: timedelta = timedelta(milliseconds=100),
        scheduling_resolution: timedelta = timedelta(milliseconds=250),
        schedule_automatic_tasks: bool = True,
        enable_internal_instrumentation: bool = False,
        until_finished: bool = False,
        healthcheck_port: int | None = None,
        metrics_port: int | None = None,
        tasks: Sequence[str] = ("docket.tasks:standard_tasks",),
        fallback_task: str | None = None,
        message_batch: int = 1000,
        dependencies: Mapping[str, Any] | Sequence[Any] | str | None = None,
        *,
        host: str = LOOPBACK,
    ) -> None:
        """Run a worker as a program does: until SIGTERM or SIGINT, then drain.

        Arguments:
            docket_name: the docket.
            url: the server.
            tasks: collections of tasks, each as ``package.module:attribute``.
            until_finished: end when there is nothing left to do.
            healthcheck_port: where ``/livez`` and ``/readyz`` answer; nowhere, if left out.
            metrics_port: where Prometheus reads ``/metrics``; nowhere, if left out.
            host: where these two listen; loopback by default.
            fallback_task: called in place of unknown tasks, as ``package.module:attribute``; an empty
                string is none.
            dependencies: those that are wrapped around every task, or ``package.module:attribute`` of
                them; an empty string is none.

        The others are those of ``Worker``.
        """
        async with Docket(docket_name, url) as docket:
            for path in tasks:
                docket.register_collection(path)
            async with cls(
                docket,
                name,
                concurrency,
                redelivery_timeout,
                reconnection_delay,
                minimum_check_interval,
                scheduling_resolution,
                schedule_automatic_tasks,
                enable_internal_instrumentation,
                load(fallback_task) if fallback_task else None,
                load(dependencies)
                if dependencies and isinstance(dependencies, str)
                else dependencies,
                message_batch,
            ) as worker:
                with (
                    metrics_server(host, metrics_port),
                    healthcheck_server(host, healthcheck_port, worker),
                ):
                    await _until_told(
                        worker.run_until_finished() if until_finished else worker.run_forever()
                    )


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    """Work until it is finished or a signal comes."""
    working = asyncio.create_task(work)

    def stop(number: signal.Signals) -> None:
        logs.told_to_end(number.name)
        working.cancel()

    with answering(stop, signal.SIGTERM, signal.SIGINT):
        await working


async def _within(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    """Await work for so many seconds, and no longer."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(work, seconds)
