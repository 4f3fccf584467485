"""Holds two checkouts against each other: ``python -m benchmarks.side_by_side BEFORE AFTER``.

BEFORE and AFTER are directories with a checkout in each; the packages that docket needs come from their
own ``.venv`` where they have one, else from this interpreter's. The measurements are interleaved (before,
after, before, after, …) on one server that is emptied in between, so that whatever else the machine does
falls on both. "No worse" is: a median ratio of at least 0.97, as many commands per task, and at most 3 %
more of the server's CPU per task.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from .server import running_server
from .statistics import Pair, pairs_table

ROWS = ("drain_10", "drain_100", "add", "add_bulk", "latency", "memory_queued", "memory_future")
LESS_IS_BETTER = {"latency", "memory_queued", "memory_future"}
PROGRAM = Path(__file__).parent / "side.py"
PATIENCE = 300
"""Seconds that one measurement may take."""


def main() -> int:
    """Measure, print the table; exit 1 if something is worse."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.side_by_side", description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--count", type=int, default=5000, help="tasks per measurement")
    parser.add_argument("--rows", default=",".join(ROWS), help="separated by commas")
    options = parser.parse_args()
    found: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    with running_server() as server:
        print(f"{server.version()}, {options.pairs} pairs of {options.count} tasks")
        for pair in range(options.pairs):
            for row in options.rows.split(","):
                print(f"pair {pair + 1}: {row}", file=sys.stderr, flush=True)
                measured: list[dict[str, float]] = []
                # Whoever is first finds the machine as the last one left it: each is first in turn.
                sides = [options.before, options.after]
                for side in sides if pair % 2 == 0 else sides[::-1]:
                    server.flush()
                    measured.append(measure(side.resolve(), row, server.url, options.count))
                before, after = measured if pair % 2 == 0 else measured[::-1]
                for field, value in before.items():
                    found[f"{row}.{field}"].append((value, after[field]))
    verdicts = [Pair(name, tuple(both), kind_of(name)) for name, both in found.items()]
    print(pairs_table(verdicts))
    return 0 if all(verdict.is_no_worse for verdict in verdicts) else 1


def kind_of(name: str) -> str:
    """Return how a measurement is judged."""
    row, field = name.split(".")
    if field != "value":
        return field
    return "less" if row in LESS_IS_BETTER else "more"


def measure(side: Path, row: str, url: str, count: int, **environ: str) -> dict[str, float]:
    """Measure a row in a program of its own, and return its figures by name.

    Arguments:
        side: a checkout.
        row: one of ``ROWS``.
        url: the server, which is empty.
        count: tasks per measurement.
        environ: variables that the program has beside those of this one.
    """
    python = side / ".venv" / "bin" / "python"
    done = subprocess.run(
        [python if python.exists() else sys.executable, PROGRAM, row, url, str(count)],
        cwd=side,
        # Before everything that is installed: an editable install of another checkout is on the path, too.
        env={**os.environ, **environ, "PYTHONPATH": str(side)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    raise SystemExit(main())
