"""``docket audit`` and ``docket events``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from docket import Docket
from docket.cli.commands.events import is_deaf
from docket.operations.audit import COMMAND_LINE

from .conftest import Shell

pytestmark = pytest.mark.fleet

BY = ("--author", "ann", "--reason", "INC-7")


def _listed(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def _break_down(shell: Shell, *keys: str) -> None:
    async def add(docket: Docket) -> None:
        for key in keys:
            await docket.add("break_down", key=key)()

    shell.visit(add)
    shell.work()


def test_what_is_typed_is_in_the_audit(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    _break_down(shell, "one", "two", "three")
    for key, queue in (("later", "default"), ("bulky", "bulk"), ("left", "default")):
        words = ("trace", "hi", "--queue", queue, "--key", key, "--delay", "1h")
        shell.prints("task", "add", *words, "--tasks", "docket.tasks:standard_tasks")
    for words in (
        "dead retry --task break_down --error till --since 1h --yes",
        "task cancel one two",
        "dead discard --task break_down --yes",
        "task run-now later",
        "queue pause bulk --for 1h",
        "queue resume --all",
        "queue purge bulk --yes",
        "strike trace message == x --park",
        "restore trace message == x",
        "parked discard --yes",
        "fsck --repair",
        "clear --yes",
    ):
        shell.prints(*words.split(), *BY)
    monkeypatch.setenv("DOCKET_AUTHOR", "bob")
    shell.prints("queue", "pause", "bulk")

    latest, *found = _listed(shell.prints("audit", "-o", "jsonl"))
    assert (latest["verb"], latest["author"], latest["reason"]) == ("queue pause", "bob", "")
    assert {(one["author"], one["reason"], one["source"]) for one in found} == {
        ("ann", "INC-7", COMMAND_LINE)
    }
    assert [(one["verb"], one["done"], one["meant"]) for one in reversed(found)] == [
        ("retry", 3, 3),
        ("cancel", 2, 2),
        ("run-now", 1, 1),
        ("queue pause", 1, 1),
        ("queue resume", 1, 1),
        ("queue purge", 1, 1),
        ("strike", 1, 1),
        ("restore", 1, 1),
        ("clear", 3, 3),
    ]
    by_verb = {one["verb"]: one["about"] for one in found}
    assert by_verb["retry"]["by"] == {"task": "break_down", "error": "till", "since": "1h"}
    assert by_verb["queue purge"]["by"]["queue"] == "bulk"
    assert by_verb["strike"]["rule"] == "trace(message == 'x')"


def test_the_audit_is_listed_for_people(shell: Shell) -> None:
    empty = shell.type("audit")
    assert empty.stderr == "no deeds\nthe audit is empty\n"
    shell.prints("queue", "pause", "bulk", "other", *BY)
    shell.prints("strike", "trace", "--for", "1h", *BY)
    shell.type("dead", "retry", "nobody", *BY)

    page = shell.type("audit", "--limit", "2", "--since", "1h")
    rest = shell.prints("audit", "--cursor", page.stderr.partition("--cursor ")[2].split()[0])
    wide = shell.prints("audit", "--author", "ann", "--until", "2999-01-01T00:00Z", "-o", "wide")

    assert page.stdout.splitlines()[0].split() == [
        "WHEN",
        "AUTHOR",
        "VERB",
        "DONE",
        "ABOUT",
        "REASON",
    ]
    assert "0 of 1" in page.stdout
    assert "rule=trace() action=drop expires=1h" in page.stdout
    assert "the audit reaches back to " in page.stderr
    assert "2 of 2" in rest
    assert "queues=bulk,other" in rest
    assert "unknown=1" in wide
    assert COMMAND_LINE in wide
    one = _listed(shell.prints("audit", "-o", "jsonl"))[0]
    (same,) = _listed(shell.prints("audit", "--deed", one["deed"], "-o", "jsonl"))
    assert same == one
    assert shell.type("audit", "--cursor", "x").exit_code == 2


def test_a_deed_that_was_broken_off_says_so(shell: Shell) -> None:
    async def break_off(docket: Docket) -> None:
        with pytest.raises(ZeroDivisionError):
            async with docket.operations.audit.recording("test", about={"of": {"it": 3}}):
                raise ZeroDivisionError

    shell.visit(break_off)

    shown = shell.prints("audit", "-o", "wide")
    assert "0 of 1, broken off" in shown
    assert 'of={"it": 3}' in shown
    assert "ZeroDivisionError" in shown


def test_events_are_json_lines_that_one_goes_on_after(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.prints("queue", "pause", "bulk", *BY)
    _break_down(shell, "one")

    both = _listed(shell.prints("events"))
    monkeypatch.setattr("docket.insights.events.SLICE", 1)
    assert _listed(shell.prints("events")) == both
    rest = _listed(shell.prints("events", "--from", both[0]["id"]))

    assert [(one["event"], one.get("verb") or one["state"]) for one in both] == [
        ("deed", "queue pause"),
        ("ended", "failed"),
    ]
    assert (both[0]["author"], both[1]["key"]) == ("ann", "one")
    assert rest == both[1:]
    assert shell.prints("events", "--from", both[1]["id"]) == ""
    since = _listed(shell.prints("events", "--since", "1h"))
    assert [one["at"] for one in since] == [one["at"] for one in both]
    assert shell.type("events", "--from", both[0]["id"], "--since", "1h").exit_code == 2
    assert shell.type("events", "--from", "yesterday").exit_code == 2

    gone = shell.type("events", "--from", "0-0,0-0,5-0")
    assert gone.stderr == "older entries go: some after that id may be gone, of audit\n"
    monkeypatch.setenv("DOCKET_HISTORY__ENABLED", "false")
    off = shell.type("events")
    assert off.stderr.startswith("[history] is off: there are deeds of operators only")


def _line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def test_events_are_followed_until_that_is_interrupted(shell: Shell) -> None:
    shell.prints("queue", "pause", "bulk")
    with shell.start("events", "-f", "--since", "1h") as process:
        first = _line(process)
        shell.prints("queue", "resume", "bulk")
        second = _line(process)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)

    assert (process.returncode, rest, errors) == (0, "", "")
    assert (first["verb"], second["verb"]) == ("queue pause", "queue resume")
    assert _listed(shell.prints("events", "--from", first["id"])) == [second]


def test_following_begins_with_what_comes_next_and_ends_when_nobody_reads(shell: Shell) -> None:
    shell.prints("queue", "pause", "first")
    with shell.start("events", "-f") as process, ThreadPoolExecutor(1) as readers:
        seen = readers.submit(_line, process)
        # From when on it follows cannot be seen from here: something happens until it is seen.
        while not seen.done():
            shell.prints("queue", "pause", "bulk")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert seen.result()["about"] == {"queues": ["bulk"]}


def test_a_reader_that_has_gone_ends_it_without_a_word(shell: Shell) -> None:
    shell.prints("queue", "pause", "bulk")
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "w") as stdout:
        assert is_deaf(stdout)
        done = subprocess.run(
            [sys.executable, "-m", "docket", "events"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert not is_deaf(stdout)
