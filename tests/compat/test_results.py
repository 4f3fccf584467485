"""Results, as programs written for pydocket look for them."""

from __future__ import annotations

import base64
import pickle
from datetime import timedelta
from typing import Any

import pytest

from docket import Docket, Worker


async def give() -> int:
    return 3


async def give_nothing() -> None: ...


async def fail() -> None:
    raise ValueError("no good")


async def result_key_of(docket: Docket, task: Any) -> str | None:
    """The key of the result of one run."""
    async with Worker(docket) as worker:
        execution = await docket.add(task, key="key")()
        await worker.run_until_finished()
        await execution.sync()
    return execution.result_key


def unpacked(entry: Any) -> Any:
    return pickle.loads(base64.b64decode(entry["data"]))


async def test_the_storage_of_results_is_there_without_being_given(docket: Docket) -> None:
    key = await result_key_of(docket, give)

    assert key == "key:1"
    entry, left = await docket.result_storage.ttl(key)  # type: ignore[attr-defined]
    assert unpacked(entry) == 3
    assert 0 < left <= docket.execution_ttl.total_seconds()


async def test_an_error_is_kept_there_as_well(here: Docket) -> None:
    key = await result_key_of(here, fail)

    assert key == "key:1"
    error = unpacked(await here.result_storage.get(key))
    assert (type(error), str(error)) == (ValueError, "no good")


async def test_what_was_deleted_is_no_result_any_more(here: Docket) -> None:
    storage: Any = here.result_storage
    key = await result_key_of(here, give)

    assert await storage.delete(key)
    execution = await here.get_execution("key")
    assert execution is not None
    assert execution.result_key is None
    assert await execution.get_result() is None
    assert await storage.get(key) is None
    assert not await storage.delete(key)


@pytest.mark.parametrize("kept_for", [timedelta(minutes=1), timedelta()])
async def test_nothing_has_no_key_and_neither_has_what_is_not_kept(
    name: str, kept_for: timedelta
) -> None:
    async with Docket(name, "memory://compat", execution_ttl=kept_for) as docket:
        assert await result_key_of(docket, give_nothing) is None
        assert await result_key_of(docket, give) == ("key:2" if kept_for else None)


async def test_whoever_has_waited_for_a_result_knows_its_key(here: Docket) -> None:
    execution = await here.add(give, key="key")()
    async with Worker(here) as worker:
        await worker.run_until_finished()

    assert await execution.get_result() == 3
    assert execution.result_key == "key:1"


async def test_programs_keep_values_of_their_own_there(docket: Docket) -> None:
    storage: Any = docket.result_storage
    await storage.setup()
    await storage.put("theirs", {"a": 1})
    await storage.put("soon gone", {"a": 2}, collection="other", ttl=60)
    await storage.put_many(["x", "y"], [{"a": 3}, {"a": 4}], ttl=60)

    assert await storage.ttl("theirs") == ({"a": 1}, None)
    value, left = (await storage.ttl_many(["soon gone"], collection="other"))[0]
    assert value == {"a": 2}
    assert 0 < left <= 60
    assert await storage.get_many(["x", "y", "nobody's"]) == [{"a": 3}, {"a": 4}, None]
    assert await storage.get("soon gone") is None
    assert await storage.delete_many(["x", "y", "nobody's"]) == 2
    assert await storage.get("x") is None
