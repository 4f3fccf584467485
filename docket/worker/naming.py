"""Names of workers that were given none: the host and the process, and a number where that is taken."""

from __future__ import annotations

import itertools
import os
import socket
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

Holder = TypeVar("Holder")


class Names(Generic[Holder]):
    """The names and their holders here; a name is free again when its holder lets it go, or no longer exists.

    Two workers of one docket that shared a name would be one in its heartbeats, metrics and logs.
    """

    def __init__(self) -> None:
        self._holders: WeakValueDictionary[tuple[str, str], Holder] = WeakValueDictionary()

    def take(self, holder: Holder, docket: str) -> str:
        """Return a name that no other holder here has at this docket.

        Arguments:
            holder: the one that gets the name.
            docket: where the name is used.

        Example:
            >>> names.take(worker, "orders")
            'web-1#4711'
        """
        first = name = f"{socket.gethostname()}#{os.getpid()}"
        numbers = itertools.count(2)
        while self._holders.setdefault((docket, name), holder) is not holder:
            name = f"{first}-{next(numbers)}"
        return name

    def give_back(self, holder: Holder, docket: str, name: str) -> None:
        """Let a name go; nothing happens if another holder has it."""
        if self._holders.get((docket, name)) is holder:
            del self._holders[docket, name]
