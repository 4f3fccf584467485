"""Each change of a supervisor is written to the audit, with the one who has asked for it."""

from __future__ import annotations

import os
import pwd
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from docket import Docket
from docket.operations.audit import SUPERVISOR, Audit
from docket.storage.audit import DeedRecord
from docket.supervisor.reload.deeds import Asker, SupervisorDeeds
from docket.supervisor.reload.reloader import ReloadOutcome, Result


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://supervisor-deeds") as docket:
        yield docket


def at(docket: Docket, file: Path) -> SupervisorDeeds:
    return SupervisorDeeds(Audit(docket.storage.audit, SUPERVISOR), file)


async def records(docket: Docket) -> list[DeedRecord]:
    return [entry.record for entry in reversed((await docket.insights.audit()).entries)]


def ending(found: Any) -> Callable[[], Awaitable[Any]]:
    async def change() -> Any:
        return found

    return change


def outcome(result: Result) -> ReloadOutcome:
    return ReloadOutcome(result, 7, "", ("workers.default.env.TOKEN: x → y (rolls)",))


async def test_what_was_asked_for_has_an_entry_in_any_case(docket: Docket, tmp_path: Path) -> None:
    deeds, ann = at(docket, tmp_path), Asker("ann", "INC-7", "command line")

    await deeds.asked("rollback", ann, ending(outcome("applied")), to=3)
    await deeds.asked("reload", Asker(), ending(outcome("unchanged")))
    await deeds.asked("apply", Asker(), ending(outcome("refused")))
    await deeds.asked("scale", Asker(), ending({"default": 2}), by=1)

    back, reload, apply, scale = await records(docket)
    assert (back.verb, back.author, back.reason, back.source, back.done) == (
        *("rollback", "ann", "INC-7", "command line", 1),
    )
    # The value may be a secret, or an argument.
    assert back.about == {
        "to": 3,
        "revision": 7,
        "result": "applied",
        "changes": ["workers.default.env.TOKEN"],
    }
    assert (reload.source, reload.done) == ("supervisor", 1)
    assert (apply.done, dict(apply.refused)) == (0, {"refused": 1})
    assert (scale.done, scale.about) == (1, {"by": 1, "processes": {"default": 2}})


async def test_what_was_noticed_has_an_entry_if_something_came_of_it(
    docket: Docket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "docket.toml"
    file.touch()
    deeds = at(docket, file)

    for result in ("unchanged", "invalid", "failed"):
        await deeds.noticed("reload", ending(outcome(result)))
    assert await records(docket) == []
    await deeds.noticed("reload", ending(outcome("applied")))
    await deeds.noticed("rollback", ending(outcome("rolled_back")), "pool default crashes")
    uid = os.getuid()
    name = pwd.getpwuid(uid).pw_name
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    await deeds.noticed("reload", ending(outcome("applied")))
    file.unlink()
    await deeds.noticed("reload", ending(outcome("applied")))

    reload, back, numbered, gone = await records(docket)
    assert reload.author == name
    assert reload.about["file"] == str(file)
    assert (back.author, back.reason, back.done) == ("", "pool default crashes", 0)
    assert (numbered.author, gone.author) == (f"uid {uid}", "")
