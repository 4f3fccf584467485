"""``docket task explain`` and ``docket schedule explain``."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest

from docket import Docket
from docket.connection.base import Command, Reply
from docket.connection.standalone import Standalone
from docket.schedules.ticker import Ticker
from tests.schedules.conftest import declared

from .conftest import Shell

pytestmark = pytest.mark.fleet


def _add(shell: Shell, *words: str) -> None:
    shell.prints("task", "add", "greet", "Jane", *words, "--tasks", "shop:tasks")


def _told(shell: Shell, *words: str) -> dict[str, Any]:
    document = json.loads(shell.prints(*words, "-o", "json"))
    assert (document["version"], document["kind"]) == (1, "explanation")
    return document["item"]


def _commands(explanation: dict[str, Any]) -> list[list[str]]:
    """The commands that an explanation names, as somebody types them."""
    advices = [explanation["advice"], *(fact["advice"] for fact in explanation["facts"])]
    return [shlex.split(one) for one in re.findall(r"`docket ([^`]+)`", "\n".join(advices))]


def test_an_execution_that_is_not_there_exits_3(shell: Shell) -> None:
    done = shell.type("task", "explain", "k")

    assert done.exit_code == 3
    assert done.stderr.startswith(f"docket '{shell.name}' holds no execution 'k'; ")


def test_an_execution_is_explained_in_a_sentence_and_the_facts_below_it(shell: Shell) -> None:
    _add(shell, "--key", "k", "--delay", "3h")

    lines = shell.prints("task", "explain", "k").splitlines()

    assert re.fullmatch(r"It is due in (3h|2h59m), at [-\d]+ [:\d]+ UTC\.", lines[0])
    assert lines[1:3] == [
        "  To do: `docket task cancel k` gives it up",
        "- No worker that is remembered knows its task greet.",
    ]
    why = dict(line.split(maxsplit=1) for line in shell.prints("task", "get", "k").splitlines())
    assert why["why"].startswith("It is due in ")


def test_what_is_advised_can_be_typed_and_helps(shell: Shell) -> None:
    shell.prints("strike", "greet", "--park", "--reason", "INC-7", "--author", "ann")
    # What is added is kept, and its caller is told that it is struck.
    added = ("task", "add", "greet", "Jane", "--key", "k", "--delay", "3h", "--tasks", "shop:tasks")
    assert shell.type(*added).exit_code == 4
    struck = _told(shell, "task", "explain", "k")
    assert struck["sentence"] == "It is parked by the strike greet() by ann (INC-7)."
    assert (struck["subject"], struck["state"], struck["cause"]) == ("k", "parked", "parked_struck")

    for command in _commands(struck):
        shell.prints(*command)

    freed = _told(shell, "task", "explain", "k")
    assert freed["cause"] == "due_later"
    for command in _commands(freed):
        shell.prints(*command)
    assert _told(shell, "task", "explain", "k")["cause"] == "cancelled"


def test_an_explanation_asks_the_server_once_however_much_waits(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    send = Standalone.send

    async def counted(self: Standalone, *commands: Command) -> list[Reply]:
        sent.append(len(commands))
        return await send(self, *commands)

    async def calls(docket: Docket) -> int:
        async with docket.redis() as client:
            stats = await client.info("commandstats")
        return sum(one["calls"] for name, one in stats.items() if name != "cmdstat_info")

    async def once(docket: Docket) -> tuple[list[int], int]:
        before = await calls(docket)
        sent.clear()
        assert await docket.insights.explain("k") is not None
        asked = list(sent)
        return asked, await calls(docket) - before

    async def cost(docket: Docket) -> tuple[list[int], int]:
        # What follows the strikes may ask for them meanwhile.
        return min([await once(docket) for _ in range(3)])

    async def look(docket: Docket) -> list[tuple[list[int], int]]:
        workers = docket.storage.workers
        for name in ("w1", "w2"):
            now = await workers.register(name, ["greet"], docket.silence, queues=["default"])
            # However long it takes, they are not silent before the end of the test.
            await workers.beat(name, now + 3_600_000)
        await docket.add("greet", key="k")("Jane")
        # From now on the script is there.
        await docket.insights.explain("k")
        few = await cost(docket)
        await docket.cancel("k")
        await docket.add_many(docket.call("greet")("Jane") for _ in range(5_000))
        await docket.add("greet", key="k")("Jane")
        return [few, await cost(docket)]

    monkeypatch.setattr(Standalone, "send", counted)
    # One command, a script: that asks three times of each worker, and thirteen times besides.
    assert shell.visit(look) == [([1], 3 * 2 + 13)] * 2


def test_a_schedule_is_explained_and_one_that_is_not_there_exits_3(shell: Shell) -> None:
    async def declare(docket: Docket) -> None:
        ticker = Ticker(docket.storage.schedules, docket.serializer, "ours")
        await ticker.declare(declared('[schedules.nightly]\ncron = "30 2 * * *"\npaused = true\n'))

    shell.visit(declare)

    told = _told(shell, "schedule", "explain", "nightly")
    assert (told["subject"], told["state"], told["cause"]) == (
        "ours/nightly",
        "paused",
        "paused_by_file",
    )
    assert told["sentence"] == "It has no runs: its file has paused it."
    done = shell.type("schedule", "explain", "nihgtly")
    assert done.exit_code == 3
    assert done.stderr == "there is no schedule 'nihgtly'; did you mean 'nightly'?\n"


def test_a_schedule_that_several_owners_have_is_asked_for_with_its_owner(shell: Shell) -> None:
    async def declare(docket: Docket) -> None:
        for owner in ("ours", "theirs"):
            ticker = Ticker(docket.storage.schedules, docket.serializer, owner)
            await ticker.declare(declared('[schedules.nightly]\nevery = "1h"\n'))

    shell.visit(declare)

    done = shell.type("schedule", "explain", "nightly")
    assert done.exit_code == 3
    assert "say which, of ours/nightly, theirs/nightly" in done.stderr
