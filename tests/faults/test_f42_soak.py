"""F42: everything breaks for a while, at random; `make soak` does the same for as long as one likes.

Worker programs, and a supervisor whose file is edited: kills, frozen processes, drains, strikes; on one
server cut lines, lost replies and restarts, on a cluster a slot that moves. Twelve
seconds of them each, and four faults at least. What holds is read off the ledger: nothing lost, one outcome
each, limits never exceeded, nothing left behind, and nobody told a falsehood.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .grounds import GROUNDS
from .soaking import FEWEST_FAULTS, soak

pytestmark = pytest.mark.fault

SECONDS, SEED = 12, 42


@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", list(GROUNDS))
async def test_a_short_soak_leaves_every_promise_standing(tmp_path: Path, server: str) -> None:
    one, audit = await soak(tmp_path, SECONDS, SEED, server)

    assert one.faults.total() >= FEWEST_FAULTS
    assert len(audit.records) > 100
