"""Calls that the server may or may not have: made again, they are the same calls."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Literal

from ..serialization import unsigned
from ..storage.executions import NewExecution
from ..storage.scripting.nonces import FRESH

KEPT = timedelta(minutes=15)
"""Time that an unanswered call is remembered."""

LATE = timedelta(seconds=60)
"""Time after which a call that is sent again is not taken for a new one if nothing is known of it: it may
have been accepted, have run and be forgotten.
"""

ON_ITS_WAY = timedelta(seconds=5)
"""Maximum time that a call takes to the server which is sent again just before it is late."""

MOST = 1000
"""Maximum number of such calls that are remembered; the oldest ones are forgotten."""


class UnansweredCalls:
    """The calls of one docket, in this process, that were sent and not answered.

    A call is the same as another one with the same key, task and arguments; a replacement has the same due
    time, too. Calls whose key was made for them are never made again, and not remembered.

    Arguments:
        record_ttl: how long the record of a finished execution is kept.
        timer: returns seconds.
    """

    def __init__(self, record_ttl: timedelta, timer: Callable[[], float] = time.monotonic) -> None:
        self._late = (min(record_ttl, LATE) - ON_ITS_WAY).total_seconds()
        self._timer = timer
        self._known: OrderedDict[Hashable, tuple[str, float]] = OrderedDict()
        """Nonce and time of the first try of each call, the longest unanswered first."""

    def sending(self, mode: Literal["add", "replace"], calls: Sequence[NewExecution]) -> Sending:
        """Give calls the nonces that they were sent with before; remember them if the block ends by an error.

        Arguments:
            mode: what becomes of a live execution of the same key.
            calls: what is about to be sent, each with a nonce of its own.
        """
        now = self._timer()
        self._forget(now)
        if not self._known:
            # As a rule every call was answered: then nothing is looked for, and calls need no names.
            return Sending(self, mode, calls, now)
        names = list(_named(mode, calls))
        sent = [self._known_as(name, call) for name, call in zip(names, calls, strict=True)]
        return Sending(self, mode, sent, now, names)

    def remember(self, name: Hashable, call: NewExecution, now: float) -> None:
        """Remember a call that was not answered, unless its key was made for it."""
        if call.nonce != FRESH:
            self._known.setdefault(name, (call.nonce, now))
        while len(self._known) > MOST:
            self._known.popitem(last=False)

    def answered(self, name: Hashable) -> None:
        """Remember a call no longer."""
        self._known.pop(name, None)

    def _known_as(self, name: Hashable, call: NewExecution) -> NewExecution:
        """Return a call as it was sent before, if it was."""
        if name not in self._known:
            return call
        nonce, since = self._known[name]
        return call._replace(nonce=nonce, late_at=since + self._late)

    def _forget(self, now: float) -> None:
        while self._known:
            name, (_, since) = next(iter(self._known.items()))
            if now - since < KEPT.total_seconds():
                return
            del self._known[name]


class Sending:
    """Calls on their way, for the length of a block.

    Arguments:
        home: remembers them if the block ends by an error.
        mode, calls: the calls that are sent.
        now: the moment.
        names: the names that distinguish the calls, as far as they are known already.
    """

    __slots__ = ("_calls", "_home", "_mode", "_names", "_now")

    def __init__(
        self,
        home: UnansweredCalls,
        mode: Literal["add", "replace"],
        calls: Sequence[NewExecution],
        now: float,
        names: Sequence[Hashable] = (),
    ) -> None:
        self._home = home
        self._mode = mode
        self._calls = calls
        self._now = now
        self._names = names

    def __enter__(self) -> Sequence[NewExecution]:
        return self._calls

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            for name in self._names:
                self._home.answered(name)
            return
        names = self._names or _named(self._mode, self._calls)
        for name, call in zip(names, self._calls, strict=True):
            self._home.remember(name, call, self._now)


def _named(mode: str, calls: Sequence[NewExecution]) -> Iterator[Hashable]:
    """Yield the name that distinguishes each call; of several equal ones, each has its own."""
    times: Counter[Hashable] = Counter()
    for call in calls:
        digest = hashlib.blake2b(unsigned(call.call), digest_size=16).digest()
        due = (call.due, call.when) if mode == "replace" else None
        name = (mode, call.key, call.task, digest, due)
        times[name] += 1
        yield name, times[name]
