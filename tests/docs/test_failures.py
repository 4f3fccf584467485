"""The page about faults names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "failures.md"
SECTIONS = re.findall(r"^## (F\d\d\w?) (.+)$", PAGE.read_text(), re.MULTILINE)


def section(number: str) -> str:
    _, _, rest = PAGE.read_text().partition(f"## {number} ")
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("number", [number for number, _ in SECTIONS])
def test_a_section_says_what_happens_what_to_do_and_what_shows_it(number: str) -> None:
    text = section(number)

    for title in ("**What happens:**", "**What to do:**", "**Shown by:**"):
        assert title in text
    for path in re.findall(r"tests/[\w/]+(?:\.py)?", text):
        assert (ROOT / path).exists(), path


def test_every_fault_that_has_a_file_of_tests_has_a_section() -> None:
    numbers = {
        file.stem.split("_")[1].upper() for file in (ROOT / "tests" / "faults").glob("test_f*.py")
    }

    assert numbers <= {number.upper() for number, _ in SECTIONS}
