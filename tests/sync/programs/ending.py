"""Ends without closing anything; prints what its last functions have found."""

from __future__ import annotations

import asyncio
import atexit
import sys
import threading

last: list[str] = []


def too_late() -> None:
    """Runs behind Docket's own function: it was registered before that."""
    from docket.errors import Closed  # noqa: PLC0415

    try:
        docket.add(work)(2)
    except Closed as error:
        print(error)
    print([thread.name for thread in threading.enumerate()])
    print(endless.cancelled())


atexit.register(too_late)

# Their function at exit is to be registered behind that one.
from docket import SyncDocket  # noqa: E402
from docket.sync.process import process  # noqa: E402


def work(number: int) -> None: ...


def in_time() -> None:
    """Runs before the docket is closed."""
    print(docket.add(work)(1).state.value)


docket = SyncDocket(sys.argv[2], sys.argv[1], config=False)
docket.add(work)(0)
# A generator that is left in the middle.
following = docket.add(work, key="followed")(0).subscribe()
print(next(following)["type"])
atexit.register(in_time)


async def wait() -> None:
    """Wait for ever, as for a result that does not come."""
    begun.set()
    await asyncio.Event().wait()


begun = threading.Event()
assert process.thread is not None
endless = process.thread.begin(wait())
begun.wait()
