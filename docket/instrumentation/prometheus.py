"""Metrics in the format that Prometheus reads."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from itertools import accumulate
from typing import Any, NamedTuple, cast

from opentelemetry import metrics

from .health import LOOPBACK
from .histogram import BOUNDS, Histogram
from .pages import HealthServer, Response
from .telemetry import is_measured

logger = logging.getLogger(__name__)


class Sample(NamedTuple):
    """One number with its labels."""

    metric: str
    help: str
    kind: str
    """counter, gauge or histogram."""
    labels: dict[str, str]
    value: float | Histogram


def page(samples: Iterable[Sample]) -> Response:
    """Return the page that Prometheus reads, or how to get it where its library is not installed."""
    try:
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - an extra
        from prometheus_client.exposition import CONTENT_TYPE_LATEST  # noqa: PLC0415
    except ImportError:
        return Response(
            HTTPStatus.NOT_IMPLEMENTED, 'install "docket-platform[metrics]" to have metrics here\n'
        )
    registry = CollectorRegistry()
    registry.register(cast(Any, _Collector(list(samples))))
    text = generate_latest(registry).decode()
    return Response(HTTPStatus.OK, text, CONTENT_TYPE_LATEST)


class _Collector:
    """Collector for ``prometheus_client``; not derived from its class, which is an extra."""

    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[object]:
        from prometheus_client.core import (  # noqa: PLC0415 - an extra
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        kinds: dict[str, Any] = {
            "counter": CounterMetricFamily,
            "gauge": GaugeMetricFamily,
            "histogram": HistogramMetricFamily,
        }
        families: dict[str, Any] = {}
        for sample in self._samples:
            family = families.get(sample.metric)
            if family is None:
                kind, names = kinds[sample.kind], list(sample.labels)
                family = families[sample.metric] = kind(sample.metric, sample.help, labels=names)
            labels, value = list(sample.labels.values()), sample.value
            if isinstance(value, Histogram):
                family.add_metric(labels, _buckets(value), value.total)
            else:
                family.add_metric(labels, value)
        yield from families.values()


def _buckets(spread: Histogram) -> list[tuple[str, float]]:
    """Return how many are at most as long as each bound."""
    bounds = [*(f"{float(bound)}" for bound in BOUNDS), "+Inf"]
    return list(zip(bounds, accumulate(spread.counts), strict=True))


@contextmanager
def metrics_server(
    host: str = LOOPBACK, port: int | None = None
) -> Generator[HealthServer | None, None, None]:
    """Show all metrics of this process to Prometheus for the length of a block, at ``/metrics`` and ``/``.

    The process gets a meter provider that feeds Prometheus, unless the application has set one of its own.
    Dots in the names of labels become underscores: ``docket.name`` is ``docket_name``.

    Arguments:
        host: the address to listen at; loopback by default.
        port: the port; 0 takes a free one, None does nothing at all.

    Raises:
        ImportError: the package that this needs is not installed.
        OSError: the port is taken.

    Example:
        >>> with metrics_server(port=9090):
        ...     await worker.run_forever()
    """
    if port is None:
        yield None
        return
    _feed_prometheus()
    pages = {"/": _registered, "/metrics": _registered}
    server = HealthServer(host, port, pages)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _feed_prometheus() -> None:
    try:
        from opentelemetry.exporter.prometheus import (  # noqa: PLC0415 - an extra
            PrometheusMetricReader,
        )
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    except ImportError as error:
        raise ImportError('install "docket-platform[metrics]" to show metrics') from error
    if is_measured():
        logger.info(
            "The application has a meter provider of its own; metrics are shown here if it has a "
            "PrometheusMetricReader"
        )
        return
    metrics.set_meter_provider(MeterProvider([PrometheusMetricReader(scope_info_enabled=False)]))


def _registered() -> Response:
    from prometheus_client import REGISTRY, generate_latest  # noqa: PLC0415 - an extra
    from prometheus_client.exposition import CONTENT_TYPE_LATEST  # noqa: PLC0415

    return Response(HTTPStatus.OK, generate_latest(REGISTRY).decode(), CONTENT_TYPE_LATEST)
