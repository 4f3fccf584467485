"""F42: everything breaks for a while, at random; `make soak` does the same for as long as one likes.

Three worker programs and a server that keeps what it acknowledges: kills, frozen processes, cut lines, lost
replies, restarts, drains and strikes, twenty seconds of them here. What holds is read off the ledger: nothing
lost, one outcome each, limits never exceeded, nothing left behind.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .soaking import soak

pytestmark = pytest.mark.fault

SECONDS, SEED = 20, 42


@pytest.mark.timeout(240)
async def test_a_short_soak_leaves_every_promise_standing(tmp_path: Path) -> None:
    one, audit = await soak(tmp_path, SECONDS, SEED)

    assert sum(one.faults.values()) >= 4
    assert len(audit.records) > 100
