"""F34: all pairs of gates, in both orders of declaration, contended; a worker is killed, replies are lost.

Every run that is let in starts within its bound, no limit is exceeded, and a cooldown or a debounce has
exactly one winner. A debounce runs once more only for what had not asked yet when its winner began: such a
call was on its way to a worker that died, and is a submission anew. About a minute.
"""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from docket import Docket
from docket.storage.executions import Record
from tests.compat.conftest import until
from tests.fleet.process import ServerProcess
from tests.promises import promised
from tests.properties.budget import budget
from tests.properties.crew import Crew, nothing_is_left

from .gates import PAIRS, PER, RUN, SETTLE, SLOTS, STARTS, Bodies, gated, judge
from .line import Line

pytestmark = pytest.mark.thorough

RUNS = 8
PATIENCE = 60

pairs = pytest.mark.parametrize("names", PAIRS, ids="-".join)


@dataclass(frozen=True)
class Blow:
    """After so many starts this happens; replies are lost for so long."""

    after: int
    verb: Literal["kill", "drain", "deafen"]
    seconds: float


blows = st.lists(
    st.builds(
        Blow,
        st.integers(0, RUNS),
        st.sampled_from(["kill", "deafen", "deafen", "drain"]),
        st.sampled_from([0.02, 0.1, 0.3]),
    ),
    min_size=1,
    max_size=3,
)


class Contest:
    """So many runs of one task with these gates, and a crew of two workers behind a line."""

    def __init__(self, docket: Docket, line: Line, client: redis.Redis, names: Sequence[str]):
        self.docket = docket
        self.names = names
        self.keys = [f"k{number}" for number in range(RUNS)]
        self.crew = Crew(docket, 2, RUNS)
        self.bodies = Bodies(docket, client, self.keys)
        self._line = line
        docket.register(gated(names, self.crew, self.bodies), ["task"])

    async def play(self, blows: Sequence[Blow]) -> float:
        """Have all of them compete until all have ended; tells how long it took the last to begin."""
        async with self.crew:
            began = time.monotonic()
            await self.docket.add_many([self.docket.call("task", key=key)() for key in self.keys])
            for blow in blows:
                await self.crew.ledger.until_started(blow.after)
                await self._suffer(blow)
            await until(self._all_have_ended, PATIENCE)
            judge(self.names, await self._records(), self.bodies)
        await nothing_is_left(self.docket)
        return self.bodies.last_begin() - began

    async def _suffer(self, blow: Blow) -> None:
        if blow.verb == "kill":
            await self.crew.kill(0)
        elif blow.verb == "drain":
            await self.crew.drain(0)
        else:
            self._line.lose_replies(True)
            await asyncio.sleep(blow.seconds)
            await asyncio.to_thread(self._line.cut)
            self._line.lose_replies(False)

    async def _records(self) -> list[Record]:
        records = await self.docket.storage.executions.read(*self.keys)
        assert None not in records, "no acknowledged key is absent"
        return [record for record in records if record is not None]

    async def _all_have_ended(self) -> bool:
        return all(record.state.is_terminal for record in await self._records())


@asynccontextmanager
async def contest(server: ServerProcess, names: Sequence[str]) -> AsyncGenerator[Contest]:
    """A docket of its own at the end of a line of its own."""
    with Line(server.port) as line, server.client() as client:
        async with Docket(f"f34-{uuid.uuid4().hex[:12]}", line.url) as docket:
            yield Contest(docket, line, client, names)


def bound(names: Sequence[str]) -> float:
    """Seconds within which the last one starts where nothing breaks."""
    by_slots = math.ceil(RUNS / SLOTS) * RUN if "slot" in names else 0
    by_rate = math.ceil(RUNS / STARTS) * PER if "rate" in names else 0
    return 1.25 * max(by_slots, by_rate) + SETTLE + 1


@pytest.mark.alone
@pytest.mark.parametrize("first", sorted({first for first, _ in PAIRS}))
async def test_every_pair_of_gates_lets_all_in_in_time_that_it_should(
    steady_server: ServerProcess, first: str
) -> None:
    async def took(names: tuple[str, str]) -> float:
        async with contest(steady_server, names) as calm:
            return await calm.play([])

    together = [names for names in PAIRS if names[0] == first]
    seconds = await asyncio.gather(*map(took, together))

    late = {
        names
        for names, took in zip(together, seconds, strict=True)
        if took > promised(bound(names))
    }
    assert not late, dict(zip(together, seconds, strict=True))


@pairs
def test_no_pair_of_gates_lets_a_wrong_one_in_or_keeps_one_out_whatever_breaks(
    steady_server: ServerProcess, names: tuple[str, str]
) -> None:
    @budget(examples=2, steps=1, thorough=20)
    @given(blows)
    def examine(blows: list[Blow]) -> None:
        async def perform() -> None:
            async with contest(steady_server, names) as troubled:
                await troubled.play(blows)

        asyncio.run(perform())

    examine()
