"""A real SDK, set once per process as applications do; each test looks at what came since it began."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from docket import Docket


@dataclass(frozen=True)
class Point:
    """One number, or one histogram, with its labels."""

    labels: dict[str, Any]
    value: float
    count: int = 0


class Meters:
    """What the instruments have measured so far."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self._reader = reader

    def points(self, metric: str, **labels: str) -> list[Point]:
        """All points of a metric with these labels; underscores stand for dots."""
        wanted = {name.replace("_", "."): value for name, value in labels.items()}
        return [
            point
            for point in self._points(metric)
            if wanted.items() <= {name: str(value) for name, value in point.labels.items()}.items()
        ]

    def point(self, metric: str, **labels: str) -> Point:
        """The only point of a metric with these labels."""
        (point,) = self.points(metric, **labels)
        return point

    def metric(self, name: str) -> Any:
        """A metric as the SDK shows it."""
        return self._everything()[name]

    def _points(self, metric: str) -> Iterator[Point]:
        found = self._everything().get(metric)
        for point in [] if found is None else found.data.data_points:
            labels = dict(point.attributes or {})
            if hasattr(point, "value"):
                yield Point(labels, point.value)
            else:
                yield Point(labels, point.sum, point.count)

    def _everything(self) -> Mapping[str, Any]:
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            if scope.scope.name == "docket"
            for metric in scope.metrics
        }


class Spans:
    """The spans that have ended since the test began."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def named(self, name: str) -> list[ReadableSpan]:
        """All of a name, in the order of their ends."""
        return [span for span in self.all if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The only one of a name."""
        (span,) = self.named(name)
        return span

    @property
    def all(self) -> list[ReadableSpan]:
        """All of them."""
        return list(self._exporter.get_finished_spans())


def context_of(span: ReadableSpan) -> SpanContext:
    """What names a span."""
    found = span.get_span_context()
    assert found is not None
    return found


_exporter = InMemorySpanExporter()


@pytest.fixture(scope="session")
def meters() -> Meters:
    """What is counted; the labels of a docket of one's own tell tests apart."""
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    return Meters(reader)


@pytest.fixture(scope="session")
def tracer_provider() -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(_exporter))
    trace.set_tracer_provider(provider)
    return provider


@pytest.fixture
def spans(tracer_provider: TracerProvider) -> Spans:
    """What is traced in this test."""
    _exporter.clear()
    return Spans(_exporter)


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://instrumentation") as docket:
        yield docket
