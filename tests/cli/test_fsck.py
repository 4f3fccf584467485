"""``docket fsck``."""

from __future__ import annotations

import json

import pytest

from docket import Docket
from docket.storage.scripting.retrying import value_of

from .conftest import Shell

pytestmark = pytest.mark.fleet


def _break(shell: Shell) -> None:
    """Take an execution out of its stream, and put another thing where a record is expected."""

    async def do(docket: Docket) -> None:
        await docket.add("greet", key="order-7")("Jane")
        keys, connection = docket.storage.keys, docket.storage.connection
        for command in (("DEL", keys.stream()), ("SADD", keys.named("orphans:w:1"), "id\nodd\x1b")):
            (reply,) = await connection.send(command)
            value_of(reply)

    shell.visit(do)


def test_it_finds_what_differs_and_repairs_it(shell: Shell) -> None:
    _break(shell)

    found = shell.type("fsck")
    repaired = shell.type("fsck", "--repair", "-o", "jsonl")
    again = shell.type("fsck", "-o", "json")
    shell.work()

    assert found.exit_code == 1
    assert "message-missing  order-7  found  The execution is queued, and is in no" in found.stdout
    assert "\x1b" not in found.stdout
    assert found.stderr == (
        "1 records compared; 2 mismatches: 1 × message-missing, 1 × orphan-unlisted; "
        "--repair repairs what can be\n"
    )
    assert repaired.exit_code == 0
    by_kind = {one["kind"]: one for one in map(json.loads, repaired.stdout.splitlines())}
    assert by_kind["message-missing"] == {
        "kind": "message-missing",
        "key": "runs:order-7",
        "subject": "order-7",
        "repaired": True,
        "sentence": "The execution is queued, and is in no stream.",
        "repair": "puts it on its stream",
    }
    assert "1 records compared; 2 of 2 mismatches repaired: " in repaired.stderr
    assert again.exit_code == 0
    assert json.loads(again.stdout)["items"] == []
    assert again.stderr == "1 records compared; all agree\n"


def test_what_only_a_person_can_repair_is_left_and_long_lists_are_cut(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.operations.operations.LISTED", 1)

    async def do(docket: Docket) -> None:
        for key in ("one", "two"):
            await docket.storage.connection.send(("SET", docket.storage.keys.run(key), "mine"))

    shell.visit(do)
    left = shell.type("fsck", "--repair", "-o", "wide")

    assert left.exit_code == 1
    assert "nothing; look at the key, and delete or rename it" in left.stdout
    assert left.stderr == (
        "1 more are not listed\n"
        "2 records compared; 0 of 2 mismatches repaired: 2 × record-unreadable\n"
    )
