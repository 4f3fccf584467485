"""The page about explanations has every sentence, as the program says it."""

from __future__ import annotations

from .explained import PAGE, tables, written


def test_the_page_has_every_sentence() -> None:
    page = PAGE.read_text("utf-8")

    assert page.count("\n| Cause ") == len([*tables()])
    assert written(page) == page, "write it anew: python -m tests.docs.explained"
