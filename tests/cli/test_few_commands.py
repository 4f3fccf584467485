"""What a command asks the server is bounded by what it shows, however much there is."""

from __future__ import annotations

import json
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
        assert done.exit_code == 0, done.output
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
