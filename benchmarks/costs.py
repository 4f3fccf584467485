"""Measures what a feature costs that can be switched off: ``python -m benchmarks.costs``.

Each is off in the one measurement and on in the other, of this checkout, interleaved on one server that is
emptied in between. All others are off in both.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

from .server import running_server
from .side_by_side import kind_of, measure
from .statistics import Pair, pairs_table

OFF: Final = {"DOCKET_HISTORY__ENABLED": "false", "DOCKET_RESULTS__MAX_MEMORY": "0"}
FEATURES: Final = {
    "history": {"DOCKET_HISTORY__ENABLED": "true"},
    "results": {"DOCKET_RESULTS__MAX_MEMORY": "256MiB"},
}
"""Environment variables that switch a feature on."""
ROWS: Final = ("drain_10", "drain_100")


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--count", type=int, default=5000, help="tasks per measurement")
    parser.add_argument("--features", default=",".join(FEATURES), help="separated by commas")
    options = parser.parse_args()
    here = Path(__file__).parents[1]
    found: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    with running_server() as server:
        print(f"{server.version()}, {options.pairs} pairs of {options.count} tasks")
        for pair in range(options.pairs):
            for feature in options.features.split(","):
                for row in ROWS:
                    print(f"pair {pair + 1}: {feature}, {row}", file=sys.stderr, flush=True)
                    # Each side is first in turn.
                    sides = [OFF, OFF | FEATURES[feature]][:: 1 if pair % 2 == 0 else -1]
                    measured: list[dict[str, float]] = []
                    for environ in sides:
                        server.flush()
                        measured.append(measure(here, row, server.url, options.count, **environ))
                    off, on = measured[:: 1 if pair % 2 == 0 else -1]
                    for field, value in off.items():
                        found[f"{feature}.{row}.{field}"].append((value, on[field]))
    print(
        pairs_table(
            [
                Pair(name, tuple(both), kind_of(name.partition(".")[2]))
                for name, both in found.items()
            ]
        )
    )


if __name__ == "__main__":
    main()
