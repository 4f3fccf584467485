"""Every code block of the documentation is run, or read by what it is written for."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from docket.config.load import parse
from docket.connection.embedded import EmbeddedServer

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PRINTED = re.compile(r"\n*```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[object]:
    return [
        pytest.param(text, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (kind, text) in enumerate(BLOCK.findall(page.read_text("utf-8")))
        if kind == language
    ]


def programs() -> list[object]:
    """Each Python block, with what the text block right behind it says that it prints."""
    found: list[object] = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for number, block in enumerate(BLOCK.finditer(text)):
            if block[1] == "python":
                printed = PRINTED.match(text, block.end())
                expected = None if printed is None else printed[1]
                found.append(pytest.param(block[2], expected, id=f"{page.name}-{number}"))
    return found


def test_every_block_says_what_it_is() -> None:
    kinds = {kind for page in PAGES for kind, _ in BLOCK.findall(page.read_text("utf-8"))}

    assert kinds <= {"python", "toml", "bash", "text", ""}


@pytest.mark.fleet
@pytest.mark.parametrize(("program", "expected"), programs())
def test_a_program_runs_as_printed(program: str, expected: str | None, tmp_path: Path) -> None:
    """A block is a program of its own; it may use the embedded server, and imports what it needs."""
    (tmp_path / "docket.toml").write_text('name = "printed"\n')
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            check=False,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        EmbeddedServer(tmp_path / ".docket").stop()

    assert done.returncode == 0, done.stderr
    assert expected is None or done.stdout == expected


@pytest.mark.parametrize("text", blocks("toml"))
def test_a_configuration_is_valid(text: str) -> None:
    assert parse(text).configuration.tasks


@pytest.mark.parametrize("text", blocks("bash"))
def test_a_command_is_one_that_there_is(text: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for line in text.splitlines():
        words = [word for word in shlex.split(line, comments=True) if "=" not in word]
        if words and words[0] == "make":
            assert words[1] in targets
        elif words:
            assert words[0] in {"git", "docket-supervisor", "docket", "pip", "python"}
