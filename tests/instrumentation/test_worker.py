"""What a worker counts and traces while it runs tasks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

from docket import Docket, Worker
from docket.dependencies.concurrency_limit import ConcurrencyLimit
from docket.dependencies.perpetual import Perpetual
from docket.dependencies.retry import Retry
from docket.instrumentation.console import set_up_logging

from ..fleet.process import ServerProcess
from .conftest import Meters, Spans, context_of
from .test_health import get

EVERY_COUNTER = (
    *("added", "replaced", "scheduled", "cancelled", "started", "redelivered", "stricken"),
    *("superseded", "completed", "failed", "succeeded", "retried", "perpetuated", "running"),
)


async def work(number: int = 0) -> int:
    return number


async def break_down(retry: Retry = Retry(attempts=2)) -> None:
    raise ValueError("no good")


def counted(meters: Meters, docket: Docket) -> dict[str, float]:
    """All counters of a docket that are not zero."""
    found = {
        name: sum(
            point.value for point in meters.points(f"docket_tasks_{name}", docket_name=docket.name)
        )
        for name in EVERY_COUNTER
    }
    return {name: value for name, value in found.items() if value}


async def run_all(docket: Docket) -> None:
    async with Worker(docket, "w") as worker:
        await worker.run_until_finished()


@contextlib.asynccontextmanager
async def working(docket: Docket, **options: Any) -> AsyncGenerator[Worker, None]:
    """A worker that works for the length of a block."""
    async with Worker(docket, "w", **options) as worker:
        running = asyncio.create_task(worker.run_forever())
        try:
            yield worker
        finally:
            running.cancel()
            await running


async def test_a_run_is_counted_from_its_start_to_its_end(docket: Docket, meters: Meters) -> None:
    during: dict[str, float] = {}

    async def look() -> None:
        during.update(counted(meters, docket))

    await docket.add(look)()
    await run_all(docket)

    assert during == {"added": 1, "scheduled": 1, "started": 1, "running": 1}
    assert counted(meters, docket) == {
        "added": 1,
        "scheduled": 1,
        "started": 1,
        "completed": 1,
        "succeeded": 1,
    }
    labels = {"docket.name": docket.name, "docket.worker": "w", "docket.task": "look"}
    for metric in ("docket_task_duration", "docket_task_punctuality"):
        point = meters.point(metric, docket_name=docket.name)
        assert (point.labels, point.count) == (labels, 1)
        assert 0 <= point.value < 20
    for metric in ("started", "completed", "succeeded", "running"):
        point = meters.point(f"docket_tasks_{metric}", docket_name=docket.name)
        assert point.labels == labels


async def test_a_failure_that_is_tried_again_counts_as_failed_twice_and_retried_once(
    docket: Docket, meters: Meters
) -> None:
    await docket.add(break_down)()
    await run_all(docket)

    assert counted(meters, docket) == {
        "added": 1,
        "scheduled": 1,
        "started": 2,
        "completed": 2,
        "failed": 2,
        "retried": 1,
    }


@pytest.mark.parametrize("fails", [False, True], ids=["that succeeds", "that fails"])
async def test_a_perpetual_task_is_counted(docket: Docket, meters: Meters, fails: bool) -> None:
    runs: list[int] = []

    async def again(perpetual: Perpetual = Perpetual()) -> None:
        runs.append(1)
        if len(runs) == 3:
            perpetual.cancel()
        if fails:
            raise ValueError("no good")

    await docket.add(again, key="k")()
    await run_all(docket)

    found = counted(meters, docket)
    assert found["perpetuated"] == 2
    assert found["started"] == found["completed"] == 3
    assert found.get("failed", 0) == (3 if fails else 0)
    assert found.get("succeeded", 0) == (0 if fails else 3)


async def test_a_strike_that_comes_after_the_add_is_counted_at_the_worker(
    docket: Docket, meters: Meters
) -> None:
    await docket.add(work)(1)
    await docket.strike(work, "number", "==", 1)
    await run_all(docket)

    point = meters.point("docket_tasks_stricken", docket_name=docket.name)
    assert point.labels == {
        "docket.name": docket.name,
        "docket.worker": "w",
        "docket.task": "work",
        "docket.where": "worker",
    }
    assert "started" not in counted(meters, docket)


async def test_a_run_whose_key_was_replaced_is_superseded(docket: Docket, meters: Meters) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def first(is_first: bool) -> None:
        if is_first:
            begun.set()
            await go_on.wait()

    now = datetime.now(timezone.utc)
    await docket.add(first, key="k")(True)
    async with Worker(docket, "w") as worker:
        running = asyncio.create_task(worker.run_until_finished())
        await begun.wait()
        await docket.replace(first, now, "k")(False)
        go_on.set()
        await running

    point = meters.point("docket_tasks_superseded", docket_name=docket.name)
    assert (point.labels["docket.where"], point.value) == ("worker", 1)


@pytest.mark.parametrize(
    ("dependency", "where"), [("retry", "retry"), ("perpetual", "on_complete")]
)
async def test_where_a_run_was_superseded_is_told(
    docket: Docket, meters: Meters, dependency: str, where: str
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait(is_first: bool) -> None:
        if is_first:
            begun.set()
            await go_on.wait()

    async def retried(is_first: bool, retry: Retry = Retry(attempts=2)) -> None:
        await wait(is_first)
        if is_first:
            raise ValueError("no good")

    async def perpetual(
        is_first: bool, perpetual: Perpetual = Perpetual(every=timedelta(seconds=30))
    ) -> None:
        await wait(is_first)
        if not is_first:
            perpetual.cancel()

    task = retried if dependency == "retry" else perpetual
    await docket.add(task, key="k")(True)
    async with Worker(docket, "w") as worker:
        running = asyncio.create_task(worker.run_until_finished())
        await begun.wait()
        await docket.replace(task, datetime.now(timezone.utc), "k")(False)
        go_on.set()
        await running

    point = meters.point("docket_tasks_superseded", docket_name=docket.name)
    assert (point.labels["docket.where"], point.value) == (where, 1)


async def test_overdue_work_is_queue_depth_also_while_all_slots_are_taken(meters: Meters) -> None:
    go_on = asyncio.Event()

    async def wait() -> None:
        await go_on.wait()

    async with Docket(
        uuid.uuid4().hex, "memory://instrumentation", heartbeat_interval=timedelta(milliseconds=20)
    ) as docket:
        await docket.add(wait)()
        async with Worker(docket, concurrency=1) as worker:
            running = asyncio.create_task(worker.run_until_finished())
            while not worker.in_flight:
                await asyncio.sleep(0.01)
            soon = datetime.now(timezone.utc) + timedelta(milliseconds=100)
            await docket.add_many(docket.call(work, soon)(number) for number in range(3))

            def depths() -> list[float]:
                return [
                    point.value
                    for metric in ("docket_queue_depth", "docket_schedule_depth")
                    for point in meters.points(metric, docket_name=docket.name)
                ]

            async def until(expected: list[float]) -> None:
                while depths() != expected:
                    await asyncio.sleep(0.01)

            await asyncio.wait_for(until([4, 0]), 60)
            go_on.set()
            await running


async def test_depths_are_told_with_every_heartbeat(meters: Meters) -> None:
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    go_on = asyncio.Event()

    async def wait() -> None:
        await go_on.wait()

    async with Docket(
        uuid.uuid4().hex,
        "memory://instrumentation",
        heartbeat_interval=timedelta(milliseconds=20),
    ) as docket:
        await docket.add(wait)()
        await docket.add_many(docket.call(work, later)(number) for number in range(3))
        async with working(docket):

            async def until(depth: int) -> None:
                while not any(
                    point.value == depth
                    for point in meters.points("docket_queue_depth", docket_name=docket.name)
                ):
                    await asyncio.sleep(0.01)

            await asyncio.wait_for(until(1), 60)
            go_on.set()
            await asyncio.wait_for(until(0), 60)

    for metric, value in (("docket_queue_depth", 0), ("docket_schedule_depth", 3)):
        point = meters.point(metric, docket_name=docket.name)
        assert (point.labels, point.value) == ({"docket.name": docket.name}, value)


@pytest.mark.thorough
async def test_an_outage_is_counted(own_server: ServerProcess, meters: Meters) -> None:
    async def until_counted() -> None:
        while not meters.points("docket_redis_disruptions", docket_name=docket.name):
            await asyncio.sleep(0.01)

    async with Docket(uuid.uuid4().hex, own_server.url) as docket:
        async with working(docket, redelivery_timeout=timedelta(seconds=1)):
            await (await docket.add(work)(1)).get_result(timeout=timedelta(seconds=60))
            own_server.kill()
            await asyncio.wait_for(until_counted(), 60)
            own_server.restart()

    point = meters.point("docket_redis_disruptions", docket_name=docket.name)
    assert point.labels == {"docket.name": docket.name, "docket.worker": "w"}
    assert point.value >= 1


async def test_the_span_of_a_run_is_linked_to_the_add_wherever_the_work_is_kept(
    server_url: str, spans: Spans, tracer_provider: TracerProvider
) -> None:
    inside: list[trace.SpanContext] = []
    baggages: list[object] = []

    async def look() -> None:
        inside.append(trace.get_current_span().get_span_context())
        baggages.append(baggage.get_baggage("tenant"))

    async with Docket(uuid.uuid4().hex, server_url) as docket:
        with tracer_provider.get_tracer("application").start_as_current_span("origin") as origin:
            await docket.add(look, key="k")()
            await docket.add_many([docket.call(look)()])
        with tracer_provider.get_tracer("application").start_as_current_span("around the worker"):
            await run_all(docket)

    adds = [context_of(spans.one(name)).span_id for name in ("docket.add", "docket.add_many")]
    runs = spans.named("look")
    assert [context_of(span) for span in runs] == inside
    for span, add in zip(runs, adds, strict=True):
        (link,) = span.links
        assert link.context.trace_id == origin.get_span_context().trace_id
        assert link.context.span_id == add
        assert span.parent is None
        assert context_of(span).trace_id != origin.get_span_context().trace_id
    span = runs[0]
    assert (span.kind, span.status.status_code) == (SpanKind.CONSUMER, StatusCode.OK)
    attributes = dict(span.attributes or {})
    assert datetime.fromisoformat(str(attributes.pop("docket.when"))) <= datetime.now(timezone.utc)
    assert attributes == {
        "docket.name": docket.name,
        "docket.worker": "w",
        "docket.task": "look",
        "docket.key": "k",
        "docket.attempt": 1,
        "code.function.name": "look",
    }


async def test_every_attempt_is_linked_to_the_add_and_shows_its_error(
    docket: Docket, spans: Spans
) -> None:
    await docket.add(break_down)()
    await run_all(docket)

    add = context_of(spans.one("docket.add"))
    attempts = spans.named("break_down")
    assert [(span.attributes or {})["docket.attempt"] for span in attempts] == [1, 2]
    for span in attempts:
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description == "no good"
        assert [event.name for event in span.events] == ["exception"]
        assert [link.context.span_id for link in span.links] == [add.span_id]


async def test_a_cancelled_run_is_no_error(docket: Docket, spans: Spans) -> None:
    begun = asyncio.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    await docket.add(wait, key="k")()
    async with Worker(docket, "w") as worker:
        running = asyncio.create_task(worker.run_until_finished())
        await begun.wait()
        await docket.cancel("k")
        await running

    span = spans.one("wait")
    assert (span.status.status_code, list(span.events)) == (StatusCode.OK, [])


async def test_a_run_that_is_not_admitted_is_no_error(docket: Docket, spans: Spans) -> None:
    running = 0
    most = 0

    async def limited(
        customer: int, limit: ConcurrencyLimit = ConcurrencyLimit("customer", max_concurrent=1)
    ) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    for _ in range(3):
        await docket.add(limited)(1)
    await run_all(docket)

    assert most == 1
    assert {span.status.status_code for span in spans.named("limited")} == {StatusCode.OK}


async def test_plain_functions_and_what_tasks_call_are_within_the_span(
    docket: Docket, spans: Spans, tracer_provider: TracerProvider
) -> None:
    tracer = tracer_provider.get_tracer("application")

    def plain() -> None:
        with tracer.start_as_current_span("inner"):
            pass

    await docket.add(plain)()
    await run_all(docket)

    parent = spans.one("inner").parent
    assert parent is not None
    assert parent.span_id == context_of(spans.one("plain")).span_id


@pytest.fixture
def instrumented(tracer_provider: TracerProvider) -> Iterator[object]:
    """An application that traces redis-py."""
    instrumentor = RedisInstrumentor()
    instrumentor.instrument(tracer_provider=tracer_provider)
    yield instrumentor
    instrumentor.uninstrument()


async def use_redis(docket: Docket) -> None:
    async with docket.redis() as redis:
        await redis.get(docket.key("mine"))


async def test_the_traffic_of_a_worker_is_silent_and_that_of_its_tasks_is_not(
    docket: Docket, spans: Spans, instrumented: object
) -> None:
    async def mine() -> None:
        await use_redis(docket)

    async with working(docket):
        # Once for a worker that is busy, once for one that stood at its bell.
        for _ in range(2):
            await (await docket.add(mine)()).get_result(timeout=timedelta(seconds=60))

    assert sorted({span.name for span in spans.all}) == ["GET", "docket.add", "mine"]
    parents = {span.parent.span_id for span in spans.named("GET") if span.parent}
    assert parents == {context_of(span).span_id for span in spans.named("mine")}


async def test_the_traffic_of_a_worker_shows_when_it_is_asked_for(
    docket: Docket, spans: Spans, instrumented: object
) -> None:
    async with working(docket, enable_internal_instrumentation=True):
        for _ in range(2):
            execution = await docket.add(work)(1)
            await execution.get_result(timeout=timedelta(seconds=60))

    assert {"BLPOP", "EVALSHA"} <= {span.name for span in spans.all}
    assert spans.named("docket.add")
    trades = spans.named("EVALSHA")
    assert all(span.kind is SpanKind.CLIENT for span in trades)
    assert all((span.attributes or {})["db.operation.name"] == "EVALSHA" for span in trades)


async def test_the_traffic_of_a_docket_shows_when_it_is_asked_for(
    server_url: str, spans: Spans
) -> None:
    name = uuid.uuid4().hex
    async with Docket(name, server_url, enable_internal_instrumentation=True) as docket:
        assert docket.prefix == Docket(name, server_url).prefix
        await docket.add(work)(1)
        await use_redis(docket)
        async with Worker(docket, "w", enable_internal_instrumentation=True) as worker:
            await worker.run_until_finished()
        await docket.storage.connection.facts()

    add = context_of(spans.one("docket.add"))
    inside = [span for span in spans.all if span.parent and span.parent.span_id == add.span_id]
    assert "EVALSHA" in {span.name for span in inside}
    # Several commands of one round trip are one span.
    assert "PIPELINE" in {span.name for span in spans.all}


async def test_the_lines_of_a_run_say_what_they_are_about(
    docket: Docket, capsys: pytest.CaptureFixture[str]
) -> None:
    async def note(number: int) -> None:
        logging.getLogger("application").info("noted %d", number)

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    set_up_logging("info", "json")
    try:
        await docket.add(note, key="k")(7)
        await run_all(docket)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    about = [line for line in lines if line.get("docket.key") == "k"]
    assert [line["message"].split()[0] for line in about] == ["↪", "noted", "↩"]
    assert {(line["docket.task"], line["docket.worker"]) for line in about} == {("note", "w")}


async def test_labels_do_not_grow_with_executions_their_keys_or_their_arguments(
    docket: Docket, meters: Meters
) -> None:
    await docket.add_many(docket.call(work, key=f"k{n}")(n) for n in range(60))
    await run_all(docket)

    for metric in ("started", "completed", "succeeded", "running"):
        assert len(meters.points(f"docket_tasks_{metric}", docket_name=docket.name)) == 1


async def test_no_context_of_one_run_is_seen_by_the_next(docket: Docket, spans: Spans) -> None:
    seen: list[object] = []

    async def leak(value: str) -> None:
        seen.append(baggage.get_baggage("left behind"))
        context.attach(baggage.set_baggage("left behind", value))

    async with Worker(docket, "w", concurrency=1) as worker:
        for value in ("a", "b", "c"):
            await docket.add(leak)(value)
        await worker.run_until_finished()

    assert seen == [None, None, None]
    assert len(spans.named("leak")) == 3


TO_SERVE: list[asyncio.Event] = []


async def hold() -> None:
    """Tell the test that the program works, then wait until it has looked."""
    begun, go_on = TO_SERVE
    begun.set()
    await go_on.wait()


to_serve = [hold]


async def test_a_worker_program_answers_probes_and_shows_metrics_while_it_works(
    meters: Meters, unused_tcp_port_factory: Callable[[], int]
) -> None:
    assert meters
    health, metrics = unused_tcp_port_factory(), unused_tcp_port_factory()
    begun, go_on = TO_SERVE[:] = [asyncio.Event(), asyncio.Event()]
    name, url = uuid.uuid4().hex, "memory://instrumentation"
    async with Docket(name, url) as docket:
        await docket.add(hold)()
    program = asyncio.create_task(
        Worker.run(
            name,
            url,
            until_finished=True,
            tasks=[f"{__name__}:to_serve"],
            healthcheck_port=health,
            metrics_port=metrics,
        )
    )
    await asyncio.wait_for(begun.wait(), 60)
    answers = [
        (await asyncio.to_thread(get, f"http://127.0.0.1:{port}{path}"))[0]
        for port, path in ((health, "/livez"), (health, "/"), (metrics, "/metrics"))
    ]
    go_on.set()
    await program

    assert answers == [200, 200, 200]
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(get, f"http://127.0.0.1:{health}/livez")
