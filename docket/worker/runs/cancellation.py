"""The cancellation of running executions."""

from __future__ import annotations

from ...foundation.service import Service
from ...storage.storage import Storage
from ...storage.subscriptions import RESYNC
from ..services.leases import Leases
from .slots import End, Running


class Cancellation(Service):
    """The listener that ends the runs whose keys are called out; it wakes for nothing else.

    The wish is durable in the record of the execution. What is called out while the line is down is
    found when the line is back, by having the leases looked at.

    Arguments:
        storage: where it is called out.
        running: what is in flight.
        leases: reads the wishes that were missed.
    """

    def __init__(self, storage: Storage, running: Running, leases: Leases) -> None:
        self._storage = storage
        self._running = running
        self._leases = leases

    async def run(self) -> None:
        """Listen until stopped."""
        async with self._storage.subscriptions.listen(self._storage.keys.cancellations) as listener:
            while True:
                _, event = await listener.next()
                if event is RESYNC:
                    self._leases.renew_soon()
                    continue
                for run in self._running.find(event.decode(errors="replace")):
                    run.stop(End.CANCELLED)
