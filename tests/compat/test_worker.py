"""A worker, as programs written for pydocket use it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import pytest

import docket.worker as worker_module
from docket import (
    ConcurrencyLimit,
    Cron,
    CurrentExecution,
    CurrentWorker,
    Depends,
    Docket,
    Execution,
    ExecutionState,
    ExponentialRetry,
    Logged,
    Perpetual,
    RateLimit,
    Retry,
    TaskLogger,
    Timeout,
    Worker,
)
from docket.dependencies import FailureHandler, current_docket
from docket.storage.claims import ClaimReply
from docket.worker.services.round_trips import Trip
from tests.compat.conftest import soon, until, working
from tests.fleet.process import ServerProcess

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    seen.clear()


async def note(what: object = None) -> None:
    seen.append(what)


async def note_and_stop(what: object, number: int) -> None:
    seen.append(what)
    os.kill(os.getpid(), number)


async def instead(
    *args: object,
    execution: Execution = CurrentExecution(),
    log: logging.LoggerAdapter[logging.Logger] = TaskLogger(),
    **kwargs: object,
) -> None:
    log.info("called in the place of %s", execution.function_name)
    seen.append((execution.function_name, args, kwargs))


@contextmanager
def around() -> Generator[None]:
    seen.append("before")
    yield
    seen.append("after")


program: list[Any] = [note, note_and_stop]
wrapped = {"around": Depends(around)}


# Arguments


def test_its_arguments_have_the_names_the_order_and_the_defaults_of_pydocket() -> None:
    parameters = inspect.signature(Worker.__init__).parameters
    defaults = {
        name: one.default
        for name, one in parameters.items()
        if one.kind is one.POSITIONAL_OR_KEYWORD and name not in ("self", "docket")
    }

    assert list(defaults.items()) == [
        ("name", None),
        ("concurrency", 10),
        # On purpose different: a lease is renewed while a task runs.
        ("redelivery_timeout", timedelta(seconds=30)),
        ("reconnection_delay", timedelta(seconds=5)),
        ("minimum_check_interval", timedelta(milliseconds=250)),
        ("scheduling_resolution", timedelta(milliseconds=250)),
        ("schedule_automatic_tasks", True),
        ("enable_internal_instrumentation", False),
        ("fallback_task", None),
        ("dependencies", None),
        ("message_batch", 1000),
    ]


def test_a_program_has_the_arguments_of_pydocket_in_their_order() -> None:
    parameters = inspect.signature(Worker.run).parameters
    names = [name for name, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]

    assert names == [
        "docket_name",
        "url",
        "name",
        "concurrency",
        "redelivery_timeout",
        "reconnection_delay",
        "minimum_check_interval",
        "scheduling_resolution",
        "schedule_automatic_tasks",
        "enable_internal_instrumentation",
        "until_finished",
        "healthcheck_port",
        "metrics_port",
        "tasks",
        "fallback_task",
        "message_batch",
        "dependencies",
    ]
    assert parameters["docket_name"].default == "docket"
    assert parameters["minimum_check_interval"].default == timedelta(milliseconds=100)
    assert list(parameters["tasks"].default) == ["docket.tasks:standard_tasks"]


def test_its_module_exports_it_and_the_task_that_drops_what_is_unknown() -> None:
    assert worker_module.Worker is Worker
    assert worker_module.__all__ == ["Worker", "default_fallback_task"]


async def test_its_attributes_are_its_arguments() -> None:
    its_docket = Docket("compat-attributes", "memory://compat")
    retry = Retry()
    worker = Worker(its_docket, "mine", 3, fallback_task=note, dependencies={"retry": retry})

    assert (worker.docket, worker.name, worker.concurrency) == (its_docket, "mine", 3)
    assert worker.fallback_task is note
    assert worker.dependencies == {"retry": retry}
    assert (worker.message_batch, worker.schedule_automatic_tasks) == (1000, True)
    assert worker.redelivery_timeout == timedelta(seconds=30)
    assert worker.labels() == {"docket.name": "compat-attributes", "docket.worker": "mine"}
    assert worker.workers_set == "compat-attributes:workers"
    assert worker.worker_tasks_set("mine") == "compat-attributes:worker-tasks:mine"
    assert worker.task_workers_set("note") == "compat-attributes:task-workers:note"


async def test_it_is_named_after_its_host_and_process() -> None:
    worker = Worker(Docket("compat-names", "memory://compat"))

    assert worker.name == f"{socket.gethostname()}#{os.getpid()}"


async def test_a_message_batch_less_than_one_is_refused() -> None:
    with pytest.raises(ValueError, match="message_batch must be at least 1, got 0"):
        Worker(Docket("compat-batch", "memory://compat"), message_batch=0)


async def test_a_lease_without_length_is_refused() -> None:
    docket = Docket("compat-lease", "memory://compat")
    with pytest.raises(ValueError, match="redelivery_timeout must be at least 1ms, got -1s"):
        Worker(docket, redelivery_timeout=timedelta(seconds=-1))


async def test_a_reserved_name_of_a_dependency_is_refused() -> None:
    with pytest.raises(ValueError, match="'__mine' is reserved"):
        Worker(Docket("compat-reserved", "memory://compat"), dependencies={"__mine": Retry()})


@pytest.mark.parametrize(
    ("dependencies", "label"), [({"mine": 3}, "'mine'"), ([Retry(), 3], "'index 1'")]
)
async def test_what_is_no_dependency_is_refused(dependencies: Any, label: str) -> None:
    with pytest.raises(TypeError, match=f"Worker dependency {label} must be a Dependency instance"):
        Worker(Docket("compat-types", "memory://compat"), dependencies=dependencies)


async def test_it_registers_tasks_with_its_docket(docket: Docket, worker: Worker) -> None:
    worker.register(note)
    worker.register(note, names=["one", "two"])

    assert {docket.tasks[name] for name in ("note", "one", "two")} == {note}


# Running


async def test_run_until_finished_waits_for_future_tasks(docket: Docket, worker: Worker) -> None:
    await docket.add(note)("now")
    await docket.add(note, when=soon(0.3))("later")

    await worker.run_until_finished()

    assert seen == ["now", "later"]


async def test_run_until_finished_waits_for_retries_and_for_those_who_wait_for_a_slot(
    docket: Docket, worker: Worker
) -> None:
    async def work(
        number: int,
        retry: Retry = Retry(attempts=2, delay=timedelta(milliseconds=100)),
        limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1),
    ) -> None:
        seen.append((number, retry.attempt))
        raise ValueError("no good")

    for number in range(3):
        await docket.add(work)(number)
    await worker.run_until_finished()

    assert sorted(seen) == [(number, attempt) for number in range(3) for attempt in (1, 2)]


async def test_run_at_most_runs_a_key_so_many_times_and_others_as_they_come(
    docket: Docket, worker: Worker
) -> None:
    async def again(what: str, perpetual: Perpetual = Perpetual()) -> None:
        seen.append(what)
        if seen.count(what) == 5:
            perpetual.cancel()

    await docket.add(again, key="bound")("bound")
    await docket.add(again, key="free")("free")
    await worker.run_at_most({"bound": 2})

    assert (seen.count("bound"), seen.count("free")) == (2, 5)
    # Only for this while.
    await docket.add(note, key="bound")("later")
    await worker.run_until_finished()
    assert seen[-1] == "later"


async def test_run_at_most_counts_the_runs_of_automatic_tasks_not_that_they_were_added(
    docket: Docket, worker: Worker
) -> None:
    async def poll(perpetual: Perpetual = Perpetual(automatic=True)) -> None:
        seen.append(1)

    docket.register(poll)
    await worker.run_at_most({"poll": 3})
    assert len(seen) == 3

    await worker.run_at_most({"poll": 2})
    assert len(seen) == 5


async def test_run_at_most_does_not_count_who_had_to_wait(docket: Docket, worker: Worker) -> None:
    async def limited(
        what: str, limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)
    ) -> None:
        seen.append(what)
        await asyncio.sleep(0.02)

    async def slow(
        what: str, rate: RateLimit = RateLimit(1, per=timedelta(milliseconds=50))
    ) -> None:
        seen.append(what)

    for task in (limited, slow):
        await docket.add(task)("first")
        await docket.add(task, key=task.__name__)("second")
    await worker.run_at_most({"limited": 1, "slow": 1})

    assert sorted(seen) == ["first", "first", "second", "second"]


async def test_run_forever_returns_normally_when_it_is_cancelled_and_finishes_what_runs(
    docket: Docket, worker: Worker
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        began.set()
        await go_on.wait()
        return "done"

    execution = await docket.add(work)()
    running = asyncio.create_task(worker.run_forever())
    await began.wait()
    late = await docket.add(note, when=soon(3600))()
    running.cancel()
    await asyncio.sleep(0.05)
    assert not running.done()
    await docket.add(note)("not claimed any more")
    go_on.set()

    assert await asyncio.wait_for(running, 60) is None
    assert not running.cancelled()
    assert await execution.get_result(timeout=timedelta(seconds=60)) == "done"
    assert seen == []
    assert await docket.workers() == []
    await late.sync()
    assert late.state is ExecutionState.SCHEDULED


async def test_an_idle_worker_that_is_cancelled_returns_at_once_whatever_is_in_the_future(
    docket: Docket, worker: Worker
) -> None:
    await docket.add(note, when=soon(3600))()
    running = asyncio.create_task(worker.run_forever())
    await worker.until_started()
    running.cancel()

    assert await asyncio.wait_for(running, 60) is None


async def test_a_worker_shows_itself_while_it_runs(docket: Docket, worker: Worker) -> None:
    docket.register(note)
    async with working(worker):
        (shown,) = await docket.workers()
        assert shown.name == worker.name
        assert {"note", "trace", "fail", "sleep"} <= shown.tasks
        assert [other.name for other in await docket.task_workers("note")] == [worker.name]
        assert datetime.now(timezone.utc) - shown.last_seen < timedelta(minutes=1)

    assert await docket.workers() == []


async def test_automatic_tasks_are_left_alone_if_it_is_told_so(docket: Docket) -> None:
    async def poll(perpetual: Perpetual = Perpetual(automatic=True)) -> None:
        seen.append(1)

    docket.register(poll)
    async with Worker(docket, schedule_automatic_tasks=False) as worker:
        await worker.run_until_finished()

    assert seen == []


async def test_it_outlives_its_server_and_goes_on_scheduling(
    own_server: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    async with Docket("compat-outage", own_server.url) as docket:
        lease = timedelta(seconds=2)
        async with Worker(docket, redelivery_timeout=lease) as worker, working(worker):
            await (await docket.add(note)("before")).get_result(timeout=timedelta(seconds=60))
            own_server.kill()
            await until(lambda: _has_warned(caplog))
            own_server.start()

            async def works_again() -> bool:
                execution = await docket.add(note, when=soon(0.05))("after")
                await execution.get_result(timeout=timedelta(seconds=60))
                return True

            await until(works_again, 20)

    assert seen == ["before", "after"]


async def _has_warned(caplog: pytest.LogCaptureFixture) -> bool:
    return "WARNING" in {record.levelname for record in caplog.records}


async def test_trouble_that_is_not_the_servers_is_told_and_the_worker_goes_on(
    docket: Docket,
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mistakes, take = [ZeroDivisionError("a mistake of ours")], worker._round_trips._take

    def broken(trip: Trip, catch: ClaimReply) -> None:
        if mistakes:
            raise mistakes.pop()
        take(trip, catch)

    monkeypatch.setattr(worker._round_trips, "_take", broken)
    execution = await docket.add(note)(1)

    await worker.run_until_finished()

    await execution.sync()
    assert execution.state is ExecutionState.COMPLETED
    assert not mistakes
    assert "a mistake of ours" in caplog.text


# Unknown tasks


async def whatever(*args: Any, **kwargs: Any) -> None: ...


async def test_a_fallback_task_is_called_with_the_arguments_and_its_own_dependencies(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    docket.register(whatever, names=["gone"])
    execution = await docket.add("gone", key="mine")(1, 2, three=3)
    del docket.tasks["gone"]

    with caplog.at_level(logging.INFO):
        async with Worker(docket, fallback_task=instead) as worker:
            await worker.run_until_finished()

    await execution.sync()
    assert seen == [("gone", (1, 2), {"three": 3})]
    assert execution.state is ExecutionState.COMPLETED
    assert "called in the place of gone" in caplog.text


async def test_a_fallback_task_leaves_automatic_tasks_of_newer_workers_alone(
    url: str, docket: Docket
) -> None:
    async def poll(perpetual: Perpetual = Perpetual(timedelta(hours=1), automatic=True)) -> None:
        seen.append("new")

    async with Docket(docket.name, url) as newer:
        newer.register(poll)
        async with Worker(newer, name="newer") as new_worker:
            new_worker.concurrency = 0
            async with working(new_worker):
                await until(lambda: _is_known(newer, "poll"))
                async with Worker(docket, fallback_task=instead, name="older") as older:
                    async with working(older):

                        async def is_parked() -> bool:
                            execution = await docket.get_execution("poll")
                            return execution is not None and execution.state.value == "parked"

                        await until(is_parked)
    assert seen == []


async def _is_known(docket: Docket, key: str) -> bool:
    return await docket.get_execution(key) is not None


# What follows a failure


async def test_a_failure_is_stored_with_its_type_and_words(docket: Docket, worker: Worker) -> None:
    async def work() -> None:
        raise LookupError("no such thing")

    execution = await docket.add(work)()
    await worker.run_until_finished()
    await execution.sync()

    assert (execution.state, execution.error) == (
        ExecutionState.FAILED,
        "LookupError: no such thing",
    )
    with pytest.raises(LookupError, match="no such thing"):
        await execution.get_result()


async def test_a_retry_goes_before_the_next_run_of_a_perpetual_task(
    docket: Docket, worker: Worker
) -> None:
    async def work(retry: Retry = Retry(attempts=2), perpetual: Perpetual = Perpetual()) -> None:
        seen.append(retry.attempt)
        if len(seen) == 4:
            perpetual.cancel()
        raise ValueError("no good")

    execution = await docket.add(work)()
    await worker.run_until_finished()
    await execution.sync()

    assert seen == [1, 2, 1, 2]
    assert execution.state is ExecutionState.FAILED


async def test_a_handler_that_fails_is_the_failure(docket: Docket, worker: Worker) -> None:
    class Clumsy(FailureHandler["Clumsy"]):
        async def __aenter__(self) -> Clumsy:  # noqa: PYI034
            return self

        async def handle_failure(self, execution: Execution, outcome: Any) -> bool:
            raise ZeroDivisionError("clumsy")

    async def work(handler: Clumsy = Clumsy()) -> None:
        raise ValueError("no good")

    execution = await docket.add(work)()
    await worker.run_until_finished()
    await execution.sync()

    assert execution.error == "ZeroDivisionError: clumsy"


async def test_a_run_that_is_cancelled_while_its_handler_decides_is_cancelled(
    docket: Docket, worker: Worker
) -> None:
    deciding = asyncio.Event()

    class Slow(FailureHandler["Slow"]):
        async def __aenter__(self) -> Slow:  # noqa: PYI034
            return self

        async def handle_failure(self, execution: Execution, outcome: Any) -> bool:
            deciding.set()
            await asyncio.Event().wait()
            return False

    async def work(handler: Slow = Slow()) -> None:
        raise ValueError("no good")

    async with working(worker):
        execution = await docket.add(work)()
        await deciding.wait()
        await docket.cancel(execution.key)

        async def is_cancelled() -> bool:
            await execution.sync()
            return execution.state is ExecutionState.CANCELLED

        await until(is_cancelled)


async def test_an_argument_that_cannot_be_shown_keeps_no_task_from_running(
    docket: Docket, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    execution = await docket.add(shy_task)(Shy())
    with caplog.at_level(logging.INFO):
        await worker.run_until_finished()
    await execution.sync()

    assert (execution.state, execution.error) == (ExecutionState.COMPLETED, None)
    assert "shy_task(<not printable: RuntimeError>)" in caplog.text


class Shy:
    def __repr__(self) -> str:
        raise RuntimeError("shy")


async def shy_task(argument: Annotated[Shy, Logged()]) -> None: ...


# Its own dependencies


@pytest.mark.parametrize("as_mapping", [True, False])
async def test_its_own_dependencies_are_wrapped_around_every_task_and_unseen_by_it(
    docket: Docket, as_mapping: bool
) -> None:
    async def work(**given: object) -> None:
        seen.append(given)

    own: Any = {"around": Depends(around)} if as_mapping else [Depends(around)]
    await docket.add(work)(a=1)
    await docket.add(note)("bare")
    async with Worker(docket, dependencies=own, concurrency=1) as worker:
        await worker.run_until_finished()

    assert seen == ["before", {"a": 1}, "after", "before", "bare", "after"]


async def test_its_own_dependencies_are_entered_first_and_left_last(docket: Docket) -> None:
    @asynccontextmanager
    async def inner() -> AsyncGenerator[None, None]:
        seen.append("inner")
        yield
        seen.append("inner left")

    async def work(inner: None = Depends(inner)) -> None:
        seen.append("work")

    await docket.add(work)()
    async with Worker(docket, dependencies=[Depends(around)]) as worker:
        await worker.run_until_finished()

    assert seen == ["before", "inner", "work", "inner left", "after"]


async def test_its_own_retry_and_timeout_hold_for_every_task(docket: Docket) -> None:
    async def work() -> None:
        seen.append(1)
        await asyncio.Event().wait()

    execution = await docket.add(work)()
    own = {"retry": Retry(attempts=2), "timeout": Timeout(timedelta(milliseconds=30))}
    async with Worker(docket, dependencies=own) as worker:
        await worker.run_until_finished()

    assert len(seen) == 2
    with pytest.raises(asyncio.TimeoutError):
        await execution.get_result()


async def test_its_own_dependencies_that_fail_are_named(docket: Docket) -> None:
    def broken() -> None:
        raise ConnectionRefusedError("no database")

    execution = await docket.add(note)()
    async with Worker(docket, dependencies={"database": Depends(broken)}) as worker:
        await worker.run_until_finished()
    await execution.sync()

    assert execution.error is not None
    assert execution.error.startswith(
        "ConnectionRefusedError: no database (ExceptionGroup: Failed to resolve dependencies for "
        "parameter(s): database"
    )
    assert seen == []


async def test_what_there_can_be_only_one_of_must_not_be_declared_by_worker_and_task(
    docket: Docket,
) -> None:
    async def exact(retry: Retry = Retry()) -> None:
        seen.append("ran")

    async def related(retry: ExponentialRetry = ExponentialRetry()) -> None:
        seen.append("ran")

    errors: list[str] = []
    async with Worker(docket, dependencies={"mine": Retry()}) as worker:
        for task in (exact, related):
            execution = await docket.add(task)()
            await worker.run_until_finished()
            with pytest.raises(Exception, match="Failed to resolve dependencies") as caught:
                await execution.get_result()
            group: Any = caught.value
            errors.extend(str(error) for error in group.exceptions)

    advice = ". Declare it in exactly one place (task or worker)."
    assert seen == []
    assert errors == [
        "Only one Retry dependency is allowed, but found at: '__worker_dep__mine', 'retry'"
        + advice,
        "Only one Retry dependency is allowed, but found: '__worker_dep__mine' (Retry), 'retry' "
        "(ExponentialRetry)" + advice,
    ]


async def test_it_tells_where_it_and_a_task_declare_the_same() -> None:
    its_docket = Docket("compat-conflicts", "memory://compat")
    with_own, without = Worker(its_docket, dependencies=[Retry()]), Worker(its_docket)
    places = {"__worker_dep__0": Retry()}

    (conflict,) = with_own.validate_task_dependencies(note, places, {"a": [Retry()]}).values()

    assert "found at: '__worker_dep__0', 'a'" in str(conflict.error)
    assert with_own.validate_task_dependencies(note, places, {}) == {}
    assert without.validate_task_dependencies(note, {"a": Retry(), "b": Retry()}, {}) == {}


# Mistakes of its history


async def test_a_task_that_takes_longer_than_the_redelivery_timeout_runs_once(
    docket: Docket,
) -> None:
    async def work() -> None:
        seen.append(1)
        await asyncio.sleep(2)

    await docket.add(work)()
    lease = timedelta(milliseconds=1500)
    async with Worker(docket, redelivery_timeout=lease) as one:
        async with Worker(docket, redelivery_timeout=lease) as two, working(two):
            await one.run_until_finished()

    assert seen == [1]


async def test_a_second_add_of_a_running_key_starts_no_duplicate(
    docket: Docket, worker: Worker
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        seen.append(1)
        began.set()
        await go_on.wait()

    async with working(worker):
        execution = await docket.add(work, key="mine")()
        await began.wait()
        again = await docket.add(work, key="mine")()
        assert again.disposition.value == "already_scheduled"
        go_on.set()
        await execution.get_result(timeout=timedelta(seconds=60))

    assert seen == [1]


async def test_a_cancelled_run_that_has_not_begun_does_not_stop_the_worker(
    docket: Docket, worker: Worker
) -> None:
    async with working(worker):
        for _ in range(20):
            execution = await docket.add(note)()
            await docket.cancel(execution.key)
        last = await docket.add(note)("last")
        await last.get_result(timeout=timedelta(seconds=60))

    assert seen[-1] == "last"


async def test_a_long_heartbeat_does_not_keep_scheduled_tasks_from_running(
    url: str, name: str
) -> None:
    async with Docket(name, url, heartbeat_interval=timedelta(seconds=30)) as docket:
        async with Worker(docket) as worker, working(worker):
            execution = await docket.add(note, when=soon(0.2))("ran")
            await execution.get_result(timeout=timedelta(seconds=60))

    assert seen == ["ran"]


async def test_a_worker_logs_its_glyphs(
    docket: Docket, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    async def again(perpetual: Perpetual = Perpetual()) -> None:
        if seen:
            perpetual.cancel()
        seen.append(1)

    with caplog.at_level(logging.INFO, "docket.worker"):
        await docket.add(again)()
        await worker.run_until_finished()

    assert [record.message[0] for record in caplog.records if record.message[0] in "↪↩↫"] == [
        "↪",
        "↫",
        "↩",
        "↪",
        "↩",
    ]


async def test_what_a_run_learns_of_its_context_ends_with_it(docket: Docket) -> None:
    async def work(worker: Worker = CurrentWorker()) -> None:
        seen.append(docket_of_this_context())

    async with Worker(docket) as worker:
        await docket.add(work)()
        await worker.run_until_finished()

    assert seen == [docket]
    assert docket_of_this_context() is None


def docket_of_this_context() -> Docket | None:
    return current_docket.get(None)


# A program


async def test_a_program_takes_all_its_arguments(url: str, docket: Docket) -> None:
    await docket.add(note)("known")
    docket.register(note, names=["gone"])
    await docket.add("gone")("unknown")

    await asyncio.wait_for(
        Worker.run(
            docket_name=docket.name,
            url=url,
            name="program",
            concurrency=1,
            redelivery_timeout=timedelta(seconds=5),
            reconnection_delay=timedelta(seconds=1),
            minimum_check_interval=timedelta(milliseconds=50),
            scheduling_resolution=timedelta(milliseconds=50),
            schedule_automatic_tasks=False,
            enable_internal_instrumentation=True,
            until_finished=True,
            healthcheck_port=None,
            metrics_port=None,
            tasks=[f"{__name__}:program"],
            fallback_task=f"{__name__}:instead",
            message_batch=100,
            dependencies=f"{__name__}:wrapped",
        ),
        20,
    )

    assert seen == ["before", "known", "after", "before", ("gone", ("unknown",), {}), "after"]


async def test_a_program_takes_dependencies_as_they_are(url: str, docket: Docket) -> None:
    await docket.add(note)("known")

    await Worker.run(
        docket.name, url, until_finished=True, tasks=[f"{__name__}:program"], dependencies=wrapped
    )

    assert seen == ["before", "known", "after"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_program_drains_when_it_is_told_to_end(
    url: str, docket: Docket, number: signal.Signals
) -> None:
    await docket.add(note_and_stop)("told", int(number))

    await asyncio.wait_for(Worker.run(docket.name, url, tasks=[f"{__name__}:program"]), 60)

    assert seen == ["told"]
    assert await docket.workers() == []


PROGRAM = """
import asyncio, socket
from urllib.request import urlopen
from docket import Docket, Worker

def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]

health, metrics = free_port(), free_port()

def read(port, path):
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        print(answer.status, answer.read().decode())

async def ask():
    await asyncio.to_thread(read, health, "/livez")
    await asyncio.to_thread(read, metrics, "/metrics")

async def main():
    async with Docket("program", "memory://program") as docket:
        await docket.add(ask)()
        await Worker.run(
            "program", docket.url, until_finished=True, tasks=["__main__:tasks"],
            healthcheck_port=health, metrics_port=metrics,
        )

tasks = [ask]
asyncio.run(main())
"""


@pytest.mark.thorough
def test_a_program_answers_probes_and_shows_its_metrics() -> None:
    # In a process of its own: whoever shows metrics sets the process's meter provider.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("200 ") >= 2
    assert "docket_tasks_started" in done.stdout


async def test_a_cron_task_is_seeded_by_its_worker(docket: Docket, worker: Worker) -> None:
    async def work(cron: Cron = Cron("0 0 1 1 *")) -> None: ...

    docket.register(work)
    async with working(worker):
        execution = await docket.get_execution("work")

    assert execution is not None
    assert (execution.when.month, execution.when.day) == (1, 1)
