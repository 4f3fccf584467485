"""Docstrings say what a thing does or is, in plain words."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "docket"

NO_OPENINGS = ("What", "How", "Whether", "Who")
"""First words that put off the verb: a function is an imperative, anything else a noun phrase."""

NO_PHRASES = ("can not", "Can not")


def objections(files: Iterable[Path]) -> list[str]:
    """Every docstring that opens or speaks as none should."""
    return [
        f"{file}:{line}: {reason}"
        for file in files
        for line, text in _docstrings(ast.parse(file.read_text("utf-8")))
        for reason in _reasons(text)
    ]


def _reasons(text: str) -> Iterator[str]:
    words = text.split()
    if words and words[0] in NO_OPENINGS:
        yield f"opens with {words[0]}"
    for phrase in NO_PHRASES:
        if phrase in " ".join(words):
            yield f"says {phrase!r}"


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Those of modules, classes and functions, and the strings below constants and attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str() as text)):
                yield node.lineno, text
            case _:
                pass


def test_docstrings_are_plain() -> None:
    files = sorted(ROOT.rglob("*.py"))

    assert files
    assert objections(files) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('"""What differs."""\n', "1: opens with What"),
        ('def is_up():\n    """Whether it is up."""\n', "2: opens with Whether"),
        ('class Owner:\n    name: str\n    """Who it is."""\n', "3: opens with Who"),
        ('"""Say why it can\nnot be."""\n', "1: says 'can not'"),
    ],
)
def test_the_rule_bites(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(text)

    assert objections([file]) == [f"{file}:{reason}"]


def test_a_docstring_that_says_what_a_thing_does_is_fine(tmp_path: Path) -> None:
    file = tmp_path / "good.py"
    file.write_text('def due():\n    """Return what is due; it cannot be empty."""\n')

    assert objections([file]) == []
