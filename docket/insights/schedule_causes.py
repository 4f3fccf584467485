"""Every reason for which a schedule has a run or none, with its sentence and what to do."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from .causes import Told


class ScheduleCause(enum.Enum):
    """Reasons why a schedule has a run or none."""

    DUE = "due"
    SKIPPED_NEXT = "skipped_next"
    OVERLAP_SKIPS = "overlap_skips"
    OVERLAP_WAITS = "overlap_waits"
    COUNTED_FROM_END = "counted_from_end"
    LATE = "late"
    NO_SUPERVISOR = "no_supervisor"
    NO_SUPERVISOR_AND_LATE = "no_supervisor_and_late"
    PAUSED_BY_FILE = "paused_by_file"
    PAUSED_BY_OPERATOR = "paused_by_operator"
    PAUSED_BY_FAILURES = "paused_by_failures"
    STRUCK = "struck"
    HAD_ALL_RUNS = "had_all_runs"
    OVER = "over"
    REMOVED = "removed"


_START: Final = (
    "start one with its file: `docket-supervisor`; `docket status --all` lists those that live"
)

SCHEDULE_TOLD: Final[Mapping[ScheduleCause, Told]] = {
    ScheduleCause.DUE: Told(
        "It is due in {until}, at {due}.", "`docket schedule trigger {name}` runs it now"
    ),
    ScheduleCause.SKIPPED_NEXT: Told(
        "Its next due time, in {until}, at {due}, passes without a run, because a skip was requested.",
        "`docket schedule trigger {name}` runs it now",
    ),
    ScheduleCause.OVERLAP_SKIPS: Told(
        "Its run {run} is not over, and its due times pass without a run until it is (`overlap`: {overlap}).",
        "`docket task explain {run_word}` says why it is not",
    ),
    ScheduleCause.OVERLAP_WAITS: Told(
        "Its run {run} is not over, and {waiting} for it (`overlap`: {overlap}).",
        "`docket task explain {run_word}` says why it is not",
    ),
    ScheduleCause.COUNTED_FROM_END: Told(
        "It is due again {period} after its run {run} has ended.",
        "`docket task explain {run_word}` says how that stands",
    ),
    ScheduleCause.LATE: Told(
        "It was due {late} ago, at {due}, and the supervisor {leader}, which leads, has not run it yet.",
        "`docket doctor` shows whether Redis is slow, `docket status` whether that supervisor is well",
    ),
    ScheduleCause.NO_SUPERVISOR: Told(
        "It is due in {until}, at {due}, but no supervisor of {owner} leads that would run it then.",
        _START,
    ),
    ScheduleCause.NO_SUPERVISOR_AND_LATE: Told(
        "It was due {late} ago, at {due}, but no supervisor of {owner} leads that would have run it.",
        _START,
    ),
    ScheduleCause.PAUSED_BY_FILE: Told(
        "It has no runs: its file has paused it.", "take `paused` out of its table in docket.toml"
    ),
    ScheduleCause.PAUSED_BY_OPERATOR: Told(
        "It has no runs: {pause}.", "`docket schedule resume {name}` has runs of it again"
    ),
    ScheduleCause.PAUSED_BY_FAILURES: Told(
        "It has no runs: {pause}.",
        "mend its task, then `docket schedule resume {name}`",
    ),
    ScheduleCause.STRUCK: Told(
        "Its runs are {struck}: {strike} is active.", "{restore} takes the strike back"
    ),
    ScheduleCause.HAD_ALL_RUNS: Told(
        "It is over: it has had all {limit} runs that its `limit` allows.",
        "raise `limit`; `docket schedule trigger {name}` runs it once more",
    ),
    ScheduleCause.OVER: Told(
        "It is over: it has no due time after {last}.",
        "give it another time in docket.toml; `docket schedule trigger {name}` runs it once more",
    ),
    ScheduleCause.REMOVED: Told(
        "No active file declares it; what has happened to it is remembered for another {forgotten}.",
        "declare it again; `docket config history` shows which revision did",
    ),
}
"""The sentence of each cause."""

OUTCOMES: Final[Mapping[str, str]] = {
    "fired": "had the run {key}",
    "waits": "has the run {key}, which waits for the one before it",
    "parked": "has the run {key}, which a strike has parked",
    "backfilled": "was made up for with the run {key}",
    "triggered": "is that of the run {key}, which was triggered by hand",
    "cancelled": "had the run {key}, which was cancelled before it began",
    "missed": "passed without a run, because no supervisor could run it, and a later one stands for it",
    "window": "passed without a run, because it was too late to make up for it (`catchup_window`)",
    "paused": "passed without a run, because it was paused",
    "asked": "passed without a run, because a skip was requested",
    "limit": "passed without a run, because it has had all its runs",
    "struck": "passed without a run, because a strike forbids its task",
    "overlap": "passed without a run, because the run before it was not over",
}
"""The outcome of a due time."""
