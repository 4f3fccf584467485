"""F36: a hundred edits of the file, half of them broken, saved in all styles, while everything is busy.

Two pools work, twenty schedules tick. Nothing is lost or repeated, no tick is missed or doubled, what runs
at the end is the last good file, and the history tells how it came there. About 25 s.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from docket import Docket
from docket.storage.configurations import Revision
from tests.supervisor.conftest import Supervised, until

pytestmark = pytest.mark.fault

EDITS = 100
PACE = 0.2
SCHEDULES = 20

TEXT = """
name = "supervised"

[supervisor]
listen = "127.0.0.1:0"
shutdown_timeout = "10s"

[supervisor.reload]
settle = "50ms"
min_interval = "50ms"

[tasks.note]
function = "work:note"

[tasks.other]
function = "work:note"
queue = "other"

[tasks.tick]
function = "work:tick"

[workers.default]
concurrency = {concurrency}
drain = "5s"
env = {{ ROUND = "{round}" }}

[workers.other]
queues = ["other"]
concurrency = 3
drain = "5s"

""" + "".join(
    f'[schedules.s{number}]\ntask = "tick"\nargs = [{number}]\nevery = "500ms"\n'
    'catchup = "all"\noverlap = "allow"\n'
    for number in range(SCHEDULES)
)

TICK = """

async def tick(number): ...
"""

BROKEN: tuple[Callable[[str], str], ...] = (
    lambda text: text[: len(text) // 2],
    lambda text: "",
    lambda text: text.replace("concurrency", "concurency"),
    lambda text: text.replace('"5s"', '"5 parsecs"'),
    lambda text: text.replace("[tasks.note]", "[tasks.note"),
    lambda text: text.replace("work:note", "work:missing"),
)


def in_place(file: Path, text: str) -> None:
    file.write_text(text)


def by_rename(file: Path, text: str) -> None:
    beside = file.with_name(".docket.toml.swp")
    beside.write_text(text)
    beside.replace(file)


def by_removing(file: Path, text: str) -> None:
    file.unlink()
    file.write_text(text)


def in_two_parts(file: Path, text: str) -> None:
    with file.open("w") as opened:
        opened.write(text[:200])
        opened.flush()
        time.sleep(0.01)
        opened.write(text[200:])


STYLES = (in_place, by_rename, by_removing, in_two_parts)


@pytest.mark.timeout(300)
async def test_a_hundred_edits_of_which_half_are_broken_do_no_harm(supervised: Supervised) -> None:
    work = supervised.directory / "work.py"
    work.write_text(work.read_text() + TICK)
    supervised.file.write_text(TEXT.format(concurrency=5, round=0))
    supervised.start()
    added: list[int] = []
    stop = asyncio.Event()

    async def named(number: int) -> None: ...

    async with Docket("supervised", supervised.url) as docket:
        docket.register(named, ["note", "other"])

        async def keep_adding() -> None:
            for number in itertools.count():
                if stop.is_set():
                    return
                await docket.add("note" if number % 2 else "other")(number)
                added.append(number)
                await asyncio.sleep(0.005)

        adding = asyncio.create_task(keep_adding())
        last = await _edit_again_and_again(supervised.file)
        stop.set()
        await adding
        until(lambda: len(set(supervised.ledger("note"))) == len(added), "the end of all work", 100)
        await _until_applied(docket, last)

        assert sorted(supervised.ledger("note")) == added
        history = await docket.storage.configurations.history("supervised")
        assert len(history) > 5
        assert [one.number for one in history] == sorted(
            (one.number for one in history), reverse=True
        )
        assert {one.entry.why for one in history} <= {"applied", "started"}
        await _every_tick_has_one_run(docket)
    assert "Traceback" not in supervised.log
    assert supervised.page("/readyz")[0] == 200


async def _edit_again_and_again(file: Path) -> int:
    """Save a hundred times; tells the concurrency of the last file, which is a good one."""
    dice = random.Random(36)
    concurrency = 5
    for edit in range(EDITS):
        text = TEXT.format(concurrency=concurrency, round=edit // 25)
        if edit % 2 == 0 and edit < EDITS - 1:
            text = BROKEN[edit // 2 % len(BROKEN)](text)
        else:
            concurrency += 1
            text = TEXT.format(concurrency=concurrency, round=edit // 25)
        dice.choice(STYLES)(file, text)
        await asyncio.sleep(dice.uniform(0.2, 1.8) * PACE)
    return concurrency


async def _until_applied(docket: Docket, concurrency: int) -> Revision:
    deadline = time.monotonic() + 100
    while True:
        current = await docket.storage.configurations.current("supervised")
        assert current is not None
        if f"workers.default.concurrency = {concurrency}" in current.entry.text:
            return current
        assert time.monotonic() < deadline, current
        await asyncio.sleep(0.05)


async def _every_tick_has_one_run(docket: Docket) -> None:
    known = await docket.storage.schedules.known()
    assert len(known) == SCHEDULES
    for one in known:
        assert not one.skipped, one
        outcomes = await docket.storage.schedules.outcomes(f"{one.owner}/{one.name}")
        assert {outcome.word for outcome in outcomes} == {"fired"}
        due = [_moment(outcome.key) for outcome in outcomes]
        assert Counter(due).most_common(1)[0][1] == 1
        steps = {earlier - later for earlier, later in itertools.pairwise(due)}
        assert steps == {timedelta(milliseconds=500)}, one.name


def _moment(key: str) -> datetime:
    return datetime.fromisoformat(key.partition("@")[2].replace("Z", "+00:00"))
