"""F02: a worker kills itself at each numbered point of the round trip that settles and claims.

Four points, each at its first and at a later passage, with a second worker alive: every execution ends
with exactly one outcome. About 12 s.
"""

from __future__ import annotations

import pytest

from docket import Docket

from .conftest import Start
from .ledger import Audit, Ledger, States, nothing_is_left_behind
from .producing import produce, until_ended
from .workers import KILL_POINTS

pytestmark = pytest.mark.fault


@pytest.mark.parametrize("passage", [1, 4])
@pytest.mark.parametrize("point", KILL_POINTS)
async def test_a_worker_that_dies_at_this_point_leaves_exactly_one_outcome_of_everything(
    docket: Docket,
    url: str,
    ledger: Ledger,
    states: States,
    start: Start,
    point: str,
    passage: int,
) -> None:
    doomed = start(concurrency=5, lease=1.0, kill_at=f"{point}:{passage}")
    keys = await produce(docket, ledger, [0.01] * 40)
    await doomed.until_gone()
    heir = start(concurrency=5)

    await until_ended(docket, keys)

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    audit.repeats_are_due_to([doomed.pid])
    audit.states_are_legal(states.heard())
    nothing_is_left_behind(url, docket.name)
    assert heir.is_alive
