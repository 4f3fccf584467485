"""The limits after which a worker process is replaced by a fresh one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recycling:
    """The limits of one process; the first one reached counts, None is no limit.

    Arguments:
        after_tasks: how many runs.
        after: how many seconds.
        max_rss: how many bytes of memory.
        jitter: the share by which the first two are less for some processes than for others, so that those
            that were born together do not go together.
    """

    after_tasks: int | None = None
    after: float | None = None
    max_rss: int | None = None
    jitter: float = 0.1

    def reason(self, lot: float, *, runs: int, age: float, rss: int) -> str:
        """Return why a process is to be replaced, in words; empty if it is not.

        Arguments:
            lot: from 0 to 1, fixed for a process: how much of the jitter is its own.
            runs: the number of its runs.
            age: its age in seconds.
            rss: the memory that it holds, in bytes.
        """
        share = 1 - self.jitter * lot
        if self.after_tasks is not None and runs >= max(1, round(self.after_tasks * share)):
            return f"it has run {runs} executions"
        if self.after is not None and age >= self.after * share:
            return f"it is {age:.0f} s old"
        if self.max_rss is not None and rss > self.max_rss:
            return f"it holds {rss / (1 << 20):.0f} MiB"
        return ""


NEVER = Recycling()
"""Processes that are never replaced because they have done enough."""
