"""The control socket follows the links that lead to the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from docket.supervisor.control import listening
from docket.supervisor.control.client import NobodyAnswers, ask, place_of
from docket.supervisor.control.listening import Listening
from docket.supervisor.control.server import Control

from ..inside import until


async def hello(_: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"said": "hello"}


async def test_a_swapped_link_takes_the_socket_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(listening, "LOOK_EVERY", 0.01)
    current = tmp_path / "current"

    def lead_to(number: int) -> None:
        (tmp_path / str(number)).mkdir(exist_ok=True)
        current.unlink(missing_ok=True)
        current.symlink_to(tmp_path / str(number))

    def place() -> Path:
        return place_of("c.sock", current / "docket.toml")

    async def said() -> str:
        return (await asyncio.to_thread(ask, place(), "hello"))["said"]

    lead_to(1)
    line = Listening(place, {"hello": hello})
    await line.open()
    assert await said() == "hello"
    await line.start()
    for number in (2, 3):
        lead_to(number)
        await until((tmp_path / str(number) / "c.sock").exists, "the move")
        assert await said() == "hello"
    # Requests at the place before are still answered, those at the one before that are not.
    assert (tmp_path / "2" / "c.sock").exists()
    assert not (tmp_path / "1" / "c.sock").exists()

    lead_to(4)
    await until((tmp_path / "4" / "c.sock").exists, "the move")
    other = Control(tmp_path / "5" / "c.sock", {"hello": hello})
    await other.start()
    lead_to(5)
    await until(lambda: "reach this supervisor no longer" in caplog.text, "the warning")
    await line.stop()
    await line.close()
    await other.stop()
    for number in (3, 4, 5):
        with pytest.raises(NobodyAnswers):
            ask(tmp_path / str(number) / "c.sock", "hello")
