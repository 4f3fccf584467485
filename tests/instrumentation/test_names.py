"""The names that programs import."""

from __future__ import annotations

import pytest
from opentelemetry.metrics import Counter, Histogram, UpDownCounter

from docket import instrumentation

COUNTERS = (
    *("TASKS_ADDED", "TASKS_REPLACED", "TASKS_SCHEDULED", "TASKS_CANCELLED", "TASKS_STARTED"),
    *("TASKS_REDELIVERED", "TASKS_STRICKEN", "TASKS_SUPERSEDED", "TASKS_COMPLETED", "TASKS_FAILED"),
    *("TASKS_SUCCEEDED", "TASKS_RETRIED", "TASKS_PERPETUATED", "REDIS_DISRUPTIONS"),
)


def test_every_instrument_can_be_imported() -> None:
    for name in COUNTERS:
        assert isinstance(getattr(instrumentation, name), Counter)
    for name in ("TASKS_RUNNING", "STRIKES_IN_EFFECT"):
        assert isinstance(getattr(instrumentation, name), UpDownCounter)
    for name in ("TASK_DURATION", "TASK_PUNCTUALITY"):
        assert isinstance(getattr(instrumentation, name), Histogram)
    for name in ("QUEUE_DEPTH", "SCHEDULE_DEPTH", "CACHE_SIZE"):
        assert callable(getattr(instrumentation, name).set)


def test_carriers_and_servers_can_be_imported() -> None:
    carrier: dict[bytes, bytes] = {}
    instrumentation.MessageSetter().set(carrier, "traceparent", "00")

    assert instrumentation.MessageGetter().get(carrier, "traceparent") == ["00"]
    assert instrumentation.message_getter.keys(carrier) == ["traceparent"]
    for server in (instrumentation.healthcheck_server, instrumentation.metrics_server):
        with server("127.0.0.1", None) as nothing:
            assert nothing is None


def test_what_there_is_can_be_listed() -> None:
    assert set(dir(instrumentation)) >= {*COUNTERS, "MessageGetter", "healthcheck_server"}
    with pytest.raises(AttributeError, match="no attribute 'NOTHING'"):
        _ = instrumentation.NOTHING
