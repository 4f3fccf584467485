"""The end of what a process writes to its standard error."""

from __future__ import annotations

import asyncio
import io
import os
import sys

import pytest

from docket.supervisor.processes.last_words import KEPT, LINES, LastWords


async def spoken(text: bytes) -> LastWords:
    words = LastWords()
    line = await words.open()
    await asyncio.to_thread(os.write, line, text)
    os.close(line)
    await words.until_silent(20)
    return words


async def test_they_are_the_last_lines_and_everything_is_passed_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [f"line {number}" for number in range(LINES + 3)]

    words = await spoken("\n".join(lines).encode())

    assert words.text == "\n".join(lines[3:])
    assert capsys.readouterr().err == "\n".join(lines)


async def test_when_the_interpreter_says_why_it_ends_they_begin_there() -> None:
    stack = ["Fatal Python error: Aborted", *(f"  frame {number}" for number in range(2 * LINES))]

    words = await spoken("\n".join(["at work", *stack]).encode())

    assert words.text == "\n".join(stack[:LINES])


async def test_a_line_that_is_longer_than_what_is_kept_is_none_of_them() -> None:
    words = await spoken(b"x" * 2 * KEPT + b"\nthe end\n")

    assert words.text == "the end"


async def test_what_is_no_text_is_shown_all_the_same() -> None:
    assert (await spoken(b"caf\xe9\n")).text == "caf\N{REPLACEMENT CHARACTER}"


async def test_they_are_kept_although_nobody_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)

    assert (await spoken(b"no memory left\n")).text == "no memory left"


async def test_whoever_holds_the_line_open_is_not_waited_for() -> None:
    words = LastWords()
    line = await words.open()
    os.write(line, b"so far\n")

    while not words.text:
        await asyncio.sleep(0)
    await words.until_silent(0.01)

    assert words.text == "so far"
    os.close(line)


async def test_before_a_process_is_started_there_are_none() -> None:
    words = LastWords()

    await words.until_silent(20)

    assert not words.text
