from __future__ import annotations

import json

import pytest

from docket.foundation.lifecycle import LIVE, TRANSITIONS, ExecutionState

LIVE_STATES = [state for state in ExecutionState if state.is_live]
TERMINAL = [state for state in ExecutionState if state.is_terminal]


@pytest.mark.parametrize("state", ExecutionState)
def test_every_state_is_either_live_or_terminal(state: ExecutionState) -> None:
    assert state.is_live is not state.is_terminal
    assert state.is_live is (state in LIVE)


def test_what_is_finished_is_completed_failed_or_cancelled() -> None:
    assert {state.value for state in TERMINAL} == {"completed", "failed", "cancelled"}


def test_the_table_has_a_row_for_every_state_and_for_none() -> None:
    assert TRANSITIONS.keys() == {None, *ExecutionState}


def test_every_state_can_be_reached_from_nothing() -> None:
    assert _reachable(None) == set(ExecutionState)


@pytest.mark.parametrize("state", LIVE_STATES)
def test_every_live_state_leads_to_every_end(state: ExecutionState) -> None:
    assert _reachable(state) >= set(TERMINAL)


@pytest.mark.parametrize("state", [None, *TERMINAL])
def test_a_key_without_live_work_is_only_left_by_scheduling_again(
    state: ExecutionState | None,
) -> None:
    # A strike may keep back what is scheduled: it is parked at once.
    assert TRANSITIONS[state] == {
        ExecutionState.SCHEDULED,
        ExecutionState.QUEUED,
        ExecutionState.PARKED,
    }


def test_only_what_is_queued_or_was_running_runs() -> None:
    before = {state for state, after in TRANSITIONS.items() if ExecutionState.RUNNING in after}
    assert before == {ExecutionState.QUEUED, ExecutionState.RUNNING}


def test_only_what_is_running_completes() -> None:
    before = {state for state, after in TRANSITIONS.items() if ExecutionState.COMPLETED in after}
    assert before == {ExecutionState.RUNNING}


def test_only_what_is_running_fails_or_a_suspect_that_waits_and_turns_out_guilty() -> None:
    before = {state for state, after in TRANSITIONS.items() if ExecutionState.FAILED in after}
    assert before == {ExecutionState.QUEUED, ExecutionState.RUNNING}


def _reachable(start: ExecutionState | None) -> set[ExecutionState]:
    found: set[ExecutionState] = set()
    waiting = list(TRANSITIONS[start])
    while waiting:
        state = waiting.pop()
        if state not in found:
            found.add(state)
            waiting.extend(TRANSITIONS[state])
    return found


@pytest.mark.parametrize("state", ExecutionState)
def test_a_state_equals_its_value_and_is_shown_as_a_member(state: ExecutionState) -> None:
    assert state == state.value
    assert hash(state) == hash(state.value)
    assert json.loads(json.dumps({"state": state})) == {"state": state.value}
    assert str(state) == f"{state}" == f"ExecutionState.{state.name}"
