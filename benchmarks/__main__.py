"""Measures us and the peers in one run: ``python -m benchmarks [--quick] [--peers …] [--rows …]``.

Interleaved (peer A, B, C, A, B, C, …), each measurement in a process of its own in the peer's own
environment, all on one server that is emptied between measurements. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from . import ours
from .environments import REQUIREMENTS, python_of
from .server import Server, running_server
from .statistics import table

PEERS = list(REQUIREMENTS)
MEASURED = [
    *("drain_10", "drain_100", "add", "add_bulk", "latency", "lateness", "idle"),
    *("memory_queued", "memory_future"),
]
SLOW = ["recover_alone"]
"""Measured once: it takes minutes, because the leases of some peers do."""

OURS_ONLY = [
    *("import", "help", "check", "supervised", "large", "depth", "due_1m", "workers_8"),
    *("declaring", "waiters"),
]
PATIENCE = 450
"""Seconds that one measurement may take."""

MEASURE = Path(__file__).parent / "peers" / "measure.py"
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = _options()
    results: dict[str, dict[str, Any]] = defaultdict(dict)
    versions: dict[str, str] = {}
    pythons = {peer: python_of(peer) for peer in options.peers}
    with running_server() as server:
        about = _about(server)
        for run in range(options.runs):
            for row in options.rows:
                is_asked = row in MEASURED or (row in SLOW and run == 0)
                for peer in options.peers if is_asked else []:
                    print(f"run {run + 1}: {row}, {peer}", file=sys.stderr, flush=True)
                    server.flush()
                    measured = _measure(pythons[peer], peer, row, server.url, options.count)
                    _note(results, versions, row, peer, measured)
            if "docket" in options.peers:
                _measure_ours(results, server, [row for row in options.rows if row in OURS_ONLY])
    document = {**about, "versions": versions, "count": options.count, "rows": results}
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    file.write_text(json.dumps(document, indent=1))
    print(
        f"{about['server']}, Python {about['python']}, {about['cpu']}, {about['cores']} cores; ",
        end="",
    )
    print(", ".join(f"{peer} {version}" for peer, version in versions.items()), end="\n\n")
    print(table(results, options.peers))
    print(f"\n{file}", file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="pydocket and us, in about three minutes"
    )
    parser.add_argument("--peers", type=_list, default=PEERS, help="separated by commas")
    parser.add_argument(
        "--rows", type=_list, default=MEASURED + SLOW + OURS_ONLY, help="separated by commas"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--count", type=int, default=5000, help="tasks per drain and add")
    options = parser.parse_args()
    if options.quick:
        options.peers, options.runs, options.count = ["docket", "pydocket"], 1, 500
        options.rows = [*MEASURED, "import", "help", "check", "supervised"]
    return options


def _list(text: str) -> list[str]:
    return text.split(",")


def _about(server: Server) -> dict[str, Any]:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), ""
    )
    return {
        "server": server.version(),
        "python": platform.python_version(),
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
    }


def _measure(python: str, peer: str, row: str, url: str, count: int) -> dict[str, Any]:
    command = [python, str(MEASURE), peer, row, url, str(count)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"took more than {PATIENCE} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        return {"failed": reason[:120]}
    return json.loads(lines[-1])


def _note(
    results: dict[str, dict[str, Any]],
    versions: dict[str, str],
    row: str,
    peer: str,
    measured: dict[str, Any],
) -> None:
    if "failed" in measured:
        results[row].setdefault(peer, f"failed: {measured['failed']}")
        return
    versions[peer] = measured.pop("version")
    for field, value in measured.items():
        name = row if field == "value" else f"{row}.{field}"
        cell = results[name].get(peer)
        results[name][peer] = [*cell, value] if isinstance(cell, list) else [value]


def _measure_ours(results: dict[str, dict[str, Any]], server: Server, rows: list[str]) -> None:
    steps = {
        "import": lambda: {"import": ours.import_docket()},
        "help": lambda: {"help": ours.help_page()},
        "check": lambda: {"check": ours.check_file()},
        "supervised": lambda: ours.supervised(server),
        "large": lambda: ours.large(server),
        "depth": lambda: {
            f"depth_{name}": ours.depth(server, future)
            for name, future in (("0", 0), ("100k", 100_000), ("1m", 1_000_000))
        },
        "due_1m": lambda: {"due_1m": ours.due_at_once(server)},
        "workers_8": lambda: {"workers_8": ours.workers_8(server)},
        "declaring": lambda: {
            f"declaring_{concurrency}": ours.declaring(server, concurrency)
            for concurrency in (10, 100)
        },
        "waiters": lambda: {"waiters": ours.waiters(server)},
    }
    for row in rows:
        print(f"ours: {row}", file=sys.stderr, flush=True)
        server.flush()
        try:
            measured = steps[row]()
        except Exception as error:
            results[row].setdefault("docket", f"failed: {error}")
            continue
        for name, values in measured.items():
            _note(results, {}, name, "docket", {**values, "version": ""})


if __name__ == "__main__":
    main()
