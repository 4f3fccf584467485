"""The counts of all worker processes together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from ...instrumentation.histogram import Histogram


class Totals:
    """Counters and histograms of several processes, summed up by metric and task."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.spreads: defaultdict[tuple[str, str], Histogram] = defaultdict(Histogram)

    def add(self, status: Mapping[str, Any]) -> None:
        """Add the counts that a process has reported.

        Arguments:
            status: its last report.
        """
        for metric, task, count in status.get("counts", ()):
            self.counts[metric, task] += count
        for metric, task, counts, total in status.get("spreads", ()):
            self.spreads[metric, task].add(Histogram(counts, total))

    def include(self, other: Totals) -> None:
        """Count what others have counted, too."""
        self.counts.update(other.counts)
        for labels, spread in list(other.spreads.items()):
            self.spreads[labels].add(spread)
