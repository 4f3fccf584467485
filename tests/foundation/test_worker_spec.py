"""Orders survive the journey to a worker process."""

from __future__ import annotations

import json

import pytest

from docket.foundation.worker_spec import RetrySpec, TaskSpec, WorkerSpec

ORDERS = WorkerSpec(
    pool="default",
    name="shop",
    url="redis://localhost:6379/0",
    concurrency=7,
    queues=("default", "slow"),
    drain=12.5,
    execution_ttl=900.0,
    lease=30.0,
    codecs=("safe",),
    max_payload=1024,
    signing_keys={"2026": "secret"},
    tasks={
        "plain": TaskSpec("work:plain"),
        "tried": TaskSpec(
            "work:tried",
            timeout=1.5,
            retry=RetrySpec(None, 0.5, 60.0, "exponential", 0.1, ("work:Never", "work:Ever")),
        ),
    },
    log_level="info",
    log_format="json",
)


def test_orders_are_the_same_after_a_journey_through_json() -> None:
    assert WorkerSpec.load(json.loads(ORDERS.text)) == ORDERS


@pytest.mark.parametrize("field", sorted(json.loads(ORDERS.text)))
def test_orders_that_lack_something_are_refused(field: str) -> None:
    fields = json.loads(ORDERS.text)
    del fields[field]

    with pytest.raises((KeyError, TypeError), match=field):
        WorkerSpec.load(fields)


def test_what_orders_do_not_say_of_a_task_is_left_to_its_code() -> None:
    plain = TaskSpec("work:plain")

    assert plain.timeout is None
    assert plain.retry is None
