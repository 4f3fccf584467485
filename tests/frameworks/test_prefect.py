"""Prefect's server, unchanged: its background services are perpetual tasks of a docket."""

from __future__ import annotations

import pytest

from .conftest import Found, Run

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def found(run: Run, kind: str) -> Found:
    """What a client of Prefect's server found."""
    return run(
        "current",
        "prefect_server",
        kind,
        PREFECT_HOME="{directory}",
        PREFECT_SERVER_DOCKET_URL="{url}",
        PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS="0.1",
        PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS="0",
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        PREFECT_LOGGING_TO_API_ENABLED="false",
        DO_NOT_TRACK="1",
    )


def test_every_background_service_runs_and_goes_on(found: Found) -> None:
    assert found["services"] >= 10
    assert found["all services ran"]
    assert found["not live any more"] == []
    assert found["their keys are their names"]


def test_a_service_that_finds_work_floods_the_docket_with_it(found: Found) -> None:
    assert found["marked late"]


def test_a_request_leaves_its_slow_part_to_a_task(found: Found) -> None:
    assert found["logs before"]
    assert found["logs deleted"]
