"""FastMCP's background tasks, unchanged: the newest series, and the last one that uses private names."""

from __future__ import annotations

import pytest

from .conftest import Found, Run

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(600)]

REPORT = {"month": "2026-02", "sold": 151, "best": "Cup"}


@pytest.fixture(scope="module")
def found(run: Run, kind: str) -> Found:
    """What a client of FastMCP 4 found."""
    return run("current", "fastmcp_4", kind, FASTMCP_DOCKET_URL="{url}")


def test_it_finds_us_under_the_name_that_it_asks_for(found: Found) -> None:
    assert found["available"]
    assert found["pydocket"] == "0.27.0+docket.platform"
    assert found["files of pydocket"] == []
    assert "site-packages" not in found["docket"]


def test_a_client_reads_how_far_a_task_has_come_and_then_its_result(found: Found) -> None:
    assert found["status"] == [
        "Adding up Kettle",
        "Adding up Teapot",
        "Adding up Cup",
        "completed",
    ]
    assert found["result"] == found["driven by the client"] == REPORT


def test_a_tool_that_raises_is_an_error_for_the_client(found: Found) -> None:
    assert found["refused"] == "no orders in 1999-01: there are 2026-01, 2026-02"


def test_a_task_that_fails_keeps_the_very_error_it_failed_with(found: Found) -> None:
    assert found["failed"] == ["failed"]
    assert found["error"]["code"] == -32050
    assert found["error"]["message"] == "the books are closed"
    assert found["error"]["data"] == {"since": "2026-01"}


def test_a_client_cancels_a_task_that_runs(found: Found) -> None:
    assert found["cancelled"] == ["cancelled"]


def test_dependencies_of_both_are_resolved_side_by_side(found: Found) -> None:
    assert found["mixed"] == {"runs": True}


def test_many_tasks_of_one_tool_run_at_once_and_a_fast_tool_runs_without_one(found: Found) -> None:
    assert found["concurrent"] == [151, 151]
    assert found["at once"] == ["2026-01", "2026-02"]


@pytest.fixture(scope="module")
def found_by_2(run: Run, kind: str) -> Found:
    """What a client of FastMCP 2 found."""
    return run("fastmcp-2", "fastmcp_2", kind, FASTMCP_DOCKET_URL="{url}")


def test_fastmcp_2_is_told_by_events_how_a_task_stands(found_by_2: Found) -> None:
    assert found_by_2["status"][:2] == [
        ["working", "Adding up Kettle"],
        ["working", "Adding up Cup"],
    ]
    # An event of progress may be looked into when the task is done already.
    assert {state for state, _ in found_by_2["status"][2:]} == {"completed"}
    assert found_by_2["result"] == {"sold": 135, "docket": "fastmcp"}


def test_fastmcp_2_runs_resources_and_prompts_as_tasks(found_by_2: Found) -> None:
    assert found_by_2["resource"] == "January, February"
    assert found_by_2["prompt"] == "What sold best in January?"


def test_fastmcp_2_sees_a_failure_and_cancels(found_by_2: Found) -> None:
    assert found_by_2["failed"] == ["failed", "the books are closed"]
    assert found_by_2["cancelled"] == "cancelled"
