"""How a process has ended."""

from __future__ import annotations

import signal

import pytest

from docket.foundation.deaths import describe_exit


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "no exit code"),
        (0, "exit code 0"),
        (-signal.SIGKILL, "SIGKILL"),
        # Those between the first and the last of the real-time signals have no name.
        (-(signal.SIGRTMIN + 1), f"signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_an_exit_code_is_told_in_words(code: int | None, words: str) -> None:
    assert describe_exit(code) == words
