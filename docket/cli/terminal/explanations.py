"""Output of explanations."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from .output import Form, say, show_one

if TYPE_CHECKING:
    from ...insights import Explanation


def show_explanation(explanation: Explanation, form: Form) -> None:
    """Print an explanation: the sentence, and below it what belongs to it.

    Arguments:
        explanation: what to print.
        form: how it is shown.
    """
    if form in (Form.JSON, Form.JSONL):
        show_one("explanation", asdict(explanation), form)
    else:
        say(str(explanation))
