"""What a worker reports, as counters and histograms with bounded labels."""

from __future__ import annotations

import uuid

import pytest
from opentelemetry.sdk.metrics import MeterProvider

from docket.instrumentation.events import Observers
from docket.instrumentation.telemetry import UNREGISTERED, WorkerTelemetry, is_measured

from .conftest import Meters

COUNTERS = (
    *("started", "redelivered", "running", "completed"),
    *("succeeded", "failed", "retried", "interrupted"),
)


@pytest.fixture
def name() -> str:
    """A name for a docket that nobody else has."""
    return uuid.uuid4().hex


@pytest.fixture
def telemetry(name: str) -> WorkerTelemetry:
    labels = {"docket.name": name, "docket.worker": "w"}
    return WorkerTelemetry(labels, {"work": object()})


def describe() -> str:
    raise AssertionError("metrics do not describe calls")


def values(meters: Meters, name: str) -> dict[str, float]:
    """All counters of a docket that are not zero."""
    found = {
        metric: meters.points(f"docket_tasks_{metric}", docket_name=name) for metric in COUNTERS
    }
    return {metric: point[0].value for metric, point in found.items() if point and point[0].value}


@pytest.mark.parametrize(
    ("ending", "counted"),
    {
        "completed": {"completed": 1, "succeeded": 1},
        "perpetuated": {"completed": 1, "succeeded": 1},
        "handled": {"completed": 1, "succeeded": 1},
        "failed": {"completed": 1, "failed": 1},
        "retried": {"completed": 1, "failed": 1, "retried": 1},
        "interrupted": {"completed": 1, "interrupted": 1},
        "cancelled": {"completed": 1},
        "delayed": {"completed": 1},
        "lost": {"completed": 1},
    }.items(),
)
def test_each_ending_has_its_counters(
    telemetry: WorkerTelemetry, meters: Meters, name: str, ending: str, counted: dict[str, int]
) -> None:
    telemetry.started("work", describe, 0.25, 0)
    assert values(meters, name) == {"started": 1, "running": 1}

    telemetry.ended("work", describe, 1.5, ending)

    assert values(meters, name) == {"started": 1, **counted}
    labels = {"docket.name": name, "docket.worker": "w", "docket.task": "work"}
    for metric, total in (("docket_task_punctuality", 0.25), ("docket_task_duration", 1.5)):
        point = meters.point(metric, docket_name=name)
        assert (point.labels, point.count, point.value) == (labels, 1, total)
        assert meters.metric(metric).unit == "s"
    assert meters.point("docket_tasks_completed", docket_name=name).labels == labels


def test_a_run_after_a_lost_one_is_redelivered(
    telemetry: WorkerTelemetry, meters: Meters, name: str
) -> None:
    telemetry.started("work", describe, 0, 2)

    assert values(meters, name)["redelivered"] == 1


@pytest.mark.parametrize(
    ("verb", "arguments", "metric", "where"),
    [
        ("struck", ("work", "k"), "stricken", "worker"),
        ("lost", ("work", "k"), "superseded", "worker"),
        ("refused", ("work", "k", "STALE"), "superseded", "worker"),
        ("refused", ("work", "k", "STALE", "retry"), "superseded", "retry"),
        ("refused", ("work", "k", "SUPERSEDED", "on_complete"), "superseded", "on_complete"),
        ("perpetuated", ("work", describe, 1), "perpetuated", None),
        ("parked", ("work", "k", "unknown_task"), "parked", None),
        ("crashed", ("work", "k"), "dead", None),
        ("expired", ("work", "k"), "expired", None),
        ("undecodable", ("work", "k", ValueError()), "dead", None),
    ],
)
def test_what_happens_to_an_execution_is_counted_without_its_key(
    telemetry: WorkerTelemetry,
    meters: Meters,
    name: str,
    verb: str,
    arguments: tuple[object, ...],
    metric: str,
    where: str | None,
) -> None:
    getattr(telemetry, verb)(*arguments)

    point = meters.point(f"docket_tasks_{metric}", docket_name=name)
    assert point.value == 1
    labels = {"docket.name": name, "docket.worker": "w", "docket.task": "work"}
    assert point.labels == ({**labels, "docket.where": where} if where else labels)


def test_disruptions_and_evictions_are_counted_for_the_worker(
    telemetry: WorkerTelemetry, meters: Meters, name: str
) -> None:
    telemetry.disrupted(ConnectionError(), 1.0)
    telemetry.evicted(3)

    labels = {"docket.name": name, "docket.worker": "w"}
    for metric, value in (("docket_redis_disruptions", 1), ("docket_results_evicted", 3)):
        point = meters.point(metric, docket_name=name)
        assert (point.labels, point.value) == (labels, value)


def test_depths_are_those_of_the_docket(
    telemetry: WorkerTelemetry, meters: Meters, name: str
) -> None:
    telemetry.depths(5, 7)
    telemetry.depths(3, 2)

    for metric, value in (("docket_queue_depth", 3), ("docket_schedule_depth", 2)):
        point = meters.point(metric, docket_name=name)
        assert (point.labels, point.value) == ({"docket.name": name}, value)


def test_names_that_nobody_knows_share_one_label(
    telemetry: WorkerTelemetry, meters: Meters, name: str
) -> None:
    for number in range(100):
        telemetry.parked(f"made up {number}", f"key {number}", "unknown_task")

    point = meters.point("docket_tasks_parked", docket_name=name)
    assert (point.labels["docket.task"], point.value) == (UNREGISTERED, 100)


def test_a_task_that_is_registered_later_has_a_label_from_then_on(
    meters: Meters, name: str
) -> None:
    tasks: dict[str, object] = {}
    telemetry = Observers([WorkerTelemetry({"docket.name": name, "docket.worker": "w"}, tasks)])
    telemetry.parked("work", "k", "unknown_task")
    tasks["work"] = object()
    telemetry.parked("work", "k", "unknown_task")

    found = meters.points("docket_tasks_parked", docket_name=name)
    assert {point.labels["docket.task"] for point in found} == {UNREGISTERED, "work"}


def test_measuring_begins_with_a_provider(meters: Meters) -> None:
    assert isinstance(meters, Meters)
    assert is_measured()
    assert MeterProvider.__module__.startswith("opentelemetry.sdk")
