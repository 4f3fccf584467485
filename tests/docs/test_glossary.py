"""The glossary has one entry for every name of the product."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from pathlib import Path

import docket
from docket.cli import COMMANDS
from docket.config.describing.catalogue import all_keys
from docket.instrumentation import instruments
from docket.storage.keys import Keys

ROOT = Path(__file__).parents[2]
TERM = re.compile(r"^\| \*\*(.+?)\*\* \| (.+?) \| (.*) \|$", re.MULTILINE)
METRIC = re.compile(r'"docket_(\w+)"')
NO_TERMS = {"__version__", "testing", "DocketError", "NAME"}


def names() -> set[str]:
    """Every name of the file, the command line, the metrics, Redis and Python."""
    of_the_file = {word for key in all_keys() for word in map(str, key.path) if not word.isdigit()}
    metrics = METRIC.findall(inspect.getsource(instruments))
    of_redis = {name for name in vars(Keys) if not name.startswith("_")}
    return {
        *of_the_file,
        *(f"docket {command}" for command in COMMANDS),
        *metrics,
        *of_redis - {"prefix", "pattern"},
        *docket.__all__,
    } - NO_TERMS


def entries() -> Counter[str]:
    """How many entries of the glossary have each name."""
    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    return Counter(
        name for *_, names in TERM.findall(text) for name in re.findall("`(.+?)`", names)
    )


def test_every_name_has_exactly_one_entry() -> None:
    found = entries()

    assert {name for name, count in found.items() if count > 1} == set()
    assert names() - set(found) == set()


def test_no_entry_has_a_name_that_there_is_not() -> None:
    assert set(entries()) - names() == set()
