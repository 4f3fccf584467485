"""Median and spread, as values, tables and comparisons; pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Row:
    """What one row of the table is.

    Arguments:
        name: as on the command line.
        title: as people read it.
        unit: of its value.
        more_is_better: which way is good.
    """

    name: str
    title: str
    unit: str
    more_is_better: bool


ROWS = {
    row.name: row
    for row in (
        Row("drain_10", "drain, concurrency 10", "tasks/s", True),
        Row("drain_100", "drain, concurrency 100", "tasks/s", True),
        Row("add", "add, one await each", "tasks/s", True),
        Row("add_bulk", "add, bulk", "tasks/s", True),
        Row("latency", "latency, p50", "ms", False),
        Row("latency.p99", "latency, p99", "ms", False),
        Row("lateness", "lateness of future tasks, p50", "ms", False),
        Row("lateness.p99", "lateness of future tasks, p99", "ms", False),
        Row("idle", "Redis commands of an idle worker", "per s", False),
        Row("drain_10.cpu", "worker CPU per 10,000 tasks", "s", False),
        Row("memory_queued", "Redis memory per queued task", "bytes", False),
        Row("memory_future", "Redis memory per future task", "bytes", False),
        Row("import", "import docket", "ms", False),
        Row("help", "docket --help", "ms", False),
        Row("check", "docket-supervisor --check, 2,000 tasks", "ms", False),
        Row("first_task", "supervisor start to first task done", "s", False),
        Row("reload", "file saved to all workers on it", "s", False),
        Row("large_start", "supervisor start, 2,000 tasks and 500 schedules", "s", False),
        Row("large_reload", "the same: file saved to applied", "s", False),
        Row("large_still", "the same: a schedule of every 50 ms waits", "ms", False),
        Row("rss", "memory of an idle worker", "MB", False),
        Row("recover", "kill -9 mid-task, re-run after, supervised", "s", False),
        Row("recover_alone", "kill -9 mid-task, re-run after, defaults", "s", False),
        Row("depth_0", "add + drain with 0 future tasks", "tasks/s", True),
        Row("depth_100k", "add + drain with 100,000 future tasks", "tasks/s", True),
        Row("depth_1m", "add + drain with 1,000,000 future tasks", "tasks/s", True),
        Row("due_1m.drain", "a million due at once: drain", "tasks/s", True),
        Row("due_1m.script", "a million due at once: longest script", "ms", False),
        Row("workers_8", "8 workers on one docket: drain", "tasks/s", True),
        Row(
            "declaring_10", "drain with Retry, Timeout and Depends, concurrency 10", "tasks/s", True
        ),
        Row("declaring_10.times", "its cost over a bare task", "x", False),
        Row(
            "declaring_100",
            "drain with Retry, Timeout and Depends, concurrency 100",
            "tasks/s",
            True,
        ),
        Row("declaring_100.times", "its cost over a bare task", "x", False),
        Row("waiters", "2,000 tasks on one concurrency key: drain", "tasks/s", True),
        Row("waiters.scripts", "its script calls per task", "", False),
    )
}


@dataclass(frozen=True)
class Cell:
    """The samples of one peer in one row."""

    samples: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the largest."""
        return min(self.samples), max(self.samples)

    def __str__(self) -> str:
        low, high = self.spread
        if low == high:
            return _number(self.middle)
        return f"{_number(self.middle)} ({_number(low)}–{_number(high)})"


@dataclass(frozen=True)
class Pair:
    """One measurement of two checkouts, several times.

    Arguments:
        name: of the measurement.
        both: before and after, pair by pair.
        kind: ``more`` or ``less`` is better, or ``commands`` or ``redis_cpu`` per task.
    """

    name: str
    both: tuple[tuple[float, float], ...]
    kind: str

    @property
    def ratios(self) -> list[float]:
        """After to before, so that more is better; pair by pair."""
        return [
            after / before if self.kind == "more" else before / after for before, after in self.both
        ]

    @property
    def ratio(self) -> float:
        """The median of them."""
        return median(self.ratios)

    @property
    def is_no_worse(self) -> bool:
        """The verdict: 3 % may be chance, but commands are counted."""
        if self.kind == "commands":
            before, after = (median(side) for side in zip(*self.both, strict=True))
            # How many runs share a round trip differs a little from run to run.
            return after <= before + max(0.05, before * 0.01)
        return self.ratio >= (1 / 1.03 if self.kind == "redis_cpu" else 0.97)


def pairs_table(pairs: list[Pair]) -> str:
    """Markdown: a row per measurement, medians and spreads of both, the ratio, the verdict."""
    lines = ["| | before | after | ratio | verdict |", "|---|---|---|---|---|"]
    for pair in pairs:
        before, after = (Cell(tuple(side)) for side in zip(*pair.both, strict=True))
        spread = f"{min(pair.ratios):.3f}–{max(pair.ratios):.3f}"
        verdict = "no worse" if pair.is_no_worse else "WORSE"
        lines.append(
            f"| {pair.name} | {before} | {after} | {pair.ratio:.3f} ({spread}) | {verdict} |"
        )
    return "\n".join(lines)


def table(results: dict[str, dict[str, Any]], peers: list[str]) -> str:
    """Markdown: a row per measurement, a column per peer, median and spread; failures say why."""
    lines = [
        f"| | {' | '.join(peers)} |",
        f"|---|{'---|' * len(peers)}",
    ]
    for name, row in ROWS.items():
        cells = [results.get(name, {}).get(peer) for peer in peers]
        if any(cell is not None for cell in cells):
            shown = [_shown(cell) for cell in cells]
            lines.append(f"| {row.title}, {row.unit} | {' | '.join(shown)} |")
    return "\n".join(lines)


def slower(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What got worse by more than the spread of both, in words."""
    complaints: list[str] = []
    for name, row in ROWS.items():
        for peer, before in old.get(name, {}).items():
            after = new.get(name, {}).get(peer)
            if not isinstance(before, list) or not isinstance(after, list):
                continue
            was, now = Cell(tuple(before)), Cell(tuple(after))
            is_worse = (
                now.spread[1] < was.spread[0]
                if row.more_is_better
                else now.spread[0] > was.spread[1]
            )
            if is_worse:
                complaints.append(f"{row.title}, {peer}: {was} → {now} {row.unit}")
    return complaints


def _shown(cell: Any) -> str:
    if cell is None:
        return "–"
    return cell if isinstance(cell, str) else str(Cell(tuple(cell)))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
