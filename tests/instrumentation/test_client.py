"""What a client counts and traces, by the names that dashboards know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider

from docket import Disposition, Docket, Execution

from .conftest import Meters, Spans, context_of

LATER = datetime(2100, 1, 1, tzinfo=timezone.utc)


async def work(number: int = 0) -> None: ...


async def test_an_add_counts_as_added_and_as_scheduled(docket: Docket, meters: Meters) -> None:
    await docket.add(work)(1)

    labels = {"docket.name": docket.name, "docket.task": "work"}
    for metric in ("docket_tasks_added", "docket_tasks_scheduled"):
        point = meters.point(metric, docket_name=docket.name)
        assert (point.labels, point.value) == (labels, 1)
        assert meters.metric(metric).unit == "1"


async def test_an_add_of_a_live_key_is_added_but_not_scheduled(
    docket: Docket, meters: Meters
) -> None:
    for _ in range(2):
        await docket.add(work, key="k")(1)

    assert meters.point("docket_tasks_added", docket_name=docket.name).value == 2
    assert meters.point("docket_tasks_scheduled", docket_name=docket.name).value == 1


async def test_a_replacement_counts_as_replaced_cancelled_and_scheduled_but_not_as_added(
    docket: Docket, meters: Meters
) -> None:
    await docket.replace(work, LATER, "k")(1)

    labels = {"docket.name": docket.name, "docket.task": "work"}
    for metric in ("docket_tasks_replaced", "docket_tasks_cancelled", "docket_tasks_scheduled"):
        point = meters.point(metric, docket_name=docket.name)
        assert (point.labels, point.value) == (labels, 1)
    assert meters.points("docket_tasks_added", docket_name=docket.name) == []


async def test_an_execution_made_by_hand_counts_as_scheduled_only(
    docket: Docket, meters: Meters, spans: Spans
) -> None:
    await docket.schedule(Execution(docket, work, (1,), {}, "k", LATER, 1))

    assert meters.point("docket_tasks_scheduled", docket_name=docket.name).value == 1
    assert meters.points("docket_tasks_added", docket_name=docket.name) == []
    attributes = spans.one("docket.schedule").attributes or {}
    assert attributes["docket.key"] == "k"
    assert attributes["docket.disposition"] == "scheduled"


async def test_each_of_many_is_counted(docket: Docket, meters: Meters, spans: Spans) -> None:
    await docket.strike(work, "number", "==", 2)
    await docket.add_many(docket.call(work)(number) for number in range(5))
    await docket.replace_many(docket.call(work, LATER, f"k{number}")(number) for number in (0, 1))

    assert meters.point("docket_tasks_added", docket_name=docket.name).value == 4
    assert meters.point("docket_tasks_replaced", docket_name=docket.name).value == 2
    many, replaced = spans.one("docket.add_many"), spans.one("docket.replace_many")
    assert many.attributes == {
        "docket.name": docket.name,
        "docket.batch.count": 5,
        "docket.batch.stricken": 1,
    }
    assert (replaced.attributes or {})["docket.batch.count"] == 2


async def test_a_cancel_counts_with_the_docket_as_its_only_label(
    docket: Docket, meters: Meters, spans: Spans
) -> None:
    await docket.cancel("nobody knows")

    point = meters.point("docket_tasks_cancelled", docket_name=docket.name)
    assert (point.labels, point.value) == ({"docket.name": docket.name}, 1)
    assert spans.one("docket.cancel").attributes == {
        "docket.name": docket.name,
        "docket.key": "nobody knows",
    }


@pytest.mark.parametrize("parameter", [None, "number"], ids=["by the task", "by an argument"])
async def test_a_stricken_call_counts_where_it_was_struck(
    docket: Docket, meters: Meters, spans: Spans, parameter: str | None
) -> None:
    docket.register(work)
    await docket.strike(work, parameter, "==", 1 if parameter else None)

    execution = await docket.add(work)(1)

    assert execution.disposition is Disposition.STRUCK
    point = meters.point("docket_tasks_stricken", docket_name=docket.name)
    assert (point.labels, point.value) == (
        {"docket.name": docket.name, "docket.task": "work", "docket.where": "docket"},
        1,
    )
    assert meters.points("docket_tasks_added", docket_name=docket.name) == []
    assert (spans.one("docket.add").attributes or {})["docket.disposition"] == "struck"


async def test_a_call_that_the_server_refuses_is_not_counted(
    docket: Docket, meters: Meters, spans: Spans
) -> None:
    async with docket.redis() as redis:
        await redis.set(docket.runs_key("taken"), "by something else")

    with pytest.raises(Exception, match="WRONGTYPE"):
        await docket.add(work, key="taken")(1)

    assert meters.points("docket_tasks_added", docket_name=docket.name) == []
    span = spans.one("docket.add")
    assert span.status.status_code is trace.StatusCode.ERROR
    assert (span.attributes or {})["docket.disposition"] == "failed"


async def test_strikes_in_effect_are_counted_by_what_they_strike(
    docket: Docket, meters: Meters
) -> None:
    labels = {"docket.name": docket.name, "docket.task": "work"}
    value = {"docket.parameter": "number", "docket.operator": ">=", "docket.value": "5"}
    async with Docket(docket.name, docket.url) as other:
        assert other.name == docket.name
        await docket.strike(work)
        await docket.strike("work", "number", ">=", 5)
        await docket.strike(None, "customer", "==", "acme")
        await docket.strike(work)
        await other.strike_list.refresh()
        points = meters.points("docket_strikes_in_effect", docket_name=docket.name)
        assert sorted(len(point.labels) for point in points) == [2, 4, 5]
        assert {point.value for point in points} == {2}
        assert [point.labels for point in points if len(point.labels) == 2] == [labels]
        assert [point.labels for point in points if len(point.labels) == 5] == [{**labels, **value}]

        await docket.restore(work)
        await docket.restore("work", "number", ">=", 5)
        await other.strike_list.refresh()

    point = meters.point(
        "docket_strikes_in_effect", docket_parameter="number", docket_name=docket.name
    )
    assert point.value == 0
    assert meters.metric("docket_strikes_in_effect").data.is_monotonic is False


async def test_striking_and_restoring_are_spans_that_say_what(docket: Docket, spans: Spans) -> None:
    await docket.strike(work, "number", "between", (1, 3))
    await docket.restore(work, "number", "between", (1, 3))
    await docket.strike(None, "customer", "==", "acme")

    expected = {
        "docket.name": docket.name,
        "docket.task": "work",
        "docket.parameter": "number",
        "docket.operator": "between",
        "docket.value": "(1, 3)",
    }
    first, second = spans.named("docket.strike")
    assert first.attributes == expected
    assert spans.one("docket.restore").attributes == expected
    assert "docket.task" not in (second.attributes or {})


@pytest.mark.parametrize("verb", ["add", "replace"])
async def test_scheduling_is_a_span_that_says_what_is_scheduled(
    docket: Docket, spans: Spans, verb: str
) -> None:
    schedule: Callable[..., Awaitable[Execution]] = (
        docket.add(work, LATER, "k") if verb == "add" else docket.replace(work, LATER, "k")
    )
    await schedule(1)

    span = spans.one(f"docket.{verb}")
    assert span.attributes == {
        "docket.name": docket.name,
        "docket.task": "work",
        "docket.key": "k",
        "docket.when": LATER.isoformat(),
        "docket.attempt": 1,
        "code.function.name": "work",
        "docket.disposition": "scheduled",
    }
    scope = span.instrumentation_scope
    assert scope is not None
    assert scope.name == "docket.docket"


async def test_clearing_is_a_span(docket: Docket, spans: Spans) -> None:
    await docket.add(work, LATER)(1)

    assert await docket.clear() == 1

    assert spans.one("docket.clear").attributes == {"docket.name": docket.name}


async def test_an_execution_read_back_knows_the_trace_it_was_added_in(
    docket: Docket, spans: Spans, tracer_provider: TracerProvider
) -> None:
    with tracer_provider.get_tracer("application").start_as_current_span("origin") as origin:
        token = context.attach(baggage.set_baggage("tenant", "acme = 1\n2"))
        await docket.add(work, LATER, "k")(1)
        context.detach(token)

    execution = await docket.get_execution("k")

    assert execution is not None
    (link,) = execution.incoming_span_links()
    assert link.context.trace_id == origin.get_span_context().trace_id
    assert link.context.span_id == context_of(spans.one("docket.add")).span_id
    assert baggage.get_baggage("tenant", execution.trace_context) == "acme = 1\n2"


async def test_the_labels_of_an_execution_keep_its_own_values_out_of_metrics(
    docket: Docket,
) -> None:
    execution = Execution(docket, work, (), {}, "k", LATER, 3)

    assert execution.general_labels() == {"docket.task": "work"}
    assert execution.specific_labels() == {
        "docket.task": "work",
        "docket.key": "k",
        "docket.when": LATER.isoformat(),
        "docket.attempt": 3,
    }
    assert execution.trace_context is None
    assert execution.incoming_span_links() == []


async def test_labels_do_not_grow_with_the_number_of_executions(
    docket: Docket, meters: Meters
) -> None:
    for number in range(50):
        await docket.add(work, LATER + timedelta(seconds=number), f"k{number}")(number)

    for metric in ("docket_tasks_added", "docket_tasks_scheduled"):
        assert len(meters.points(metric, docket_name=docket.name)) == 1


async def test_the_caches_of_functions_tell_their_sizes(docket: Docket, meters: Meters) -> None:
    async def local(number: int) -> None: ...

    (await docket.add(local)(1)).call_repr()

    assert {point.labels["cache"] for point in meters.points("docket_cache_size")} == {
        "signature",
        "annotation",
    }
    assert all(point.value >= 1 for point in meters.points("docket_cache_size"))
