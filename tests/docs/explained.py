"""Writes the tables of ``docs/explain.md`` from the sentences: ``python -m tests.docs.explained``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Final

from docket.insights.causes import TOLD, Told
from docket.insights.schedule_causes import SCHEDULE_TOLD

PAGE: Final = Path(__file__).parents[2] / "docs" / "explain.md"
EXAMPLES: Final = {
    "until": "3h",
    "since": "4m",
    "ago": "2h",
    "due": "TIME",
    "ended": "TIME",
    "before": "17 wait",
    "ahead": "17 others",
    "crashes": "2 deaths",
    "held": "2",
    "slots": "2",
    "failed": "1",
    "attempt": "2",
    "strike": "the strike TASK() by AUTHOR (REASON)",
    "struck": "parked",
    "late": "2m",
    "period": "5m",
    "waiting": "2 others wait",
    "forgotten": "6d",
    "last": "TIME",
    "run_word": "KEY",
    "run": "KEY",
    "paused": "QUEUE",
    "queue_pause": "by AUTHOR since TIME, until TIME (REASON)",
    "file_pause": "by the file of OWNER (revision 12) since TIME",
    "pause": "AUTHOR has paused it at TIME, until TIME (REASON)",
    "restore": "`docket restore TASK`",
}
"""What stands for what is no name; the names are written large."""


class _Names(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return name.upper()


def table(told: Mapping[Enum, Told]) -> str:
    """The table of some sentences, as Markdown."""
    words = _Names(EXAMPLES)
    return "\n".join(
        [
            "| Cause | Sentence | What to do |",
            "|---|---|---|",
            *(
                f"| `{cause.value}` | {one.sentence.format_map(words)} | {one.advice.format_map(words)} |"
                for cause, one in told.items()
            ),
        ]
    )


def tables() -> Iterable[str]:
    """All tables of the page, in their order."""
    return [table({**TOLD}), table({**SCHEDULE_TOLD})]


def written(page: str) -> str:
    """The page with its tables as they should be."""
    anew = iter(tables())
    return re.sub(r"(?m)^\| Cause .*\n(\|.*\n)*", lambda _: f"{next(anew)}\n", page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
