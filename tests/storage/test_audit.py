"""What is damaged in the audit is read as far as it can be."""

from __future__ import annotations

import uuid
from typing import Any

from docket import Docket


async def test_damaged_entries_are_read_as_far_as_they_can_be() -> None:
    async with Docket(uuid.uuid4().hex, "memory://audit-damaged") as docket:
        async with docket.redis() as client:
            any_client: Any = client
            for told in (
                "no json",
                "[1]",
                '{"done": "x", "refused": [1], "about": {"keys": ["k"]}}',
            ):
                await any_client.xadd(
                    docket.storage.keys.audit, {"verb": "cancel", "told": told, "odd": b"\xff"}
                )
            await any_client.xadd(docket.storage.keys.audit, {"author": "ann"})

        entries = (await docket.insights.audit()).entries

    found = [(one.record.verb, one.record.done, one.record.about) for one in entries]
    assert found == [("", 0, {}), ("cancel", 0, {"keys": ["k"]}), *[("cancel", 0, {})] * 2]
    assert entries[0].record.author == "ann"
