"""What a supervisor says of itself is what is the case."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from docket import Docket
from docket.errors import DocketError, LoginRefused, Misconfigured, ServerFull, ServerUnavailable
from docket.foundation import service
from docket.foundation.service import Service, Services
from docket.foundation.worker_spec import WorkerSpec
from docket.instrumentation.histogram import Histogram
from docket.schedules.ticker import Ticker
from docket.storage.executions import Backlog
from docket.supervisor.processes.pool import Brake, Desired, Pool
from docket.supervisor.processes.process import ProcessState, WorkerProcess
from docket.supervisor.reporting import contact, health
from docket.supervisor.reporting.backlog import BacklogCount
from docket.supervisor.reporting.health import STUCK, ReloadRecord, Status
from docket.supervisor.reporting.pings import LastPing

ORDERS = WorkerSpec(
    pool="default",
    name="shop",
    url="memory://status",
    concurrency=1,
    queues=("default",),
    drain=1.0,
    execution_ttl=1.0,
    lease=1.0,
    codecs=("safe",),
    max_payload=1,
    signing_keys={},
    tasks={},
    log_level="info",
    log_format="plain",
)


async def forget(_: WorkerProcess) -> None: ...


async def rest() -> None: ...


def process_in(state: ProcessState, **status: object) -> WorkerProcess:
    """A process that is not started, but counts as if it were."""
    process = WorkerProcess("default", ".", {})
    process.state = state
    process.status = status
    return process


@pytest.fixture
def pool() -> Pool:
    return Pool("default", Desired(1, 1, ORDERS, "."), Brake(), forget)


@pytest.fixture
async def ticker() -> AsyncIterator[Ticker]:
    async with Docket("status", "memory://status") as docket:
        yield Ticker(docket.storage.schedules, docket.serializer, "status")


@pytest.fixture
def status(pool: Pool, ticker: Ticker) -> Status:
    return Status({"default": pool}, ticker, ReloadRecord(digest="0123456789abcdef"))


def samples(status: Status) -> dict[tuple[str, ...], float]:
    """All numbers on the page, by metric and values of labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(status.metrics().body)
        for sample in family.samples
    }


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still, where seconds are told."""
    clock = SimpleNamespace(monotonic=lambda now=time.monotonic(): now, time=time.time)
    for module in (service, health, contact):
        monkeypatch.setattr(module, "time", clock)


@pytest.mark.usefixtures("still")
def test_it_is_alive_while_its_event_loop_turns(status: Status) -> None:
    status.turn()
    assert status.livez().status == 200
    status._last_turn -= STUCK + 1
    stuck = status.livez()
    assert (stuck.status, stuck.body) == (503, "the event loop has not turned for 11 s\n")
    status.turn()
    assert status.livez().status == 200


@pytest.mark.usefixtures("still")
def test_it_is_ready_while_it_is_up_and_redis_answers_and_every_pool_works(
    status: Status, pool: Pool
) -> None:
    status.contact.answered()
    assert status.readyz().body == "starting or stopping\npool default has no process that works\n"
    status.is_up = True
    pool.processes.append(process_in(ProcessState.STARTING))
    assert status.readyz().body == "pool default has no process that works\n"
    pool.processes.append(process_in(ProcessState.READY))
    assert (status.readyz().status, status.readyz().body) == (200, "ready\n")
    status.contact.last -= 12
    assert status.readyz().body == "Redis has not answered for 12 s\n"
    status.contact.answered()
    assert status.readyz().status == 200
    status.contact.failed(ServerFull("OOM"))
    assert status.readyz().body == "Redis is full: OOM\n"
    status.contact.works()
    pool.trouble = "cannot start a worker process: no memory"
    pool.processes.clear()
    assert status.readyz().body == (
        "pool default has no process that works: cannot start a worker process: no memory\n"
    )
    pool.processes.append(process_in(ProcessState.READY))
    pool.is_degraded = True
    assert status.readyz().status == 503
    assert status.readyz().body == "pool default is degraded: its processes crash\n"


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (ServerFull("OOM"), "Full", "Redis is full: OOM"),
        (ServerUnavailable("gone"), "Away", "Redis is away: gone"),
        (LoginRefused("NOAUTH"), "Refused", "Redis refuses: NOAUTH"),
        (Misconfigured("database 99"), "Wrong", "Redis cannot be used as configured: database 99"),
    ],
)
def test_what_is_wrong_with_redis_is_said_once_and_in_the_condition(
    status: Status,
    error: DocketError,
    reason: str,
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "docket.supervisor")
    contact, conditions = status.contact, status._conditions
    contact.works()
    assert samples(status)["docket_connected",] == 1
    for _ in range(3):
        contact.failed(error)

    condition = conditions["Connected"]
    assert (condition.status, condition.reason, condition.message) == (False, reason, words)
    assert samples(status)["docket_connected",] == 0
    contact.works()
    assert (conditions["Connected"].status, contact.trouble) == (True, "")
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"{words}; it is tried again until it works", "Redis is back"]


async def test_who_no_longer_looks_after_something_is_named(status: Status, pool: Pool) -> None:
    class Ends(Service):
        async def run(self) -> None:
            return

    status.services = Services(Ends())
    async with status.services.running():
        assert status.livez().status == 200
        await asyncio.sleep(0.01)
        assert status.livez().body == "ends has ended\n"
        assert samples(status)["docket_service_failures_total", "ends"] == 0
    assert status.livez().status == 200

    await pool._care.start()
    pool._care._turned = time.monotonic() - 31
    assert status.livez().body == "the care for pool default has not turned for 31 s\n"
    await pool._care.stop()


def test_a_refused_configuration_does_not_make_it_unready(status: Status, pool: Pool) -> None:
    status.is_up = True
    pool.processes.append(process_in(ProcessState.READY))
    status._reloads.note("invalid", succeeded=False)

    assert status.readyz().status == 200
    assert samples(status)["docket_config_last_reload_successful",] == 0


def test_the_last_success_is_that_of_the_last_reload_that_succeeded() -> None:
    reloads = ReloadRecord(success_at=1.0)

    reloads.note("refused", succeeded=False)
    assert (reloads.succeeded, reloads.success_at) == (False, 1.0)
    reloads.note("unchanged", succeeded=True)
    assert reloads.succeeded
    assert reloads.success_at > 1.0
    assert reloads.results == {"refused": 1, "unchanged": 1}


def test_everything_is_counted(status: Status, pool: Pool, ticker: Ticker) -> None:
    done = "docket_tasks_completed"
    pool.processes += [
        process_in(ProcessState.READY, in_flight=2, counts=[[done, "a", 3], [done, "b", 1]]),
        process_in(ProcessState.DRAINING, in_flight=1, counts=[[done, "a", 4]]),
        process_in(ProcessState.STARTING),
    ]
    pool.exits["crash"] = 5
    pool.exits["deaf"] = 2
    status.pings = {"default": LastPing(0.5), "bulk": LastPing(10.0, "it has not completed")}
    ticker.next_times["nightly"] = datetime(2026, 1, 1, tzinfo=timezone.utc)
    ticker.lag["nightly"] = 0.25
    ticker.skipped.update(missed=7, overlap=2)
    status._reloads.note("applied", succeeded=True)

    found = samples(status)

    assert found["docket_config_info", "0123456789ab", "1"] == 1
    assert found["docket_config_reloads_total", "applied"] == 1
    assert found["docket_pool_workers", "default", "ready"] == 1
    assert found["docket_pool_workers", "default", "draining"] == 1
    assert found["docket_pool_workers", "default", "starting"] == 1
    assert found["docket_pool_workers", "default", "exited"] == 0
    assert found["docket_config_reloads_total", "rolled_back"] == 0
    assert found["docket_worker_exits_total", "default", "crash"] == 5
    assert found["docket_worker_exits_total", "default", "deaf"] == 2
    assert [found["docket_ping_seconds", name] for name in ("default", "bulk")] == [0.5, 10.0]
    assert [found["docket_ping_late", name] for name in ("default", "bulk")] == [0, 1]
    assert found["docket_tasks_running",] == 3
    assert found["docket_tasks_completed_total", "a"] == 7
    assert found["docket_tasks_completed_total", "b"] == 1
    assert found["docket_schedule_next_run_timestamp_seconds", "nightly"] == 1767225600
    assert found["docket_schedule_skipped_total", "missed"] == 7
    assert found["docket_schedule_skipped_total", "overlap"] == 2
    assert found["docket_schedule_lag_seconds", "nightly"] == 0.25


def test_counters_never_fall_when_a_process_is_gone(status: Status, pool: Pool) -> None:
    done = "docket_tasks_completed"
    process = process_in(ProcessState.READY, counts=[[done, "a", 3]])
    pool.processes.append(process)
    before = samples(status)[f"{done}_total", "a"]

    pool.processes.remove(process)
    status.remember(process.status)
    pool.processes.append(process_in(ProcessState.READY, counts=[[done, "a", 1]]))

    assert samples(status)[f"{done}_total", "a"] == before + 1


def test_how_long_runs_take_is_summed_up_over_processes_those_that_are_gone_included(
    status: Status, pool: Pool
) -> None:
    def process(*seconds: float) -> WorkerProcess:
        spread = Histogram()
        for one in seconds:
            spread.note(one)
        told = ["docket_task_duration_seconds", "a", spread.counts, spread.total]
        return process_in(ProcessState.READY, spreads=[told])

    status.remember(process(0.001, 7200).status)
    pool.processes += [process(0.002), process(0.25, 0.3)]

    found = samples(status)

    metric = "docket_task_duration_seconds"
    assert found[f"{metric}_count", "a"] == 5
    assert found[f"{metric}_sum", "a"] == pytest.approx(7200.553)
    by_bound = {
        bound: found[f"{metric}_bucket", "a", bound] for bound in ("0.001", "0.005", "0.25")
    }
    assert by_bound == {"0.001": 1, "0.005": 2, "0.25": 3}
    assert found[f"{metric}_bucket", "a", "3600.0"] == 4
    assert found[f"{metric}_bucket", "a", "+Inf"] == 5


async def test_how_much_work_there_is_is_looked_up_every_few_seconds(
    pool: Pool, ticker: Ticker
) -> None:
    async with Docket("census", "memory://status") as docket:
        executions = docket.storage.executions
        backlog_count = BacklogCount(executions, lambda: {"slow"}, every=0.01)
        status = Status({"default": pool}, ticker, ReloadRecord(), backlog_count=backlog_count)
        assert ("docket_parked",) not in samples(status)
        async with Services(backlog_count).running():
            await until_seen(lambda: backlog_count.last is not None)
            assert backlog_count.last == Backlog({"default": 0, "slow": 0}, 0, 0, 0, 0)
            await docket.add(rest, key="now")()
            later = datetime.now(timezone.utc) + timedelta(hours=1)
            await docket.add(rest, when=later, key="later")()
            await until_seen(lambda: samples(status)["docket_schedule_depth",] == 1)
    found = samples(status)
    assert found["docket_queue_depth", "default"] == 1
    assert found["docket_queue_depth", "slow"] == 0
    assert (found["docket_waiting",], found["docket_parked",], found["docket_dead",]) == (0, 0, 0)


async def until_seen(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in this process."""

    async def waiting() -> None:
        while not condition():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(waiting(), 60)
