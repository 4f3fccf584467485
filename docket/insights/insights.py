"""The questions that can be asked of a docket."""

from __future__ import annotations

from datetime import timedelta

from ..storage.storage import Storage
from ..strikelist import StrikeList
from .execution import explained
from .explanation import Explanation
from .schedule import explained_schedule


class Insights:
    """Explanations of what stands in a docket; ``Docket.insights`` is one.

    Arguments:
        storage: the records in Redis.
        strikes: reads the active rules.
        silence: how long a worker may be silent before it counts as gone.

    Example:
        >>> print(await docket.insights.explain("order-7"))
    """

    def __init__(self, storage: Storage, strikes: StrikeList, silence: timedelta) -> None:
        self._storage = storage
        self._strikes = strikes
        self._silence = silence

    async def explain(self, key: str) -> Explanation | None:
        """Explain why an execution runs, waits or has ended so; return None if there is no such execution.

        It is one command to the server, however much waits there.

        Arguments:
            key: the execution.

        Raises:
            Undecodable: something else is stored there.
            ServerUnavailable: the server did not answer in time.
        """
        situation = await self._storage.situations.of(key, self._silence)
        if situation is None:
            return None
        looking = [
            rule
            for rule in self._strikes.rules.values()
            if rule.conditions and rule.task in (None, situation.task)
        ]
        return explained(situation, self._strikes.read(situation.rules), looking)

    async def explain_schedule(self, name: str) -> Explanation | None:
        """Explain why a schedule has a run or none; return None if there is no such schedule.

        It is one command to the server.

        Arguments:
            name: the schedule, or owner/name where several owners have one of that name.

        Raises:
            UnknownSchedule: several owners have one.
            Undecodable: something else is stored there.
            ServerUnavailable: the server did not answer in time.
        """
        situation = await self._storage.schedule_situations.of(name)
        if situation is None:
            return None
        return explained_schedule(situation, self._strikes.read(situation.rules))
