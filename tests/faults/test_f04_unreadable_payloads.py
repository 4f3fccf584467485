"""F04: payloads that nobody can read, or that bite, in the middle of good work.

Each is written as an intruder would: straight into the record of an execution. It ends as a dead letter
with its raw bytes and a reason, the worker process lives, and the good work around it is done. About 5 s.
"""

from __future__ import annotations

import logging
import os
import signal
import struct
from collections.abc import Callable
from typing import Any

import pytest

from docket import Docket, ExecutionState, Worker
from docket.foundation.lifecycle import DeadReason
from docket.serialization import Serializer
from docket.storage.executions import NewExecution
from docket.storage.scripting.nonces import FRESH
from tests.conformance.conftest import working

from .conftest import Start
from .ledger import Audit, Ledger, States, dead_letters, nothing_is_left_behind
from .producing import produce, until_ended

pytestmark = pytest.mark.fault


class Bites:
    """An object whose unpickling calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._reduced = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._reduced


def good_call() -> bytes:
    """What a call of ``work(0.0)`` looks like."""
    return Serializer().dump_call((0.0,), {})


HOSTILE = {
    "nothing": b"",
    "noise": os.urandom(200),
    "text": b"print('hello')",
    "truncated": good_call()[:-1],
    "first byte only": good_call()[:1],
    "trailing bytes": good_call() + b"\x00",
    "future version": b"\x7f" + good_call()[1:],
    "signed by a stranger": Serializer(signing_keys=(("other", b"secret"),)).dump_call((0.0,), {}),
    "signature cut off": b"\x80\x05other\x00" + b"\x00" * 10,
    "a result for a call": Serializer().dump_result(1),
    "deep nesting": good_call()[:1] + b"\x91" * 100_000,
    "a list of four billion": good_call()[:1] + b"\xdd" + struct.pack(">I", 0xFFFFFFFF),
    "a string of four billion": good_call()[:1] + b"\xdb" + struct.pack(">I", 0xFFFFFFFF) + b"x",
}


def biting(code: str) -> bytes:
    """A call whose argument runs this code when it is unpickled."""
    return Serializer().dump_call((Bites(exec, code),), {})


BITING = {
    "raises": biting("raise RuntimeError('bite')"),
    "exits": biting("raise SystemExit(3)"),
    "interrupts": biting("raise KeyboardInterrupt"),
    "cancels": biting("import asyncio; raise asyncio.CancelledError"),
    "ends the generator": biting("raise GeneratorExit"),
    "raises what cannot be printed": biting(
        "raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})()"
    ),
    "recurses": biting("f = lambda: f(); f.__globals__['f'] = f; f()"),
}


async def intrude(docket: Docket, ledger: Ledger, payloads: dict[str, bytes]) -> dict[str, bytes]:
    """Schedule these bytes as calls of ``work``; gives them by key."""
    by_key = {f"{docket.name}-{name}".replace(" ", "-"): data for name, data in payloads.items()}
    await docket.storage.executions.schedule(
        [NewExecution(key, FRESH, 0, "work", data) for key, data in by_key.items()]
    )
    return by_key


@pytest.mark.parametrize("payloads", [HOSTILE, BITING], ids=["unreadable", "biting"])
async def test_what_can_not_be_read_is_a_dead_letter_with_its_bytes_and_the_worker_goes_on(
    docket: Docket,
    url: str,
    ledger: Ledger,
    states: States,
    start: Start,
    payloads: dict[str, bytes],
) -> None:
    before = await produce(docket, ledger, [0.01] * 10)
    bad = await intrude(docket, ledger, payloads)
    after = await produce(docket, ledger, [0.01] * 10)
    worker = start(concurrency=4)

    await until_ended(docket, [*before, *bad, *after])

    assert worker.is_alive
    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.repeats_are_due_to([])
    audit.states_are_legal(states.heard())
    assert dead_letters(url, docket.name) == set(bad)
    for key, data in bad.items():
        (record,) = await docket.storage.executions.read(key)
        assert record is not None
        assert (record.state, record.reason) == (
            ExecutionState.FAILED,
            DeadReason.UNDECODABLE.value,
        ), f"{key}: {record.error}"
        assert record.call == data
        assert record.error
        assert record.error.startswith("Undecodable: ")
    nothing_is_left_behind(url, docket.name)
    worker.signal(signal.SIGTERM)
    assert await worker.until_gone() == 0


def signed(
    docket: str, *, key_id: str = "a", secret: bytes = b"secret", place: tuple[str, str]
) -> bytes:
    """What a call without arguments looks like that is signed for a task and a key of a docket."""
    signing = Serializer(signing_keys=((key_id, secret),), docket=docket)
    return signing.dump_call((), {}, context=place)


GREET = ("greet", "forged")

SIGNED: dict[str, Callable[[str], bytes]] = {
    "not signed": lambda _: good_call(),
    "a key of another id": lambda docket: signed(docket, key_id="b", place=GREET),
    "another secret": lambda docket: signed(docket, secret=b"guess", place=GREET),
    "signed for another task": lambda docket: signed(docket, place=("other", "forged")),
    "signed for another key": lambda docket: signed(docket, place=("greet", "another")),
    "signed for another docket": lambda docket: signed(f"{docket}-2", place=GREET),
}


@pytest.mark.parametrize("forged", SIGNED)
async def test_a_payload_that_is_wrongly_signed_is_a_dead_letter_and_its_task_does_not_run(
    url: str, name: str, forged: str
) -> None:
    ran: list[str] = []

    async def greet() -> None:
        ran.append("greet")

    data = SIGNED[forged](name)
    async with Docket(name, url, signing_keys={"a": b"secret"}) as docket:
        docket.register(greet)
        await docket.storage.executions.schedule([NewExecution("forged", FRESH, 0, "greet", data)])
        await docket.add(greet)()
        async with Worker(docket) as worker:
            await worker.run_until_finished()
        (record,) = await docket.storage.executions.read("forged")

    assert ran == ["greet"]
    assert record is not None
    assert (record.state, record.reason, record.call) == (
        ExecutionState.FAILED,
        DeadReason.UNDECODABLE.value,
        data,
    )


class Mute(Exception):
    """Cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def mute() -> Exception:
    return Mute()


def of_a_strange_file() -> Exception:
    """What a task says of a file whose name is not UTF-8."""
    return ValueError("cannot use " + os.fsdecode(b"/tmp/caf\xe9"))


@pytest.mark.parametrize("make", [mute, of_a_strange_file])
async def test_a_task_whose_error_can_not_be_written_down_as_it_is_has_failed_once(
    docket: Docket, make: Callable[[], Exception], caplog: pytest.LogCaptureFixture
) -> None:
    # What is captured travels to the process that reports, as text that must be proper UTF-8.
    caplog.set_level(logging.CRITICAL + 1, "docket.worker")
    runs: list[int] = []

    async def fail() -> None:
        runs.append(1)
        raise make()

    async def fine() -> str:
        return "done"

    docket.register(fail)
    docket.register(fine)
    bad = await docket.add(fail)()
    async with Worker(docket) as worker, working(worker):
        await until_ended(docket, [bad.key])
        good = await docket.add(fine)()
        await until_ended(docket, [good.key])

    assert runs == [1]
    (record,) = await docket.storage.executions.read(bad.key)
    assert record is not None
    assert (record.state, record.reason) == (ExecutionState.FAILED, DeadReason.FAILED.value)
    assert record.error
    assert record.error.startswith(type(make()).__name__ + ": ")


async def test_entries_and_records_that_are_no_executions_stop_no_worker(docket: Docket) -> None:
    async def fine() -> str:
        return "done"

    docket.register(fine)
    async with docket.redis() as client:
        await client.xadd(f"{docket.name}:stream", {"foo": "bar"})
        await client.xadd(f"{docket.name}:stream", {"key": "unknown", "generation": "1"})
        await client.xadd(f"{docket.name}:stream", {"key": b"\xff\xfe", "generation": "x"})
    await docket.storage.executions.schedule(
        [NewExecution("odd", FRESH, 0, "\x00\n\u2603" * 20, good_call())]
    )
    good = await docket.add(fine)()
    async with Worker(docket) as worker, working(worker):
        await until_ended(docket, [good.key])

    (record,) = await docket.storage.executions.read("odd")
    assert record is not None
    assert record.state is ExecutionState.PARKED
