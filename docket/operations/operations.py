"""The deeds that can be done to a docket."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from ..annotations import get_signature
from ..calls.binding import Shape, bind_to_any, shape_of
from ..calls.context import ExecutionContext
from ..calls.registry import TaskFunction
from ..errors import CallerError, Undecodable, WrongArguments
from ..foundation.plain import plain
from ..foundation.units import from_milliseconds, milliseconds
from ..foundation.uuid7 import new_key
from ..serialization.places import place_of_call
from ..storage.checks import Mismatch
from ..storage.dead import Again, Deed, Done
from ..storage.executions import Record
from ..storage.scripting.nonces import new_nonce
from .audit import Audit, Recording, sample
from .mismatches import Check
from .selection import Found, Match, Selection
from .slices import slices

SHOWN = 200
"""Characters of a value, in what is remembered of a change."""

LISTED = 1000
"""Mismatches that the result of a check has, at most."""


def new_deed() -> str:
    """Return an id for a deed that concerns many executions."""
    return new_key()


class Operations:
    """Acts on what stands in a docket; ``Docket.operations`` is one.

    Arguments:
        docket: where.
        silence: how long a worker may be silent before it counts as gone.
    """

    def __init__(self, docket: ExecutionContext, silence: timedelta) -> None:
        self._docket = docket
        self._silence = silence
        self.audit = Audit(docket.storage.audit)
        """Writes down each of these deeds: ``docket audit`` lists them."""

    async def retry(
        self,
        *keys: str,
        changes: Mapping[str, Any] | None = None,
        author: str = "",
        reason: str = "",
        deed: str = "",
        rate: float | None = None,
        chosen_by: Mapping[str, Any] | None = None,
    ) -> list[Done]:
        """Run dead letters once more, from their first attempt, at once.

        The key stays and is accepted anew; ``retries`` of the execution then shows what it was before, who
        retried it and what was changed.

        Arguments:
            keys: the dead letters.
            changes: changed arguments, by name.
            author: the person who asks for it.
            reason: the reason.
            deed: an id (``new_deed``) by which what has not begun can be taken back: ``Selection(deed=...)``.
            rate: how many a second, at most; None is as fast as it goes.
            chosen_by: what the keys were found by, for the audit.

        Returns the outcome for each key, in their order. One whose arguments cannot be
        changed is still a dead letter, and its ``detail`` says why.

        Raises:
            ServerUnavailable: the server did not answer in time; some may have been retried.

        Example:
            >>> await docket.operations.retry("order-7", changes={"customer": "robert"}, author="ann")
        """
        deed = deed or new_deed()
        wanted, done = list(dict.fromkeys(keys)), dict[str, Done]()
        about = {"keys": sample(wanted), "by": chosen_by, "changes": _shown(changes or {})}
        async with self.audit.recording(
            "retry", meant=len(wanted), author=author, reason=reason, deed=deed, about=about
        ) as recording:
            async for some in slices(wanted, rate):
                outcomes = await self._retry(some, changes or {}, author, reason, deed)
                recording.tell(outcomes, Deed.RETRIED)
                done |= {one.key: one for one in outcomes}
        return [done[key] for key in keys]

    async def _retry(
        self, keys: Sequence[str], changes: Mapping[str, Any], author: str, reason: str, deed: str
    ) -> list[Done]:
        found = await self._wanted(keys, changes)
        again = [one for one in found if isinstance(one, Again)]
        left = [one for one in found if isinstance(one, Done)]
        return left + await self._docket.storage.dead.retry(again, author, reason, deed)

    async def discard(
        self,
        *keys: str,
        author: str = "",
        reason: str = "",
        deed: str = "",
        chosen_by: Mapping[str, Any] | None = None,
    ) -> list[Done]:
        """Delete dead letters for good, with their errors.

        Arguments:
            keys: the dead letters.
            author: the person who asks for it.
            reason: the reason.
            deed: an id of what this is a part of.
            chosen_by: what the keys were found by, for the audit.

        Returns the outcome for each key, in their order.

        Raises:
            ServerUnavailable: the server did not answer in time; some may be gone.
        """
        done: list[Done] = []
        about = {"keys": sample(keys), "by": chosen_by}
        async with self.audit.recording(
            "discard", meant=len(keys), author=author, reason=reason, deed=deed, about=about
        ) as recording:
            async for some in slices(keys):
                outcomes = await self._docket.storage.dead.discard(some)
                recording.tell(outcomes, Deed.DISCARDED)
                done += outcomes
        return done

    async def find(self, selection: Selection) -> Found:
        """Find the executions that a selection means, among all that wait or run.

        Arguments:
            selection: the choice.

        Raises:
            ServerUnavailable: the server did not answer in time.

        Example:
            >>> found = await docket.operations.find(Selection(task="charge", queue="bulk"))
            >>> await docket.operations.cancel(*found.matches, author="ann", reason="INC-7")
        """
        executions = self._docket.storage.executions
        now = from_milliseconds(await executions.now())
        matches: list[Match] = []
        unreadable: list[str] = []
        shapes: dict[str, list[Shape]] = {}
        async for record in executions.everything(parked=True):
            if not selection.includes(record, now):
                continue
            if selection.where:
                if record.task not in shapes:
                    shapes[record.task] = await self._shapes(record.task)
                arguments = self._arguments(record, shapes[record.task])
                if arguments is None:
                    unreadable.append(record.key)
                if arguments is None or not selection.holds(arguments):
                    continue
            matches.append(Match(record.key, record.task, record.state, record.identity))
        return Found(tuple(matches), tuple(unreadable))

    async def cancel(
        self,
        *executions: str | Match,
        author: str = "",
        reason: str = "",
        deed: str = "",
        verb: str = "cancel",
        chosen_by: Mapping[str, Any] | None = None,
    ) -> list[Done]:
        """Cancel executions for good; a running one is notified, and ends at its next checkpoint.

        Arguments:
            executions: keys, or what ``find`` has found: then a key that is used again meanwhile is left
                alone.
            author: the person who asks for it; ``docket task explain`` says so.
            reason: the reason.
            deed: an id of what this is a part of.
            verb: the word of the deed in the audit, where it is a part of another one.
            chosen_by: what they were found by, for the audit: ``Selection.about``.

        Returns the outcome for each, in their order.

        Raises:
            ServerUnavailable: the server did not answer in time; some may have been cancelled.
        """
        deed, done = deed or new_deed(), list[Done]()
        note, meant = _note(author, reason, deed), [*map(_meant, executions)]
        about = {"keys": sample(key for key, _ in meant), "by": chosen_by}
        async with self.audit.recording(
            verb, meant=len(meant), author=author, reason=reason, deed=deed, about=about
        ) as recording:
            async for some in slices(meant):
                storage, ttl = self._docket.storage, self._docket.record_ttl
                outcomes = await storage.deeds.cancel(some, note, ttl)
                recording.tell(outcomes, Deed.CANCELLED, Deed.REQUESTED)
                done += outcomes
        return done

    async def release(
        self,
        *executions: str | Match,
        author: str = "",
        reason: str = "",
        deed: str = "",
        dry_run: bool = False,
        chosen_by: Mapping[str, Any] | None = None,
    ) -> list[Done]:
        """Queue parked executions again, each for its own due time.

        A worker that cannot run one parks it again. What an active strike keeps is not released, as it
        would be parked again, or dropped: its deed is ``STRUCK``, and its detail the strike.

        Arguments:
            executions: keys, or what ``find`` has found: then a key that is used again meanwhile is left
                alone.
            author: the person who asks for it; ``docket task explain`` says so.
            reason: the reason.
            deed: an id of what this is a part of.
            dry_run: only return what would become of them.
            chosen_by: what they were found by, for the audit.

        Returns the outcome for each, in their order.

        Raises:
            ServerUnavailable: the server did not answer in time; some may have been released.

        Example:
            >>> await docket.operations.release("order-7", author="ann", reason="INC-7")
        """
        deed, done = deed or new_deed(), list[Done]()
        note, meant = _note(author, reason, deed), [*map(_meant, executions)]
        about = {"keys": sample(key for key, _ in meant), "by": chosen_by}
        async with self.audit.recording(
            "parked release",
            # A look alone changes nothing, and is no deed.
            meant=0 if dry_run else len(meant),
            author=author,
            reason=reason,
            deed=deed,
            about=about,
        ) as recording:
            async for some in slices(meant):
                outcomes = await self._docket.storage.deeds.release(some, note, dry_run=dry_run)
                recording.tell(outcomes, Deed.RELEASED)
                done += outcomes
        return done

    async def run_now(
        self, *keys: str, author: str = "", reason: str = "", deed: str = ""
    ) -> list[Done]:
        """Run what is scheduled for later at once; a pause between two attempts ends.

        Limits and gates hold as ever. What waits for a slot, or for its turn, goes on waiting.

        Arguments:
            keys: the executions.
            author: the person who asks for it.
            reason: the reason.
            deed: an id of what this is a part of.

        Returns the outcome for each key, in their order.

        Raises:
            ServerUnavailable: the server did not answer in time; some may run by now.
        """
        done: list[Done] = []
        async with self.audit.recording(
            "run-now",
            meant=len(keys),
            author=author,
            reason=reason,
            deed=deed,
            about={"keys": sample(keys)},
        ) as recording:
            async for some in slices(keys):
                outcomes = await self._docket.storage.deeds.run_now(some)
                recording.tell(outcomes, Deed.DUE)
                done += outcomes
        return done

    async def pause_queues(
        self,
        *queues: str,
        lasting: timedelta | None = None,
        author: str = "",
        reason: str = "",
    ) -> None:
        """Start nothing of these queues from now on; what runs goes on, and what is added waits.

        Arguments:
            queues: their names; ``EVERY_QUEUE`` is all of them.
            lasting: how long that lasts; None is until they are resumed.
            author: who wants it.
            reason: why.

        Raises:
            ServerUnavailable: the server did not answer in time.

        Example:
            >>> await docket.operations.pause_queues("bulk", lasting=timedelta(minutes=30), author="ann")
        """
        storage = self._docket.storage
        since = await storage.executions.now()
        until = None if lasting is None else since + milliseconds(lasting)
        pause = {"by": author, "reason": reason, "since": since, "until": until}
        about = {"queues": queues, "lasting": lasting}
        async with self.audit.recording(
            "queue pause", meant=len(queues), author=author, reason=reason, about=about
        ) as recording:
            await storage.queues.pause(queues, pause)
            recording.succeed(len(queues))

    async def resume_queues(self, *queues: str, author: str = "", reason: str = "") -> list[str]:
        """Start work of these queues again.

        Arguments:
            queues: their names; ``EVERY_QUEUE`` takes back what was said of all, not of single ones.
            author: the person who asks for it.
            reason: the reason.

        Returns those that were paused.

        Raises:
            ServerUnavailable: the server did not answer in time.
        """
        async with self.audit.recording(
            "queue resume",
            meant=len(queues),
            author=author,
            reason=reason,
            about={"queues": queues},
        ) as recording:
            resumed = await self._docket.storage.queues.resume(queues)
            recording.succeed(len(resumed))
            recording.refuse("not_paused", len(queues) - len(resumed))
        return resumed

    async def check(self, *, repair: bool = False, author: str = "", reason: str = "") -> Check:
        """Compare the records with whatever refers to them, beside what works.

        No worker has to stop. Everything is looked at in short scripts, so a large docket takes a while
        and keeps nobody waiting.

        Arguments:
            repair: repair what does not agree; no work is lost by that.
            author: the person who asks for a repair.
            reason: the reason.

        Raises:
            ServerUnavailable: the server did not answer in time; some may be repaired.

        Example:
            >>> (await docket.operations.check()).is_well
            True
        """
        async with self.audit.recording("fsck", meant=0, author=author, reason=reason) as recording:
            records, counts, listed = 0, Counter[str](), list[Mismatch]()
            async for looked in self._docket.storage.checks.walk(repair=repair):
                records += looked.records
                listed += looked.mismatches[: LISTED - len(listed)]
                for one in looked.mismatches:
                    counts[one.kind] += 1
                    # A look alone changes nothing, and is no deed.
                    recording.meant += repair
                    _tell_repair(recording, one)
        return Check(records, counts, recording.done, listed)

    async def _wanted(self, keys: Sequence[str], changes: Mapping[str, Any]) -> list[Again | Done]:
        """Return what to retry, with its changes, and the outcome of what cannot be."""
        if not changes:
            return [Again(key) for key in keys]
        wanted: list[Again | Done] = []
        shapes: dict[str, list[Shape]] = {}
        for key, record in zip(
            keys, await self._docket.storage.executions.read(*keys), strict=True
        ):
            if record is None:
                wanted.append(Done(key, Deed.UNKNOWN))
                continue
            if record.task not in shapes:
                shapes[record.task] = await self._shapes(record.task)
            try:
                wanted.append(self._with(record, shapes[record.task], changes))
            except (CallerError, Undecodable) as error:
                wanted.append(Done(key, Deed.FAILED, plain(str(error))))
        return wanted

    async def _shapes(self, task: str) -> list[Shape]:
        """Return the shapes of a task: of its code if that is here, else those that workers announce."""
        function = self._docket.registry.tasks.get(task)
        if function is not None:
            return [shape_of(function)]
        workers = self._docket.storage.workers
        return [*map(Shape.read, await workers.shapes(task, self._silence, fallbacks=False))]

    def _arguments(self, record: Record, shapes: list[Shape]) -> dict[str, Any] | None:
        """Return the arguments of an execution by name; None if that is impossible here."""
        function = self._docket.registry.tasks.get(record.task)
        signature = None if function is None else get_signature(function)
        place = place_of_call(record.task, record.key)
        try:
            args, kwargs = self._docket.serializer.load_call(record.call, signature, context=place)
        except Undecodable:
            return None
        names = shapes[0].positional if shapes else ()
        if len(args) > len(names):
            return None
        return {**dict(zip(names, args, strict=False)), **kwargs}

    def _with(self, record: Record, shapes: list[Shape], changes: Mapping[str, Any]) -> Again:
        serializer = self._docket.serializer
        place = place_of_call(record.task, record.key)
        function: TaskFunction | None = self._docket.registry.tasks.get(record.task)
        signature = None if function is None else get_signature(function)
        args, kwargs = serializer.load_call(record.call, signature, context=place)
        written = serializer.is_written(record.call) and signature is None
        if signature is None and not _is_kept(args, kwargs):
            raise WrongArguments(
                f"the arguments of {record.key} have types that only the code of {record.task} knows; "
                "register the task here, and change them from Python"
            )
        if not shapes:
            raise WrongArguments(
                f"no worker says what {record.task} can be called with: start a worker that knows it, or "
                "register it here"
            )
        placed = shapes[0].positional[: len(args)]
        args = (
            *(changes.get(*pair) for pair in zip(placed, args, strict=False)),
            *args[len(placed) :],
        )
        kwargs |= {name: value for name, value in changes.items() if name not in placed}
        bind_to_any(record.task, shapes, args, kwargs)
        call = serializer.dump_call(
            args, kwargs, signature, context=place, nonce=new_nonce(), written=written
        )
        return Again(record.key, call, _told(changes))


def _note(author: str, reason: str, deed: str) -> str:
    return json.dumps({"by": author, "reason": reason, "deed": deed})


def _meant(one: str | Match) -> tuple[str, str]:
    return (one.key, one.identity) if isinstance(one, Match) else (one, "")


def _tell_repair(recording: Recording, mismatch: Mismatch) -> None:
    if mismatch.is_repaired:
        recording.succeed()
    else:
        recording.refuse(mismatch.kind)


def _is_kept(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """True if what was read without the code of the task is what was written."""
    return all(type(value) in _KEPT for value in (*args, *kwargs.values()))


_KEPT = (str, int, float, bool, bytes, type(None), list, dict)


def _told(changes: Mapping[str, Any]) -> str:
    return json.dumps(_shown(changes))


def _shown(changes: Mapping[str, Any]) -> dict[str, str]:
    return {name: plain(repr(value))[:SHOWN] for name, value in changes.items()}
