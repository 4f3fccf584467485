"""The owner of a connection: sockets and tasks of asyncio belong to one event loop of one process."""

from __future__ import annotations

import asyncio
import os

from ..errors import OpenedElsewhere


class Owner:
    """The event loop and the process that this is made in.

    Arguments:
        url: what it has opened, for messages.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._pid = os.getpid()
        self._loop = _loop_here()

    def refuse_others(self) -> None:
        """Refuse to be asked from elsewhere; outside of all event loops nothing can go wrong.

        Raises:
            OpenedElsewhere: this is another event loop, or a fork.
        """
        if os.getpid() != self._pid:
            raise OpenedElsewhere(
                f"the connection to {self._url} was opened in process {self._pid}, and this is its fork "
                f"{os.getpid()}, which must not use the same sockets; enter a Docket after the fork: "
                "`async with Docket(...) as docket:`"
            )
        here = _loop_here()
        if here is not None and self._loop is not None and here is not self._loop:
            where = "one that is closed" if self._loop.is_closed() else "another one"
            raise OpenedElsewhere(
                f"the connection to {self._url} belongs to the event loop that it was opened in, {where}; "
                "enter a Docket in this one, too, `async with Docket(...) as docket:`, or hand the call over "
                "with asyncio.run_coroutine_threadsafe()"
            )


def _loop_here() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
