"""The listener for questions to a worker."""

from __future__ import annotations

from ...foundation.service import Service
from ...storage.storage import Storage
from .leases import Leases


class Answering(Service):
    """The listener that has questions answered; it wakes for nothing else.

    Arguments:
        storage: where it is asked.
        worker: the name of the worker.
        leases: has the thread that answers.
    """

    def __init__(self, storage: Storage, worker: str, leases: Leases) -> None:
        self._storage = storage
        self._channel = storage.keys.requests(worker)
        self._leases = leases

    async def run(self) -> None:
        """Listen until stopped."""
        async with self._storage.subscriptions.listen(self._channel) as listener:
            while True:
                await listener.next()
                self._leases.answer_soon()
