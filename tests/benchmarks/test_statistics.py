"""Median, spread, table and comparison."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.statistics import Cell, Pair, pairs_table, slower, table


def test_a_cell_shows_its_median_and_its_spread() -> None:
    assert str(Cell((5.0, 1.0, 3.0))) == "3 (1–5)"
    assert str(Cell((1234.5,))) == "1,234"


def test_a_table_has_a_row_per_measurement_and_says_why_something_failed() -> None:
    shown = table(
        {"add": {"docket": [2000.0, 3000.0, 2500.0], "arq": "failed: no answer"}}, ["docket", "arq"]
    )

    assert shown.splitlines()[0] == "| | docket | arq |"
    assert "| add, one await each, tasks/s | 2,500 (2,000–3,000) | failed: no answer |" in shown
    assert len(shown.splitlines()) == 3


def test_two_checkouts_are_compared_pair_by_pair_by_the_median_ratio() -> None:
    speed = Pair("drain", ((100.0, 99.0), (200.0, 200.0), (100.0, 50.0)), "more")

    assert speed.ratio == 0.99
    assert speed.is_no_worse
    assert not Pair("drain", ((100.0, 96.0),), "more").is_no_worse
    assert Pair("latency", ((1.0, 1.03),), "less").is_no_worse
    assert not Pair("latency", ((1.0, 1.04),), "less").is_no_worse
    assert pairs_table([speed]).splitlines()[-1] == (
        "| drain | 100 (100–200) | 99 (50–200) | 0.990 (0.500–1.000) | no worse |"
    )


def test_commands_are_counted_and_the_time_of_the_server_may_differ_by_three_percent() -> None:
    assert Pair("add.commands", ((7.0, 7.02),), "commands").is_no_worse
    assert not Pair("add.commands", ((7.0, 8.0),), "commands").is_no_worse
    assert Pair("add.redis_cpu", ((50.0, 51.4),), "redis_cpu").is_no_worse
    assert not Pair("add.redis_cpu", ((50.0, 52.0),), "redis_cpu").is_no_worse


def test_only_what_got_worse_by_more_than_the_spread_is_told() -> None:
    old = {
        "add": {"docket": [100.0, 110.0]},
        "latency": {"docket": [1.0, 2.0]},
        "idle": {"docket": [1.0]},
    }

    assert slower(old, {"add": {"docket": [105.0, 90.0]}, "latency": {"docket": [1.5]}}) == []
    assert slower(old, {"add": {"docket": [80.0, 90.0]}, "idle": {"docket": "failed: x"}}) == [
        "add, one await each, docket: 105 (100–110) → 85 (80–90) tasks/s"
    ]
    assert slower(old, {"latency": {"docket": [2.5]}}) == [
        "latency, p50, docket: 1.5 (1–2) → 2.5 ms"
    ]


def test_the_comparison_fails_when_something_got_slower(tmp_path: Path) -> None:
    for name, value in (("old", 100.0), ("new", 50.0)):
        (tmp_path / name).write_text(json.dumps({"rows": {"add": {"docket": [value]}}}))
    command = [sys.executable, "-m", "benchmarks.compare"]

    worse = subprocess.run(
        [*command, tmp_path / "old", tmp_path / "new"], check=False, capture_output=True
    )
    better = subprocess.run(
        [*command, tmp_path / "new", tmp_path / "old"], check=False, capture_output=True
    )

    assert (worse.returncode, better.returncode) == (1, 0)
