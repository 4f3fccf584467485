"""Counts in the format that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple, cast

from .health import Answer


class Sample(NamedTuple):
    """One number with its labels."""

    metric: str
    help: str
    kind: str
    """counter or gauge."""
    labels: dict[str, str]
    value: float


def page(samples: Iterable[Sample]) -> Answer:
    """The page that Prometheus reads, or how to get it where its library is not installed."""
    try:
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - an extra
        from prometheus_client.exposition import CONTENT_TYPE_LATEST  # noqa: PLC0415
    except ImportError:
        return Answer(
            HTTPStatus.NOT_IMPLEMENTED, 'install "docket-platform[metrics]" to have metrics here\n'
        )
    registry = CollectorRegistry()
    registry.register(cast(Any, _Collector(list(samples))))
    text = generate_latest(registry).decode()
    return Answer(HTTPStatus.OK, text, CONTENT_TYPE_LATEST)


class _Collector:
    """What ``prometheus_client`` asks; not derived from its class, which is an extra."""

    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[object]:
        from prometheus_client.core import (  # noqa: PLC0415 - an extra
            CounterMetricFamily,
            GaugeMetricFamily,
        )

        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for sample in self._samples:
            family = families.get(sample.metric)
            if family is None:
                kind = CounterMetricFamily if sample.kind == "counter" else GaugeMetricFamily
                names = list(sample.labels)
                family = families[sample.metric] = kind(sample.metric, sample.help, labels=names)
            family.add_metric(list(sample.labels.values()), sample.value)
        yield from families.values()
