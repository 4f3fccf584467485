"""docs/on-call.md: each incident is found and mended by the commands of the page, beside other faults."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
import subprocess
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from docket import Docket, ExecutionState, Worker
from docket.config.load import parse
from docket.schedules.desired import desired_schedules
from docket.schedules.reconciler import reconcile
from tests.fleet.binaries import valkey_9
from tests.fleet.process import ServerProcess

from .conftest import PROGRAM as DIRECTORY
from .conftest import Shell
from .program import oncall
from .supervised import Desk, desk, supervised

__all__ = ["desk", "supervised"]

pytestmark = pytest.mark.fleet

PAGE = Path(__file__).parents[2] / "docs" / "on-call.md"
SECTION = re.compile(r"^## (\d+)\. .*?\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAM = str(DIRECTORY)
T = TypeVar("T")


def commands(number: int) -> list[list[str]]:
    """The commands of an incident, as the page has them."""
    (section,) = (
        text for found, text in SECTION.findall(PAGE.read_text("utf-8")) if int(found) == number
    )
    (block,) = BLOCK.findall(section)
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert len(lines) <= 5, "no more than five commands"
    return [words for _, *words in lines]


class Incident:
    """An incident in a docket where three other things are wrong as well.

    Arguments:
        shell: the terminal of the person on call.
    """

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.said: list[str] = []

    def break_(self, *names: str) -> None:
        """Break what has these names; without any, everything works again."""
        Path("broken").write_text(" ".join(names))

    def visit(self, work: Callable[[Docket], Awaitable[T]], *tasks: str) -> T:
        """Do something in the docket, with the code of some tasks, or of all."""

        async def visiting() -> T:
            async with Docket(self.shell.name, self.shell.url) as docket:
                for task in oncall.tasks:
                    if not tasks or task.__name__ in tasks:
                        docket.register(task)
                return await work(docket)

        return asyncio.run(visiting())

    def add(self, task: str, *arguments: str, key: str, queue: str = "default") -> None:
        async def add(docket: Docket) -> None:
            await docket.add(task, key=key, queue=queue)(*arguments)

        self.visit(add)

    def work(self, *tasks: str, queue: str = "default") -> None:
        """Run what is there, with the code of some tasks, or of all."""

        async def working(docket: Docket) -> None:
            async with Worker(docket, queues=[queue]) as worker:
                await worker.run_until_finished()

        self.visit(working, *tasks)

    @contextmanager
    def serving(self, *words: str) -> Generator[None, None, None]:
        """Have a worker of its own, until it has ended."""
        process = self.shell.start("worker", "--tasks", "oncall:tasks", *words, PYTHONPATH=PROGRAM)
        try:
            self.until(lambda: bool(self.visit(lambda docket: docket.workers())), process)
            yield
        finally:
            process.terminate()
            process.communicate(timeout=60)

    def until(self, condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        """Wait for something that a worker brings about."""
        while not condition():
            assert process.poll() is None, "the worker lives"

    def distract(self) -> None:
        """Bring about other faults: a dead letter, parked work and a paused queue."""
        self.break_("tidy")
        self.add("tidy", key="untidy")
        self.work()
        self.shell.prints("strike", "greet", "--park", "--reason", "INC-0")
        self.add("greet", "Jane", key="struck")
        self.shell.prints("queue", "pause", "mail", "--reason", "INC-0")
        self.add("charge", "0", "zoe", key="mailed", queue="mail")
        self.break_()

    def follow(self, number: int, **before: Callable[[], object]) -> list[str]:
        """Type what the page says; something may happen before a command, as ``dead_retry``."""
        said: list[str] = []
        listed = ""
        for words in commands(number):
            before.get("_".join(words[:2]), lambda: None)()
            key = listed.splitlines()[1].split()[0] if "KEY" in words else ""
            result = self.shell.type(*(key if word == "KEY" else word for word in words))
            assert result.exit_code in (0, 1), (words, result.output)
            listed = result.stdout if words[1:2] == ["ls"] else listed
            said.append(result.output)
        return said

    def state(self, key: str) -> ExecutionState | None:
        async def look(docket: Docket) -> ExecutionState | None:
            execution = await docket.get_execution(key)
            return execution and execution.state

        return self.visit(look)


@pytest.fixture
def incident(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Incident:
    monkeypatch.chdir(tmp_path)
    incident = Incident(shell)
    incident.distract()
    return incident


def test_there_are_twelve() -> None:
    assert [int(number) for number, _ in SECTION.findall(PAGE.read_text("utf-8"))] == [
        *range(1, 13)
    ]


def test_one_customer_s_tasks_fail(incident: Incident) -> None:
    incident.break_("acme")
    for number, customer in enumerate(["acme", "bob", "acme", "cleo"]):
        incident.add("charge", str(number), customer, key=f"order-{number}")
    incident.work()

    stats, listed, why, told = incident.follow(1, dead_retry=incident.break_)

    assert "charge" in stats
    assert listed.count("CardUnknown") == 2
    assert "bob" not in listed
    assert "CardUnknown: order" in why
    assert "Retried 2 dead letters\n" in told
    incident.work()
    assert incident.state("order-0") is incident.state("order-2") is ExecutionState.COMPLETED
    assert incident.state("untidy") is ExecutionState.FAILED


def test_a_task_kills_its_process(incident: Incident) -> None:
    incident.break_("resize")
    incident.add("resize", "big.png", key="picture")
    words = (
        "worker",
        "--tasks",
        "oncall:tasks",
        "--redelivery-timeout",
        "300ms",
        "--until-finished",
    )
    while incident.state("picture") is not ExecutionState.FAILED:
        assert incident.shell.program(*words, PYTHONPATH=PROGRAM).returncode in (0, -signal.SIGKILL)

    _, shown, *_ = incident.follow(2, restore_resize=incident.break_)

    assert "3 of them while they ran nothing else" in shown
    incident.work()
    assert incident.state("picture") is ExecutionState.COMPLETED


def test_a_run_hangs(incident: Incident) -> None:
    incident.add("wait_for_partner", "f", key="hanging")
    with incident.serving():
        while incident.state("hanging") is not ExecutionState.RUNNING:
            continue

        listed, why, stack, told = incident.follow(3)

        assert "hanging" in listed
        assert "It has been running on worker" in why
        assert "in wait_for_partner: await asyncio.Event().wait()" in stack
        assert "hanging" in told
        while incident.state("hanging") is not ExecutionState.CANCELLED:
            continue


def test_a_queue_grows(incident: Incident) -> None:
    for number in range(20):
        incident.add("report", str(number), key=f"report-{number}", queue="bulk")

    listed, _, why, *_ = incident.follow(4)

    assert re.search(r"bulk +20", listed)
    assert "No worker lives that could run it" in why
    incident.work(queue="bulk")
    assert incident.state("report-19") is ExecutionState.COMPLETED


def test_nobody_serves_a_queue(incident: Incident) -> None:
    incident.add("report", "r", key="unserved", queue="reports")
    with incident.serving():
        findings, _, why = incident.follow(5)

    assert re.search(r"no worker serves (mail, )?reports", findings)
    assert "No living worker serves its queue reports." in why
    incident.work(queue="reports")
    assert incident.state("unserved") is ExecutionState.COMPLETED


def test_a_schedule_does_not_run(incident: Incident) -> None:
    text = '[tasks.tidy]\nfunction = "oncall:tidy"\n[schedules.nightly]\ntask = "tidy"\ncron = "30 2 * * *"\n'
    desired = desired_schedules(parse(text).configuration)
    incident.visit(lambda docket: reconcile(docket.storage.schedules, "ours", desired))
    incident.shell.prints("schedule", "pause", "nightly", "--author", "ann", "--reason", "INC-0")

    listed, why, resumed, key = incident.follow(6)

    assert "nightly" in listed
    assert "ann has paused it" in why
    assert "INC-0" in why
    assert "nightly" in resumed
    incident.work()
    assert incident.state(key.split()[-1]) is ExecutionState.COMPLETED


def test_a_deploy_has_removed_a_task(incident: Incident) -> None:
    incident.add("charge", "1", "bob", key="orphan")
    incident.work("report")

    _, listed, why, _ = incident.follow(7)

    assert "orphan" in listed
    assert "It is parked: no worker that took it knows its task charge." in why
    incident.work()
    assert incident.state("orphan") is ExecutionState.COMPLETED


def test_redis_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ServerProcess(valkey_9(), tmp_path / "server") as server:
        shell = Shell(server.url, "full")
        monkeypatch.setenv("DOCKET_URL", shell.url)
        monkeypatch.setenv("DOCKET_NAME", shell.name)
        incident = Incident(shell)
        incident.distract()
        for number in range(3):
            incident.add("resize", "x" * 100_000, key=f"waste-{number}", queue="bulk")
        incident.add("report", "r", key="report")
        server.call("CONFIG", "SET", "maxmemory", "1mb")

        findings, _, told = incident.follow(9)

        assert re.search(r"memory +problem +full: ", findings)
        assert "3" in told
        server.call("CONFIG", "SET", "maxmemory", "100mb")
        incident.work()
        assert incident.state("report") is ExecutionState.COMPLETED
        assert incident.state("waste-0") is ExecutionState.CANCELLED


def test_fifty_are_run_again_for_another_customer_ten_a_second(incident: Incident) -> None:
    incident.break_("acme")

    async def add(docket: Docket) -> None:
        await docket.add_many(
            docket.call(oncall.charge, key=f"fifty-{number}")(str(number), "acme")
            for number in range(50)
        )

    incident.visit(add)
    incident.work()

    with incident.serving():
        listed, dry, told, _ = incident.follow(11)
    assert listed.count("CardUnknown") == 50
    assert dry.startswith("Would retry 50 dead letters")
    assert "Retried 50 dead letters\n" in told
    incident.work()
    assert incident.shell.prints(*commands(11)[-1], "--limit", "60").count("charge ") == 50
    assert incident.state("fifty-49") is ExecutionState.COMPLETED


def test_what_ran_for_a_customer(incident: Incident) -> None:
    for number, customer in enumerate(["acme", "bob", "acme"]):
        incident.add("charge", str(number), customer, key=f"order-{number}")
    incident.work()

    listed, lines = incident.follow(12)

    assert "order-0" in listed
    assert "order-2" in listed
    assert "order-1" not in listed
    keys = {json.loads(line)["key"] for line in lines.splitlines() if line.startswith("{")}
    assert keys == {"order-0", "order-2"}


class TestBesideASupervisor:
    """Incidents of a supervisor."""

    def test_a_wrong_configuration_was_pushed(self, desk: Desk) -> None:
        desk.write("concurrency = 5", "concurrency = 1")
        desk.prints("reload", "--wait")

        listed, differs, told = (desk.prints(*words) for words in commands(10))

        assert "applied" in listed
        assert "workers.default.concurrency: 5 → 1" in differs
        assert "3" in told
        assert "concurrency" not in desk.prints("config", "diff", "1", "3")

    def test_a_process_grows(self, desk: Desk) -> None:
        before, restarted, after = commands(8)
        old = working(desk)

        shown = desk.prints(*before)
        desk.prints(*restarted)

        assert "MiB" in shown
        assert all(f" {process} " in shown for process in old)
        assert old.isdisjoint(working(desk))
        assert all(f" {process} " in desk.prints(*after) for process in working(desk))


def working(desk: Desk) -> set[int]:
    """The ids of the processes that take work: others may still end what they run."""
    found = json.loads(desk.prints("status", "-o", "json"))["item"]
    return {
        process["pid"]
        for pool in found["pools"]
        for process in pool["processes"]
        if process["state"] == "ready"
    }
