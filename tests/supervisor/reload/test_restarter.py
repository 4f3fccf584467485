"""New code while work goes on: asked for, saved, and deployed by a link; and code that cannot be run."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from docket.config.checking.problems import Problem
from docket.config.load import parse
from docket.errors import ServerUnavailable
from docket.supervisor.conditions import Conditions
from docket.supervisor.processes.process import Rejected
from docket.supervisor.reload.code_state import CodeState
from docket.supervisor.reload.reloader import ChangeRefused
from docket.supervisor.reload.restarter import Restarter
from tests.cli.supervised import typed
from tests.supervisor.conftest import Supervised, until
from tests.supervisor.reload.test_reload import produce

CODE = """
import os
from pathlib import Path

from wording import say


async def note(number, customer=None):
    with open({ledger!r}, "a") as ledger:
        ledger.write(f"{{say()}} {{number}} {{os.getpid()}}\\n")
"""

WORDING = "def say():\n    return {word!r}\n"

CONFIGURATION = """
name = "supervised"
url = {url!r}

[supervisor]
listen = "127.0.0.1:0"

[supervisor.reload]
settle = "100ms"
min_interval = "200ms"

[tasks.note]
function = "work:note"

[workers.default]
processes = 2
drain = "1m"
"""


class Deployed(Supervised):
    """A supervisor that knows its directory by a link."""

    def __init__(self, directory: Path) -> None:
        self.current, self.notes = directory / "current", directory / "notes"
        first = directory / "releases" / "1"
        first.mkdir(parents=True)
        super().__init__(first)
        self.server = directory / ".docket"
        self.file.write_text(CONFIGURATION.format(url=self.url))
        (first / "work.py").write_text(CODE.format(ledger=str(self.notes)))
        self.write("one")
        self.current.symlink_to(first)
        self.file = self.current / "docket.toml"

    @property
    def url(self) -> str:
        return f"embedded://{self.server}"

    def write(self, word: str, release: str = "1") -> None:
        """Have the code say another word, in a module that the task's own imports."""
        place = self.directory.parent / release / "wording.py"
        place.write_text(WORDING.format(word=word))

    def deploy(self, word: str) -> None:
        """Lay a release beside the other one, and have the link lead there."""
        shutil.copytree(
            self.directory, self.directory.parent / "2", ignore=shutil.ignore_patterns(".docket")
        )
        self.write(word, "2")
        fresh = self.current.with_name("next")
        fresh.symlink_to(self.directory.parent / "2")
        fresh.rename(self.current)

    def noted(self) -> list[list[str]]:
        """Word, number and process of everything that was run."""
        text = self.notes.read_text() if self.notes.exists() else ""
        return [line.split() for line in text.splitlines()]

    def takes_over(self, word: str) -> None:
        """Wait until the code that says a word runs, and that before it is gone."""
        until(lambda: any(said == word for said, *_ in self.noted()), f"{word} being said")
        old = {int(pid) for said, _, pid in self.noted() if said != word}
        until(lambda: not any(map(_lives, old)), "the end of the old processes")

    def stands(self) -> dict[str, Any]:
        """How it says it stands, asked by the path through the link."""
        asked = typed("status", "-o", "json", "--config", str(self.file))
        assert asked.exit_code == 0, asked.output
        return json.loads(asked.stdout)["item"]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Deployed]:
    deployed = Deployed(tmp_path)
    yield deployed
    deployed.directory = tmp_path  # where its server is
    deployed.clean_up()


@pytest.mark.fleet
async def test_new_code_takes_over_while_work_goes_on_and_nothing_is_lost_or_refused(
    deployed: Deployed,
) -> None:
    deployed.start()
    stop = asyncio.Event()
    producing = asyncio.create_task(produce(deployed.url, stop))

    await asyncio.to_thread(change_everything, deployed)

    stop.set()
    count = await producing
    await asyncio.to_thread(until, lambda: len(deployed.noted()) >= count, "all the work")
    deployed.signal(signal.SIGTERM)
    assert await asyncio.to_thread(deployed.wait) == 0
    assert sorted(int(number) for _, number, _ in deployed.noted()) == list(range(count))


def change_everything(deployed: Deployed) -> None:
    deployed.takes_over("one")
    deployed.write("two")
    (pool,) = deployed.stands()["pools"]
    assert [one["is_behind"] for one in pool["processes"]] == [True, True]
    shown = typed("status", "--config", str(deployed.file)).stdout
    assert "2 of 2 processes run older code: `docket restart`" in shown
    asked = typed("restart", "default", "--wait", "--config", str(deployed.file))
    assert (asked.exit_code, asked.stdout.splitlines()[0]) == (0, "pool default: 2 new processes")
    deployed.takes_over("two")

    deployed.edit(("[supervisor.reload]", "[supervisor.reload]\nfollow_code = true"))
    deployed.until_logged("supervisor.reload.follow_code: false → true (live)")
    deployed.write("three")
    deployed.until_logged("Code has changed: wording.py")
    deployed.takes_over("three")

    # The module that is missing is no file that any process has imported.
    work = deployed.directory / "work.py"
    text = work.read_text()
    work.write_text(f"import missing\n{text}")
    deployed.until_logged("The code does not fit, what runs goes on:")
    until(lambda: deployed.stands()["code"]["behind"] == 2, "its being told")
    (told,) = [one for one in deployed.stands()["conditions"] if one["name"] == "OldCode"]
    assert (told["status"], told["reason"]) == (True, "Rejected")
    assert "No module named 'missing'" in told["message"]
    deployed.write("four")
    (deployed.directory / "missing.py").write_text("")
    deployed.takes_over("four")

    deployed.deploy("five")
    deployed.takes_over("five")
    until(lambda: deployed.stands()["code"]["behind"] == 0, "its being told, at the new place")


NOTE = '[tasks.note]\nfunction = "work:note"\n[workers.default]\n[workers.other]\n'


class Bench:
    """A restarter among parts that do as they are told."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.problems: tuple[Problem, ...] = ()
        self.failures: dict[str, Exception] = {}
        self.conditions = Conditions()
        pools: Any = {name: SimpleNamespace(name=name, ready=1) for name in ("default", "other")}
        self.pools = pools
        self.fleet: Any = SimpleNamespace(pools=pools)
        self.code = CodeState({}, self.conditions)
        self.reloader: Any = SimpleNamespace(
            under_way=asyncio.Lock(),
            revision=3,
            configuration=parse(NOTE).configuration,
            probe_anew=self.probe_anew,
            applier=self,
        )
        self.restarter = Restarter(self.reloader, self.fleet, self.conditions, self.code)

    async def probe_anew(self) -> tuple[Problem, ...]:
        return self.problems

    async def stage(self, _: object, plan: Any, revision: int) -> Any:
        self._do("stage", plan, revision)
        return SimpleNamespace(canaries={"default": None})

    async def roll(self, _: object, plan: Any, revision: int, __: object) -> None:
        self._do("roll", plan, revision)

    async def unstage(self, staged: Any) -> None:
        self.done.append(f"unstage {', '.join(staged.canaries)}")

    def _do(self, word: str, plan: Any, revision: int) -> None:
        self.done.append(f"{word} {', '.join(one.name for one in plan.actions)} at {revision}")
        if word in self.failures:
            raise self.failures[word]


async def test_all_canaries_come_before_any_roll_and_a_pool_that_has_left_is_left_out() -> None:
    bench = Bench()
    pools = bench.restarter.accept(())
    del bench.pools["other"]
    outcome = await bench.restarter.carry_out(pools)

    assert (outcome.result, outcome.revision) == ("restarted", 3)
    assert outcome.changes == ("pool default: 1 new processes",)
    assert bench.done == ["stage default at 3", "roll default at 3"]
    assert not bench.conditions["Progressing"].status


async def test_one_restart_at_a_time_and_after_a_reload() -> None:
    bench = Bench()
    await bench.reloader.under_way.acquire()
    first = asyncio.create_task(bench.restarter.restart(["other"]))
    await asyncio.sleep(0)
    assert (bench.restarter.is_busy, bench.done) == (True, [])
    with pytest.raises(
        ChangeRefused, match="a restart of other is under way: docket status says how"
    ):
        bench.restarter.accept(())
    bench.reloader.under_way.release()
    assert (await first).result == "restarted"
    assert not bench.restarter.is_busy
    assert bench.restarter.why_not(["x", "other"]) == (
        "no pool x runs on this host; there is default, other"
    )
    bench.pools.clear()
    with pytest.raises(ChangeRefused, match="no pool runs on this host"):
        bench.restarter.accept(())


@pytest.mark.parametrize(
    ("failure", "at", "result", "trouble"),
    [
        (Rejected("it cannot"), "stage", "rolled_back", "it cannot"),
        (Rejected("it cannot"), "roll", "rolled_back", "it cannot"),
        (ServerUnavailable("nothing answers"), "roll", "failed", ""),
        (OSError("the disk is full"), "stage", "failed", ""),
    ],
)
async def test_what_cannot_work_is_told_and_only_the_code_is_blamed_for_its_own_faults(
    failure: Exception, at: str, result: str, trouble: str
) -> None:
    bench = Bench()
    bench.failures[at] = failure
    outcome = await bench.restarter.restart()

    assert (outcome.result, outcome.message) == (result, str(failure))
    assert bench.code.trouble == trouble
    assert bench.done[-1] == ("unstage default" if at == "roll" else "stage default, other at 3")
    assert not bench.restarter.is_busy


async def test_what_the_probe_refuses_starts_nothing() -> None:
    bench = Bench()
    bench.problems = (Problem("there is no such function"),)
    assert (await bench.restarter.restart()).result == "rolled_back"
    assert bench.done == []
