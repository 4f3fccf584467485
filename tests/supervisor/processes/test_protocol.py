"""What supervisor and worker process say to each other arrives whole, or is known to be over."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from docket.supervisor.processes.protocol import Channel


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Channel, socket.socket]]:
    """Our end of a line, and the bare other one."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    channel = await Channel.over(ours)
    with theirs:
        yield channel, theirs
    channel.close()


async def test_what_one_says_the_other_hears_in_order() -> None:
    left, right = [await Channel.over(line) for line in socket.socketpair()]

    await left.say("drain", seconds=1.5)
    await left.say("configure", revision=2, orders={"name": "ü\nü"})
    await right.say("ready", revision=2)

    assert await right.hear() == {"word": "drain", "seconds": 1.5}
    assert await right.hear() == {
        "word": "configure",
        "revision": 2,
        "orders": {"name": "ü\nü"},
    }
    assert await left.hear() == {"word": "ready", "revision": 2}
    left.close()
    assert await right.hear() is None
    right.close()


async def test_orders_of_many_megabytes_fit() -> None:
    left, right = [await Channel.over(line) for line in socket.socketpair()]
    text = "x" * (8 << 20)

    saying = asyncio.create_task(left.say("configure", orders=text))
    heard = await right.hear()
    await saying

    assert heard == {"word": "configure", "orders": text}
    left.close()
    right.close()


async def test_half_a_line_means_that_the_other_side_is_dead(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, theirs = ends
    theirs.sendall(b'{"word": "ready", "rev')
    theirs.close()

    assert await channel.hear() is None


async def test_a_line_that_is_cut_is_the_end(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    # Closing with something unread resets the line: reading then fails instead of ending.
    await channel.say("configure", revision=1)
    theirs.close()

    assert await channel.hear() is None


async def test_saying_something_to_nobody_is_not_an_error(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, theirs = ends
    theirs.close()

    for _ in range(3):
        await channel.say("drain", seconds=0)

    assert await channel.hear() is None
