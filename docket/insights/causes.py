"""Every reason for which an execution stands where it does, with its sentence and what to do."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple

from ..foundation.lifecycle import DeadReason, ParkedReason
from ..strikelist import Action


class Told(NamedTuple):
    """Sentence and advice of a cause; names in braces stand for values from Redis."""

    sentence: str
    advice: str = ""


class Cause(enum.Enum):
    """Reasons for the state of an execution."""

    DUE_LATER = "due_later"
    RETRIED = "retried"
    SLOT = "slot"
    TURN = "turn"
    RATE = "rate"
    DEBOUNCE = "debounce"
    OVERDUE = "overdue"
    BEHIND = "behind"
    NEXT = "next"
    SUSPECT = "suspect"
    QUEUE_PAUSED = "queue_paused"
    QUEUE_PAUSED_BY_FILE = "queue_paused_by_file"
    NO_WORKER = "no_worker"
    NO_WORKER_FOR_QUEUE = "no_worker_for_queue"
    NO_WORKER_FOR_TASK = "no_worker_for_task"
    STRUCK_DROP = "struck_drop"
    STRUCK_PARK = "struck_park"
    STRUCK_DELAY = "struck_delay"
    LOST = "lost"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SILENT = "silent"
    PARKED_UNKNOWN_TASK = "parked_unknown_task"
    PARKED_STRUCK = "parked_struck"
    PARKED_FREED = "parked_freed"
    PARKED_ARGS_SCHEMA = "parked_args_schema"
    PARKED_SIGNATURE = "parked_signature"
    PARKED_CODEC = "parked_codec"
    PARKED = "parked"
    COMPLETED = "completed"
    FAILED = "failed"
    CRASHED = "crashed"
    UNDECODABLE = "undecodable"
    SIGNATURE = "signature"
    CANCELLED = "cancelled"
    CANCELLED_STRUCK = "cancelled_struck"
    EXPIRED = "expired"
    DROPPED = "dropped"


_CANCEL: Final = "`docket task cancel {key}` gives it up"
_MEND: Final = (
    "`docket dead show {key}` shows the error; mend the cause, then `docket dead retry {key}`"
)

TOLD: Final[Mapping[Cause, Told]] = {
    Cause.DUE_LATER: Told("It is due in {until}, at {due}.", _CANCEL),
    Cause.RETRIED: Told(
        "Attempt {failed} has failed, and attempt {attempt} is due in {until}, at {due}.", _CANCEL
    ),
    Cause.SLOT: Told(
        "It waits for a slot of the concurrency limit {limit}: {held} of {slots} are held, and {before} "
        "before it.",
        "raise the limit, or see what holds the slots: `docket task explain {holder}`",
    ),
    Cause.TURN: Told(
        "It waits for the run of schedule {schedule} before it to end: {holder} has the turn, and {before} "
        "before it.",
        "`docket task explain {holder}` says why that is not over",
    ),
    Cause.RATE: Told(
        "It waits for its moment of the rate limit {gate}: in {until}, at {due}.",
        "raise the limit, or wait; " + _CANCEL,
    ),
    Cause.DEBOUNCE: Told(
        "It stands for all calls of the debounce {gate}, and runs when they have settled: in {until} at the "
        "earliest, at {due}.",
        _CANCEL,
    ),
    Cause.OVERDUE: Told(
        "It has been due for {since}, and no worker has had a slot free to take it up.",
        "raise `concurrency` or `processes` of its pool; `docket workers ls` lists who works",
    ),
    Cause.BEHIND: Told(
        "It has been due for {since}: {ahead} of queue {queue} will be taken before it.",
        "raise `concurrency` or `processes` of its pool; `docket queue ls` shows how much waits",
    ),
    Cause.NEXT: Told(
        "It has been due for {since} and is the next of queue {queue}: it waits for a free slot of a worker.",
        "raise `concurrency` or `processes` of its pool; `docket task ls --state running` lists what runs",
    ),
    Cause.SUSPECT: Told(
        "It is suspected of having killed its process ({crashes} so far): it runs next among few others, "
        "and {before} before it.",
        "`docket strike {task} --park` keeps such calls back until the task is mended",
    ),
    Cause.QUEUE_PAUSED: Told(
        "Its queue {queue} is paused {queue_pause}.",
        "`docket queue resume {paused}` starts its work again",
    ),
    Cause.QUEUE_PAUSED_BY_FILE: Told(
        "Its queue {queue} is paused {file_pause}.",
        "take `paused` out of the table of queue {paused} in docket.toml",
    ),
    Cause.NO_WORKER: Told(
        "No worker lives that could run it.",
        "start one: `docket-supervisor`, or `docket worker --tasks MODULE:ATTRIBUTE`",
    ),
    Cause.NO_WORKER_FOR_QUEUE: Told(
        "No living worker serves its queue {queue}.",
        "name the queue in `queues` of a pool of docket.toml; `docket queue ls` shows how much waits",
    ),
    Cause.NO_WORKER_FOR_TASK: Told(
        "No living worker knows its task {task}: the next one that takes it parks it.",
        "start a worker with its code; `docket workers ls` lists what the others know",
    ),
    Cause.STRUCK_DROP: Told(
        "It will be cancelled instead of run: {strike} is active.",
        "{restore} takes the strike back",
    ),
    Cause.STRUCK_PARK: Told(
        "It will be parked instead of run: {strike} is active.",
        "{restore} takes the strike back",
    ),
    Cause.STRUCK_DELAY: Told(
        "It is put off as long as {strike} is active: it is due next in {until}, at {due}.",
        "{restore} takes the strike back",
    ),
    Cause.LOST: Told(
        "Its record says that it is {state}, but it is not where that is looked for: nothing will run it.",
        "`docket task cancel {key}`, then add it again",
    ),
    Cause.RUNNING: Told(
        "It has been running on worker {worker} for {since}.", "`docket task cancel {key}` ends it"
    ),
    Cause.CANCELLING: Told(
        "It is to be cancelled: worker {worker}, where it has been running for {since}, ends it at its next "
        "checkpoint.",
        "a task that blocks its thread ends with its worker; `docket workers ls` lists the workers",
    ),
    Cause.SILENT: Told(
        "Worker {worker} has it and is silent: the next worker with a free slot takes it over.",
        "see that workers run: `docket workers ls`",
    ),
    Cause.PARKED_UNKNOWN_TASK: Told(
        "It is parked: no worker that took it knows its task {task}.",
        "start a worker with its code, which takes it up by itself",
    ),
    Cause.PARKED_STRUCK: Told(
        "It is parked by {strike}.", "{restore} takes the strike back and releases it"
    ),
    Cause.PARKED_FREED: Told(
        "It is parked, but the strike that has parked it is over: the next worker that looks for such work "
        "releases it.",
        "see that workers run, which look every 10 s: `docket workers ls`",
    ),
    Cause.PARKED_ARGS_SCHEMA: Told(
        "It is parked: its arguments have shape {detail}, which the worker that took it cannot read.",
        "start a worker of the newer release, which takes it up by itself",
    ),
    Cause.PARKED_SIGNATURE: Told(
        "It is parked: the task {task} of the worker that took it, {detail}, cannot be called with its "
        "arguments, or lacks their types.",
        "start a worker of the release that added it, which takes it up by itself",
    ),
    Cause.PARKED_CODEC: Told(
        "It is parked: its arguments are pickled, and no worker that took it may read that.",
        "allow it in `security.codecs`, or cancel it: `docket task cancel {key}`",
    ),
    Cause.PARKED: Told(
        "It is parked for a reason that this release does not know: {reason}.",
        "`docket parked release --task {task} --yes` queues it again",
    ),
    Cause.COMPLETED: Told("It completed {ago} ago, at {ended}."),
    Cause.FAILED: Told("It failed for good {ago} ago, at {ended}: {error}.", _MEND),
    Cause.CRASHED: Told(
        "It was given up {ago} ago, at {ended}, because its process died under it: {error}.", _MEND
    ),
    Cause.UNDECODABLE: Told(
        "It was given up {ago} ago, at {ended}, because its arguments cannot be read: {error}.",
        _MEND,
    ),
    Cause.SIGNATURE: Told(
        "It was given up {ago} ago, at {ended}, because its arguments do not fit the task: {error}.",
        _MEND,
    ),
    Cause.CANCELLED: Told("It was cancelled {ago} ago, at {ended}{by}."),
    Cause.CANCELLED_STRUCK: Told(
        "A strike cancelled it {ago} ago, at {ended}.", "`docket strikes ls` lists the strikes"
    ),
    Cause.EXPIRED: Told(
        "It expired {ago} ago, at {ended}: it had to begin by {expires}, and has not run.",
        "add it again, or with more time; `docket queue ls` shows how long work waits",
    ),
    Cause.DROPPED: Told(
        "It was dropped {ago} ago, at {ended}, and has not run: {reason} did not let it in.",
        "add it again later, or widen the limit",
    ),
}
"""The sentence of each cause."""

PARKED: Final[Mapping[str, Cause]] = {
    ParkedReason.UNKNOWN_TASK.value: Cause.PARKED_UNKNOWN_TASK,
    ParkedReason.STRUCK.value: Cause.PARKED_STRUCK,
    ParkedReason.ARGS_SCHEMA.value: Cause.PARKED_ARGS_SCHEMA,
    ParkedReason.SIGNATURE.value: Cause.PARKED_SIGNATURE,
    ParkedReason.CODEC.value: Cause.PARKED_CODEC,
}
DEAD: Final[Mapping[str, Cause]] = {
    DeadReason.FAILED.value: Cause.FAILED,
    DeadReason.CRASHED.value: Cause.CRASHED,
    DeadReason.UNDECODABLE.value: Cause.UNDECODABLE,
    DeadReason.SIGNATURE.value: Cause.SIGNATURE,
}
STRUCK: Final[Mapping[Action, Cause]] = {
    "drop": Cause.STRUCK_DROP,
    "park": Cause.STRUCK_PARK,
    "delay": Cause.STRUCK_DELAY,
}
