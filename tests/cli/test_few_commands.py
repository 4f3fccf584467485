"""What a command asks the server is bounded by what it shows, however much there is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from docket import Docket
from docket.connection.base import Command, Reply
from docket.connection.standalone import Standalone
from docket.schedules.ticker import Ticker
from tests.schedules.conftest import declared

from .conftest import Shell

pytestmark = pytest.mark.fleet


class Cost(NamedTuple):
    """What a command has asked for."""

    trips: int
    commands: int
    printed: str
    noted: str


@pytest.fixture
def cost(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cost]:
    """Runs ``docket`` and counts: round trips, and the commands in them."""
    sent: list[int] = []
    send = Standalone.send

    async def counted(self: Standalone, *commands: Command) -> list[Reply]:
        sent.append(len(commands))
        return await send(self, *commands)

    monkeypatch.setattr(Standalone, "send", counted)

    def run(*words: str) -> Cost:
        sent.clear()
        done = shell.type(*words)
        # The doctor finds that nobody works.
        assert done.exit_code == int(words[0] == "doctor"), done.output
        return Cost(len(sent), sum(sent), done.stdout, done.stderr)

    return run


def _declare(shell: Shell, count: int) -> None:
    async def declare(docket: Docket) -> None:
        text = "\n".join(f'[schedules.s{number:03}]\nevery = "1h"' for number in range(count))
        await Ticker(docket.storage.schedules, docket.serializer, "owner").declare(declared(text))
        async with docket.redis() as client:
            await client.lpush(docket.storage.keys.outcomes("owner/s007"), "0\nskipped 2\n")
            await client.lpush(docket.storage.keys.outcomes("owner/s007"), "9\nfired\nkey")
            await client.set(docket.storage.keys.schedule("owner/s008"), "none of ours")

    shell.visit(declare)


def test_five_hundred_schedules_are_read_in_twenty_commands(
    shell: Shell, cost: Callable[..., Cost]
) -> None:
    _declare(shell, 500)

    listed = cost("schedule", "ls", "-o", "jsonl")
    shown = cost("schedule", "show", "s007", "-o", "json")

    items: list[dict[str, Any]] = [json.loads(line) for line in listed.printed.splitlines()]
    assert len(items) == 499
    assert {one["name"]: one["outcome"] for one in items if one["outcome"]} == {"s007": "fired"}
    assert listed.commands <= 20
    assert [one["outcome"] for one in json.loads(shown.printed)["item"]["history"]] == [
        "fired",
        "skipped",
    ]
    assert shown.commands <= 15


def _fill(shell: Shell, count: int) -> None:
    """Queue so many, and have them all stand among the dead and the parked, too."""

    async def fill(docket: Docket) -> None:
        added = await docket.add_many(docket.call("greet")("Jane") for _ in range(count))
        keys = docket.storage.keys
        scores = {one.key: time.time() * 1000 + 86_400_000 + at for at, one in enumerate(added)}
        async with docket.redis() as client:
            await client.zadd(keys.dead, scores)
            await client.zadd(keys.parked, scores)

    shell.visit(fill)


def test_of_ten_thousand_only_those_are_read_that_are_shown(
    shell: Shell, cost: Callable[..., Cost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.cli.terminal.listings.LOOKED_AT", 2000)
    monkeypatch.setattr("docket.cli.commands.snapshot.LOOKED_AT", 2000)
    _fill(shell, 10_000)
    more = "9950 more; --limit 10000 lists them, too\n"
    some = "there are more; a higher --limit lists them, too\n"
    none = "only 2000 of 10000 were looked at; --limit 10000 looks at all\n"

    for words, said in (
        ("task ls --limit 50", more),
        ("task ls --limit 50 --state queued", some),
        ("task ls --limit 50 --task greet", some),
        ("dead ls --limit 50", more),
        ("parked ls --limit 50", more),
        ("snapshot --limit 50", more),
        ("queue ls", "0 more wait for their time, or for a slot of a limit\n"),
        ("doctor", ""),
        ("clear --dry-run", None),
        ("parked release --dry-run", None),
    ):
        found = cost(*words.split())
        assert (found.trips <= 16, found.commands <= 90) == (True, True), (words, found[:2])
        assert said is None or found.noted == said

    # Nobody knows where those of one task are: it is looked for them, a while, in pages.
    for words in ("task ls", "dead ls", "parked ls"):
        found = cost(*words.split(), "--task", "nobody", "--limit", "50")
        assert found.noted.endswith(none)
        assert found.trips <= 30
        assert found.commands <= 3_500


def test_a_snapshot_counts_all_and_shows_and_reads_the_first(
    shell: Shell, cost: Callable[..., Cost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.cli.commands.snapshot.LOOKED_AT", 7)
    _fill(shell, 10)

    found = cost("snapshot", "--limit", "5", "-o", "jsonl")

    document = json.loads(found.printed)
    assert (document["total_tasks"], len(document["future"])) == (10, 5)
    assert [one["total"] for one in document["stats"]] == [7]
    assert found.noted == (
        "5 more; --limit 10 lists them, too\n"
        "the statistics are of the first 7 of 10; --limit 10 counts all\n"
    )


def test_a_listing_by_task_that_is_full_does_not_look_for_more(shell: Shell) -> None:
    for name in ("greet", "hold"):
        shell.prints("task", "add", name, "x", "--tasks", "shop:tasks")

    done = shell.type("task", "ls", "--task", "greet", "--limit", "1")

    assert done.stderr == "there may be more; a higher --limit lists them, too\n"
