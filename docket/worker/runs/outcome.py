"""The outcome of a run, as a value, and what is written down about it.

Deciding (here, without I/O) and settling (one script) are kept apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeAlias

from ...errors import DocketError
from ...execution import Execution, NextRun
from ...foundation.error_text import line_of
from ...foundation.lifecycle import DeadReason, ParkedReason
from ...foundation.units import milliseconds, to_due
from ...serialization import Context, Serializer, place_of_result
from ...storage.claims import Claimed, Settlement
from ...storage.scripting.retrying import REMEMBERED


@dataclass(frozen=True, slots=True)
class Completed:
    """The task has returned this, and its annotation says what that is."""

    result: Any
    annotation: Any = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The task has failed for good."""

    error: BaseException
    reason: DeadReason = DeadReason.FAILED


@dataclass(frozen=True, slots=True)
class Retried:
    """The task has failed, and is tried again."""

    error: BaseException
    next: NextRun


@dataclass(frozen=True, slots=True)
class Perpetuated:
    """The task has ended, one way or the other, and has arranged its next run."""

    next: NextRun
    ended: Completed | Failed
    """Its end, which is written down if nothing follows."""
    successor: Execution
    """The next run."""


@dataclass(frozen=True, slots=True)
class Delayed:
    """A rate or a gate does not let the task start now; it comes again later, its attempt unspent."""

    reason: str
    pause: timedelta
    was_let_in: bool | None = None
    """True if gates had let it in before another one did not; None where no gate was asked."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """All slots of a limit are taken; the task is woken when one is free."""

    slot: str
    size: int
    definition: str = ""


@dataclass(frozen=True, slots=True)
class HandledElsewhere:
    """A handler has seen to what follows, and has not said what that is."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A rule kept the task from running; it is not tried again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Parked:
    """The task cannot run here and now; it waits until that changes."""

    reason: ParkedReason
    rule: str = ""
    """The identity of the strike that keeps it back, if one does."""
    detail: str = ""
    """Detail of the reason, beside its name."""

    @property
    def why(self) -> str:
        """The reason as it is stored."""
        return f"{self.reason.value} {self.detail}".rstrip()


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The run was cancelled on request."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A drain ended the run before its time; it is handed back with its attempt unspent."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """Another worker has taken the run over; nothing is written down."""


Outcome: TypeAlias = (
    Completed
    | Failed
    | Retried
    | Perpetuated
    | Delayed
    | Waiting
    | HandledElsewhere
    | Dropped
    | Parked
    | Cancelled
    | Interrupted
    | Superseded
)


_DELAYS = {None: "again", False: "delay", True: "undo"}
"""Treatment of what a delayed run has at gates: given back, kept, or undone as far as it was let in."""


@dataclass(frozen=True, slots=True)
class Bookkeeping:
    """The translation of outcomes into what is written down.

    Arguments:
        serializer: makes bytes of results.
        dump_call: makes bytes of the arguments of a call, given by task and key.
        result_ttl: how long finished executions and their results are kept; no results are if it is zero.
        dead_ttl: how long dead letters are kept.
        own_ttl: how long a task, given by its name, wants its records and results to be kept, if it has a
            wish of its own.
    """

    serializer: Serializer
    dump_call: Callable[[str, str, tuple[Any, ...], dict[str, Any]], bytes]
    result_ttl: timedelta
    dead_ttl: timedelta
    own_ttl: Callable[[str], timedelta | None]

    def settlement(self, run: Claimed, outcome: Outcome, now: int) -> Settlement | None:
        """Return the outcome in the words of the storage; None if there is nothing to write. Never fails.

        Arguments:
            run: the run that has ended.
            outcome: its outcome.
            now: the server's time in ms.
        """
        try:
            return self._written(run, outcome, now)
        except BaseException as error:
            # A result is serialized here, by code of its own that may raise anything.
            return self._failed(run, error, DeadReason.FAILED)

    def _written(self, run: Claimed, outcome: Outcome, now: int) -> Settlement | None:
        match outcome:
            case Completed(result, annotation):
                return self._completed(run, result, annotation)
            case Failed(error, reason):
                return self._failed(run, error, reason)
            case Retried(_, following):
                return self._again(run, "again", following, now)
            case Perpetuated(following):
                return self._again(run, "next", following, now)
            case Delayed(_, pause, was_let_in):
                due = now + milliseconds(pause)
                word = _DELAYS[was_let_in]
                return self._entry(run, word, due=due, attempt=run.attempt)
            case Waiting(slot, size, definition):
                return self._entry(run, "waiting", reason=slot, due=size, error=definition)
            case HandledElsewhere():
                # What was arranged elsewhere has given the key a new generation, and stands.
                return self._completed(run, None, None)
            case Dropped(reason):
                return self._entry(run, "dropped", reason=reason)
            case Parked(rule=rule, why=why):
                return self._entry(run, "parked", reason=why, error=rule, attempt=run.attempt)
            case Cancelled():
                return self._entry(run, "cancelled", reason="cancelled")
            case Interrupted():
                return self._entry(run, "back", attempt=run.attempt, due=run.due)
            case _:
                return self._nothing(outcome)

    def _nothing(self, outcome: Superseded) -> None:
        """Settle nothing of a key that a newer submission has taken; no other outcome ends here."""
        del outcome

    def _again(self, run: Claimed, word: str, following: NextRun, now: int) -> Settlement:
        when = ""
        if following.at is not None:
            due, when = to_due(following.at)
        else:
            due = now + milliseconds(following.after) if following.after else 0
        call = b""
        if following.args is not None:
            try:
                call = self.dump_call(run.task, run.key, following.args, following.kwargs or {})
            except DocketError as error:
                return self._failed(run, error, DeadReason.FAILED)
            if self.serializer.keeps(run.call, call):
                call = b""
        return self._entry(run, word, due=due, when=when, attempt=following.attempt, call=call)

    def _completed(self, run: Claimed, result: Any, annotation: Any) -> Settlement:
        if result is None or not self._result_ttl(run):
            if not self.serializer.signing_keys:
                return self._entry(run, "completed")
            # Signed, so that no result is told from one that was taken away.
            result = None
        try:
            stored = self.serializer.dump_result(result, annotation, context=_place_of(run))
            return self._entry(run, "completed", result=stored)
        except DocketError as error:
            # The work is done, and running it again would not make its result fit.
            return self._failed(run, error, DeadReason.FAILED)

    def _failed(self, run: Claimed, error: BaseException, reason: DeadReason) -> Settlement:
        return self._entry(
            run,
            "failed",
            error=line_of(error),
            result=self._dumped(run, error) if self._result_ttl(run) else b"",
            reason=reason.value,
            ttl=milliseconds(self.dead_ttl),
        )

    def _dumped(self, run: Claimed, error: BaseException) -> bytes:
        return self.serializer.dump_error(error, context=_place_of(run))

    def _entry(self, run: Claimed, word: str, *, ttl: int = 0, **fields: Any) -> Settlement:
        return Settlement(
            message=run.message,
            queue=run.queue,
            key=run.key,
            generation=run.generation,
            fence=run.fence,
            identity=run.identity,
            word=word,
            ttl=ttl or _remembered(self._result_ttl(run)),
            **fields,
        )

    def _result_ttl(self, run: Claimed) -> timedelta:
        own = self.own_ttl(run.task)
        return self.result_ttl if own is None else own


def _place_of(run: Claimed) -> Context:
    return place_of_result(run.task, run.key, run.generation, run.call)


@lru_cache(maxsize=256)
def _remembered(result_ttl: timedelta) -> int:
    """Return the ms for which a record stays: most tasks of a docket have one answer."""
    return milliseconds(max(result_ttl, REMEMBERED))
