"""The kinds of mismatches: a sentence for each, and what a repair does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from ..storage.checks import Mismatch


class MismatchKind(NamedTuple):
    """A sentence that says what is wrong, and what a repair does."""

    sentence: str
    repair: str


BY_HAND: Final = "nothing; look at the key, and delete or rename it"
"""Repair of what nobody but its author understands."""

KINDS: Final[Mapping[str, MismatchKind]] = {
    "record-unreadable": MismatchKind("The record of the execution is none.", BY_HAND),
    "record-expires": MismatchKind(
        "The execution is not over, and its record has a time to live.", "takes that away"
    ),
    "record-stays": MismatchKind(
        "The execution is over, and its record has no time to live.", "keeps it for 7 days more"
    ),
    "future-missing": MismatchKind(
        "The execution is scheduled, and is not in the index of the future.", "puts it there"
    ),
    "future-wrong": MismatchKind(
        "The index of the future has another due time than the record.",
        "takes that of the record",
    ),
    "future-stale": MismatchKind(
        "The index of the future names an execution that is not scheduled.", "removes the entry"
    ),
    "expiring-missing": MismatchKind(
        "The execution has to begin by a moment, and the index of those moments does not have it.",
        "adds it to the index",
    ),
    "expiring-stale": MismatchKind(
        "The index of moments names an execution that has no such moment, or is over.",
        "removes the entry",
    ),
    "message-missing": MismatchKind(
        "The execution is queued, and is in no stream.", "puts it on its stream"
    ),
    "message-stale": MismatchKind(
        "A message in the stream stands for no execution that is due.", "removes it"
    ),
    "pending-stale": MismatchKind(
        "A worker is said to hold a message that no longer exists.", "acknowledges it"
    ),
    "queue-unlisted": MismatchKind(
        "The queue has a stream, and is not among the queues.", "adds it to them"
    ),
    "run-lost": MismatchKind(
        "The execution is running, but its worker is gone and no stream has it.",
        "queues it again, as after a crash",
    ),
    "suspect-missing": MismatchKind(
        "The execution is suspected of a crash, and is not among the suspects.",
        "puts it among them",
    ),
    "suspect-stale": MismatchKind(
        "The suspects name an execution that is none.",
        "removes the entry, and queues the execution if it is queued nowhere",
    ),
    "parked-missing": MismatchKind(
        "The execution is parked, and an index of parked work does not have it.",
        "adds it to the indexes",
    ),
    "parked-stale": MismatchKind(
        "The index of parked work names an execution that is not parked.", "removes the entry"
    ),
    "grouped-stale": MismatchKind(
        "A group of parked work names an execution that is not parked, or for another reason.",
        "removes the entry",
    ),
    "group-empty": MismatchKind("A group of parked work has nothing in it.", "removes the group"),
    "dead-missing": MismatchKind(
        "The execution has failed, and is not among the dead letters.", "adds it to them"
    ),
    "dead-stale": MismatchKind(
        "The dead letters name an execution that has not failed.", "removes the entry"
    ),
    "stored-missing": MismatchKind(
        "A result is kept, and is in no index of results.", "counts it, and adds it to the index"
    ),
    "stored-stale": MismatchKind(
        "An index of results names one that is not there.",
        "removes the entry, and counts it no more",
    ),
    "stored-wrong": MismatchKind(
        "The bytes of an index of results are not the sum of its entries.", "adds them up again"
    ),
    "waiter-missing": MismatchKind(
        "The execution waits for a slot or a turn, and is not among those that do.",
        "queues it again: it asks anew, or waits in its place",
    ),
    "waiter-stale": MismatchKind(
        "An execution is among those that wait for a slot or a turn, and does not wait for it.",
        "removes the entry",
    ),
    "waiter-unsized": MismatchKind(
        "The execution waits for a slot of a limit whose size is unknown.",
        "queues it again: it asks anew",
    ),
    "waiting-missing": MismatchKind(
        "The execution waits, and is not in the index of all that do.", "adds it"
    ),
    "waiting-stale": MismatchKind(
        "The index of all that wait names an execution that does not.", "removes the entry"
    ),
    "limit-stalled": MismatchKind(
        "Executions wait for a slot of a limit that has free ones.", "hands them out"
    ),
    "size-stale": MismatchKind("The size of a limit is kept that nothing waits for.", "removes it"),
    "turn-stalled": MismatchKind(
        "Runs of a schedule wait for their turn, and none has it.", "gives it to the first"
    ),
    "slot-stale": MismatchKind(
        "A slot of a limit is held by no execution.", "gives it back to those that wait"
    ),
    "slot-unlisted": MismatchKind(
        "An execution holds a slot that its list of slots does not have.", "adds it to the list"
    ),
    "slot-missing": MismatchKind(
        "An execution holds a slot that the limit does not count.", "counts it"
    ),
    "holding-stale": MismatchKind(
        "A list of slots is kept for no execution.", "removes it and gives the slots back"
    ),
    "orphan-stale": MismatchKind(
        "A replaced run holds a slot, and its worker is gone.", "gives the slot back"
    ),
    "orphan-missing": MismatchKind(
        "A replaced run holds a slot or a turn, and its worker's list does not have it.",
        "adds it to the list",
    ),
    "orphan-unlisted": MismatchKind(
        "The list of a worker names a replaced run that holds nothing.", "removes the entry"
    ),
    "due-time-stale": MismatchKind(
        "The pending runs of a schedule name an execution that is over, or not of it.",
        "removes the entry",
    ),
    "key-unreadable": MismatchKind("The key holds something else than its name says.", BY_HAND),
}
"""Every kind, by its name."""


class Check(NamedTuple):
    """The result of a check.

    Arguments:
        records: the number of records that were compared.
        counts: the number of mismatches of each kind.
        repaired: the number of them that were repaired.
        mismatches: the first of them.
    """

    records: int
    counts: Mapping[str, int]
    repaired: int
    mismatches: list[Mismatch]

    @property
    def is_well(self) -> bool:
        """True if nothing was found, or all of it was repaired."""
        return sum(self.counts.values()) == self.repaired
