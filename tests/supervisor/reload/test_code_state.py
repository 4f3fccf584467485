"""The code that processes have imported, beside what the files hold now."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from docket.discovery.fingerprint import Code, digest_of
from docket.supervisor.conditions import Conditions
from docket.supervisor.processes.process import ProcessState
from docket.supervisor.reload.code_state import CodeState


class Fleet:
    """Pools whose processes have imported what is in a directory at that moment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pools: dict[str, Any] = {}
        self.conditions = Conditions()
        self.code = CodeState(self.pools, self.conditions)

    def add(self, pool: str, pid: int, state: ProcessState = ProcessState.READY) -> None:
        """Have a process that has just started."""
        files = sorted(self.directory.rglob("*.py"))
        code = Code(
            {file.stem: (str(file.relative_to(self.directory)), digest_of(file)) for file in files}
        )
        desired = SimpleNamespace(place=str(self.directory))
        self.pools.setdefault(pool, SimpleNamespace(name=pool, desired=desired, processes=[]))
        self.pools[pool].processes.append(SimpleNamespace(pid=pid, state=state, code=code))

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        file = self.directory / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    @property
    def told(self) -> tuple[bool, str, str]:
        """How the condition stands."""
        found = self.conditions["OldCode"]
        return found.status, found.reason, found.message


def test_processes_are_behind_that_have_imported_something_else(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    for name in ("a.py", "b.py", "c.py", "shop/d.py"):
        fleet.write(name, "one")
    fleet.add("first", 1)
    fleet.add("second", 2)
    fleet.add("second", 3, ProcessState.DRAINING)
    assert fleet.code.look().pids == frozenset()
    assert fleet.code.directories() == {tmp_path, tmp_path / "shop"}

    fleet.write("a.py", "other")
    fleet.add("first", 4)
    behind = fleet.code.look()
    assert (behind.processes, sorted(behind.pids)) == (3, [1, 2])
    assert (behind.pools, behind.files) == (("first", "second"), ("a.py",))
    assert fleet.told == (
        True,
        "Changed",
        "2 of 3 processes run older code than a.py: docket restart",
    )
    for name in ("b.py", "c.py"):
        fleet.write(name, "other")
    (tmp_path / "shop" / "d.py").unlink()
    assert fleet.code.look().describe() == (
        "3 of 3 processes run older code than a.py, b.py, c.py and 1 more"
    )
    fleet.code.follows = True
    fleet.code.look()
    assert fleet.told[2].endswith("and 1 more: it is followed soon")
    fleet.code.trouble = "no module named x"
    fleet.code.look()
    assert fleet.told[1] == "Rejected"
    assert fleet.told[2].endswith("and 1 more, which cannot be run: no module named x")
    # Taken back is as good as mended.
    for name in ("a.py", "b.py", "c.py", "shop/d.py"):
        fleet.write(name, "one")
    fleet.pools["first"].processes.pop()
    assert fleet.code.look().describe() == ""
    assert (fleet.told, fleet.code.trouble) == ((False, "", ""), "")


def test_code_is_looked_for_where_a_link_leads_now(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "1")
    fleet.write("a.py", "one")
    fleet.add("first", 1)
    fleet.directory = tmp_path / "2"
    fleet.write("a.py", "one")
    fleet.pools["first"].desired.place = str(fleet.directory)
    assert fleet.code.look().pids == frozenset()
    fleet.write("a.py", "two")
    assert fleet.code.look().pids == {1}


def test_a_module_that_was_missing_and_comes_is_a_change_beside_the_code(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.write("shop/a.py", "one")
    fleet.add("first", 1)
    for name in (".venv/x.py", "notes.txt"):
        fleet.write(name, "one")
    assert fleet.code.read().neighbours == frozenset()
    fleet.write("shop/a.py", "import prices")
    before = fleet.code.read()
    assert {Path(name).name for name, _, _ in before.neighbours} == {"a.py"}
    fleet.write("prices/__init__.py", "")
    after = fleet.code.read()
    assert (after.content, after.stats) == (before.content, before.stats)
    assert after.neighbours != before.neighbours
    fleet.pools["first"].desired.place = str(tmp_path / "nowhere")
    gone = fleet.code.read()
    assert (gone.stats, gone.neighbours) == (frozenset(), frozenset())
