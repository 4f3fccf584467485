"""The audit is listed the latest first, by author, id and time, a page at a time."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from docket import Docket
from docket.errors import InvalidOption
from docket.insights import AuditPage


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://audit-pages") as docket:
        for number, author in enumerate(("ann", "bob", "ann", "bob", "ann")):
            await docket.operations.pause_queues(f"q{number}", author=author)
        yield docket


def queues(page: AuditPage) -> list[str]:
    return [queue for entry in page.entries for queue in entry.record.about["queues"]]


async def test_deeds_are_listed_a_page_at_a_time(docket: Docket) -> None:
    first = await docket.insights.audit(limit=2)
    second = await docket.insights.audit(limit=2, cursor=first.cursor)
    last = await docket.insights.audit(limit=2, cursor=second.cursor)

    assert [queues(page) for page in (first, second, last)] == [["q4", "q3"], ["q2", "q1"], ["q0"]]
    assert last.cursor == ""
    assert first.since == last.entries[0].at


async def test_deeds_are_found_by_author_id_and_time(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.insights.audit.SLICE", 2)
    whole = (await docket.insights.audit()).entries

    assert queues(await docket.insights.audit(author="ann")) == ["q4", "q2", "q0"]
    page = await docket.insights.audit(author="ann", limit=1)
    assert queues(await docket.insights.audit(author="ann", cursor=page.cursor)) == ["q2", "q0"]
    assert queues(await docket.insights.audit(deed=whole[1].record.deed)) == ["q3"]
    moment, more = whole[2].at, timedelta(milliseconds=1)
    since, until = (
        queues(await docket.insights.audit(since=moment)),
        queues(await docket.insights.audit(until=moment + more)),
    )
    assert {*since, *until} == {f"q{number}" for number in range(5)}
    assert "q2" in since
    assert "q2" in until
    assert await docket.insights.audit(author="nobody") == AuditPage([], "", whole[-1].at)


async def test_no_cursor_of_the_audit_is_refused(docket: Docket) -> None:
    with pytest.raises(
        InvalidOption, match="expected the cursor that a page of the audit has given"
    ):
        await docket.insights.audit(cursor="1-0,2-0")
