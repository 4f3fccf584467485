"""Spans of runs, and the link from where a task was added."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextvars import copy_context

import pytest
from opentelemetry import context, trace
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

from docket import Docket
from docket.instrumentation.carrier import (
    message_getter,
    message_setter,
    packed,
    unpacked,
)
from docket.instrumentation.console import set_up_logging
from docket.instrumentation.subject import fields_of_run
from docket.instrumentation.tracing import (
    Link,
    Performing,
    identifiers,
    incoming,
    is_traced,
    outgoing,
    spanning,
    suppressed,
)

from .conftest import Spans, context_of

LABELS = {"docket.name": "d", "docket.worker": "w"}


class Work:
    """An execution, as spans see it."""

    function_name = "work"

    def __init__(self, trace_text: str = "") -> None:
        self._trace_text = trace_text

    def specific_labels(self) -> Mapping[str, str | int]:
        return {"docket.task": "work", "docket.key": "k", "docket.attempt": 1}

    def incoming_span_links(self) -> list[Link]:
        trace_context = incoming(self._trace_text)
        if trace_context is None:
            return []
        return [Link(trace.get_current_span(trace_context).get_span_context())]


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot speak")


def test_the_span_of_a_run_is_current_and_says_what_runs(spans: Spans) -> None:
    with Performing(Work(), LABELS) as performing:
        current = trace.get_current_span()
        performing.conclude(None)

    span = spans.one("work")
    assert context_of(span) == current.get_span_context()
    assert span.kind is SpanKind.CONSUMER
    assert span.status.status_code is StatusCode.OK
    assert span.attributes == {
        **LABELS,
        "docket.task": "work",
        "docket.key": "k",
        "docket.attempt": 1,
        "code.function.name": "work",
    }
    scope = span.instrumentation_scope
    assert scope is not None
    assert scope.name == "docket.worker"
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_run_begins_a_trace_of_its_own_linked_to_the_one_it_was_added_in(
    spans: Spans, tracer_provider: TracerProvider
) -> None:
    tracer = tracer_provider.get_tracer("application")
    with tracer.start_as_current_span("origin") as origin:
        text = outgoing()
    with tracer.start_as_current_span("around the worker"), Performing(Work(text), LABELS):
        pass

    span = spans.one("work")
    assert span.parent is None
    (link,) = span.links
    assert link.context.span_id == origin.get_span_context().span_id
    assert context_of(span).trace_id != origin.get_span_context().trace_id


def test_an_error_shows_in_the_span(spans: Spans) -> None:
    with Performing(Work(), LABELS) as performing:
        performing.conclude(ValueError("no good"))

    span = spans.one("work")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "no good")
    (event,) = span.events
    assert event.name == "exception"
    assert (event.attributes or {})["exception.type"] == "ValueError"


def test_an_error_that_can_not_speak_does_no_harm(spans: Spans) -> None:
    with Performing(Work(), LABELS) as performing:
        performing.conclude(Mute())

    span = spans.one("work")
    assert (span.status.status_code, span.status.description) == (
        StatusCode.ERROR,
        "<not printable: RuntimeError>",
    )


def test_what_ends_a_block_from_outside_ends_its_span(spans: Spans) -> None:
    with pytest.raises(KeyboardInterrupt), Performing(Work(), LABELS):
        raise KeyboardInterrupt

    assert spans.one("work").end_time is not None
    assert fields_of_run() == {}


def test_no_context_leaks_out_of_a_run(spans: Spans) -> None:
    def run() -> tuple[object, object]:
        with Performing(Work(), LABELS) as performing:
            # A task that attaches without detaching.
            context.attach(context.set_value("mine", 1))
            performing.conclude(None)
        return context.get_value("mine"), fields_of_run()

    assert copy_context().run(run) == (None, {})
    assert spans.one("work").end_time is not None


def test_outside_of_a_trace_nothing_rides_along() -> None:
    assert outgoing() == ""
    assert incoming("") is None
    assert identifiers() == {}


def test_text_that_is_no_trace_gives_no_link(spans: Spans) -> None:
    assert not trace.get_current_span(incoming("rubbish\n=\ntraceparent=rubbish")).is_recording()
    assert spans.all == []


def test_a_carrier_holds_fields_as_bytes() -> None:
    carrier: dict[bytes, bytes] = {}
    message_setter.set(carrier, "traceparent", "00-é")

    assert carrier == {b"traceparent": "00-é".encode()}
    assert message_getter.get(carrier, "traceparent") == ["00-é"]
    assert message_getter.get(carrier, "other") is None
    assert message_getter.keys(carrier) == ["traceparent"]
    assert unpacked(packed({**carrier, b"a": b"b=c"})) == {**carrier, b"a": b"b=c"}


def test_an_error_in_a_span_of_the_client_is_its_error(spans: Spans) -> None:
    with pytest.raises(ValueError, match="no good"), spanning("docket.add", dict[str, str]):
        raise ValueError("no good")

    assert spans.one("docket.add").status.status_code is StatusCode.ERROR


@pytest.fixture
def instrumented(tracer_provider: TracerProvider) -> Iterator[object]:
    """An application that traces redis-py."""
    instrumentor = RedisInstrumentor()
    instrumentor.instrument(tracer_provider=tracer_provider)
    yield instrumentor
    instrumentor.uninstrument()


async def test_redis_is_silent_in_a_block_and_speaks_when_asked(
    docket: Docket, spans: Spans, instrumented: object
) -> None:
    async with docket.redis() as redis:
        with suppressed():
            await redis.get(docket.key("mine"))
        assert spans.all == []
        with suppressed(unless=True):
            await redis.get(docket.key("mine"))

    assert [span.name for span in spans.all] == ["GET"]


async def test_looking_for_a_server_and_talking_to_it_makes_no_spans(
    server_url: str, spans: Spans, instrumented: object
) -> None:
    async with Docket("silence", server_url) as docket:
        await docket.snapshot()

    assert spans.all == []


def test_a_log_line_within_a_run_says_what_it_is_about(
    spans: Spans, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    set_up_logging("info", "json")
    try:
        with Performing(Work(), LABELS):
            logging.getLogger("application").info("so far", extra={"percent": 40, "what": Mute()})
        logging.getLogger("application").info("outside", stack_info=True)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)

    inside, outside = map(json.loads, capsys.readouterr().err.splitlines())
    found = context_of(spans.one("work"))
    expected = {
        **LABELS,
        "docket.task": "work",
        "docket.key": "k",
        "docket.attempt": 1,
        "percent": 40,
        "what": "<Mute>",
        "message": "so far",
        "trace_id": trace.format_trace_id(found.trace_id),
        "span_id": trace.format_span_id(found.span_id),
    }
    assert expected.items() <= inside.items()
    assert "Stack" in outside["stack"]
    assert not any(name.startswith(("docket.", "trace_id")) for name in outside)


PROGRAM = """
import asyncio
from docket import Docket
from docket.instrumentation.tracing import Performing, is_traced, outgoing
from docket.instrumentation.telemetry import is_measured

class Work:
    function_name = "work"
    def specific_labels(self): raise AssertionError("nobody asked")
    def incoming_span_links(self): raise AssertionError("nobody asked")

async def work(): ...

async def main():
    address = "memory://plain"
    async with Docket("plain", address, enable_internal_instrumentation=True) as docket:
        execution = await docket.add(work)()
        assert execution.incoming_span_links() == []
    with Performing(Work(), {}) as performing:
        performing.conclude(None)
        performing.conclude(ValueError())
    assert (is_traced(), is_measured(), outgoing()) == (False, False, "")

asyncio.run(main())
"""


@pytest.mark.thorough
def test_without_a_provider_nothing_is_built_or_sent() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_tracing_begins_with_a_provider(tracer_provider: TracerProvider) -> None:
    assert trace.get_tracer_provider() is tracer_provider
    assert is_traced()
