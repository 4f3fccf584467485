"""What is written becomes what the annotations say, or is refused."""

from __future__ import annotations

import asyncio
import collections.abc
import dataclasses
import enum
import inspect
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypeVar

import pydantic
import pytest

from docket import Docket, ExecutionState, Logged, Worker
from docket.calls.registry import StandIn
from docket.errors import ModelMismatch
from docket.serialization import Serializer, describe
from docket.serialization.written import NotAsWritten, as_meant, convert
from docket.storage.executions import NewExecution
from docket.storage.scripting.nonces import FRESH

SAFE = Serializer(codecs=("safe",))
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"


class Pair(NamedTuple):
    left: int
    right: int


@dataclasses.dataclass
class Part:
    name: str
    sizes: set[int] = dataclasses.field(default_factory=set[int])


class Order(pydantic.BaseModel):
    number: int
    parts: list[Part] = []
    due: datetime | None = None

    @pydantic.field_validator("number")
    @classmethod
    def doubled(cls, value: int) -> int:
        return value * 2


class Legacy:
    """Nothing that could be written."""


class Closing(Protocol):
    def close(self) -> None: ...


FITTING: list[tuple[Any, Any, Any]] = [
    (int, 5, 5),
    (float, 5, 5.0),
    (str, "a", "a"),
    (bytes, "a", b"a"),
    (set[str], ["a"], {"a"}),
    (frozenset[int], [1], frozenset({1})),
    (tuple[int, str], [1, "a"], (1, "a")),
    (dict[str, set[int]], {"a": [1]}, {"a": {1}}),
    (Colour, "red", Colour.RED),
    (Colour | None, None, None),
    (Literal["a"], "a", "a"),
    (Path, "/srv", Path("/srv")),
    (Decimal, "1.50", Decimal("1.50")),
    (Decimal, Decimal(1), Decimal(1)),
    (
        uuid.UUID,
        "12345678123456781234567812345678",
        uuid.UUID(int=0x12345678123456781234567812345678),
    ),
    (timedelta, "90s", timedelta(seconds=90)),
    (timedelta | None, "2m", timedelta(minutes=2)),
    (timedelta | str, "2m", "2m"),
    (datetime, NOON, NOON),
    (datetime, "2026-03-01T12:00:00Z", NOON),
    (date, "2026-03-01", date(2026, 3, 1)),
    (time, "12:00", time(12)),
    (Pair, [1, 2], Pair(1, 2)),
    (Part, {"name": "a", "sizes": [1]}, Part("a", {1})),
    (Annotated[list[Part], Logged()], [{"name": "a"}], [Part("a")]),
    (
        Order,
        {"number": 1, "parts": [{"name": "a", "sizes": [2]}], "due": NOON},
        Order.model_construct(number=2, parts=[Part("a", {2})], due=NOON),
    ),
    (dict[str, Any], {"at": NOON}, {"at": NOON}),
    (collections.abc.Iterable[int], [1, 2], [1, 2]),
    *((unknown, [1], [1]) for unknown in (inspect.Parameter.empty, Any, object, "Order", T)),
    *((unreadable, {"a": 1}, {"a": 1}) for unreadable in (len, Closing)),
    (Annotated[int, []], 5, 5),
]


@pytest.mark.parametrize(("annotation", "value", "meant"), FITTING, ids=repr)
def test_what_fits_becomes_what_is_meant(annotation: Any, value: Any, meant: Any) -> None:
    found = convert(annotation, value)

    assert found == meant
    assert type(found) is type(meant)


@pytest.mark.parametrize(
    ("annotation", "value", "reason", "below"),
    [
        (int, "5", "expected what fits int: input should be a valid integer", ()),
        (int, Decimal(1), "expected what fits int: input should be a valid integer", ()),
        (str, NOON, "expected what fits str: input should be a valid string", ()),
        (Colour, "blue", "expected what fits Colour: input should be 'red'", ()),
        (timedelta, "soon", "expected what fits timedelta: expected a duration", ()),
        (Legacy, {"a": 1}, "nothing that is written is one; take what it is made from", ()),
        (Order, {}, "expected what fits Order: number: field required", ()),
        (
            list[Order],
            [{"number": 1}, {"number": "x"}],
            r"1\.number: input should be",
            (1, "number"),
        ),
        (int | list[int], ["x"], "input should be a valid integer", ()),
        (list[int], [Decimal(1)], "0: input should be a valid integer", (0,)),
        (list[int], [NOON], "0: input should be a valid integer", (0,)),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_told_where(
    annotation: Any, value: Any, reason: str, below: tuple[Any, ...]
) -> None:
    with pytest.raises(NotAsWritten, match=reason) as caught:
        convert(annotation, value)

    assert caught.value.below == below


def test_every_argument_becomes_what_its_parameter_says() -> None:
    def task(a: set[int], /, b: Path, *rest: Colour, c: Decimal, **more: timedelta) -> None: ...
    def few(a: set[int], *, b: Path) -> None: ...

    signature = inspect.signature(task, eval_str=True)

    assert as_meant(signature, ([1], "p", "red"), {"c": "1.5", "x": "2m"}) == (
        ({1}, Path("p"), Colour.RED),
        {"c": Decimal("1.5"), "x": timedelta(minutes=2)},
    )
    # What cannot be bound is left to whoever calls it.
    signature = inspect.signature(few, eval_str=True)
    assert as_meant(signature, ([1], 2), {"b": "p", "z": 1}) == (
        ({1}, 2),
        {"b": Path("p"), "z": 1},
    )
    signature = inspect.signature(task, eval_str=True)
    with pytest.raises(ModelMismatch, match=r"rest\[1\]: expected what fits Colour"):
        as_meant(signature, ([1], "p", "red", "blue"), {"c": "1.5"})
    with pytest.raises(ModelMismatch, match=r"c: expected what fits Decimal"):
        as_meant(signature, ([1], "p"), {"c": "x"})


@pytest.mark.parametrize("keys", [(), (("2026", b"secret"),)], ids=["unsigned", "signed"])
def test_written_arguments_are_made_when_they_are_read(keys: Any) -> None:
    def task(order: Order) -> None: ...

    serializer = Serializer(codecs=("safe",), signing_keys=keys)
    signature = inspect.signature(task, eval_str=True)
    data = serializer.dump_call(({"number": 1},), {}, written=True)

    assert serializer.is_written(data)
    assert not serializer.is_written(serializer.dump_call((1,), {}))
    assert not serializer.is_written(b"")
    assert serializer.load_call(data) == (({"number": 1},), {})
    ((order,), _) = serializer.load_call(data, signature)
    assert (type(order), order.number) == (Order, 2)
    # From then on it is a model as any other, and no validator sees it again.
    again = serializer.dump_call((order,), {}, signature)
    assert serializer.load_call(again, signature)[0][0].number == 2
    assert (describe(data).kind, describe(data).text) == ("call", "{'number': 1}")


def test_the_zones_of_what_pydantic_has_read_are_offsets() -> None:
    order = Order.model_validate({"number": 1, "due": "2026-03-01T13:00:00+01:00"})

    found = SAFE.load_result(SAFE.dump_result(order, Order), Order)

    assert found == order
    assert found.due.utcoffset() == timedelta(hours=1)


async def ship(order: Order) -> int:
    return order.number


async def test_what_can_not_be_made_waits_for_a_release_that_can() -> None:
    async with Docket(
        f"written-{uuid.uuid4().hex[:12]}", "memory://written", config=False
    ) as docket:
        docket.register(ship)
        call = docket.serializer.dump_call(
            (), {"order": {"nummer": 1}}, context="ship", written=True
        )
        good = docket.serializer.dump_call(
            (), {"order": {"number": 1}}, context="ship", written=True
        )
        await docket.storage.executions.schedule(
            [
                NewExecution(key, FRESH, 0, "ship", data)
                for key, data in (("bad", call), ("good", good))
            ]
        )
        async with Worker(docket) as worker:
            await worker.run_until_finished()
        bad, fine = await asyncio.gather(*map(docket.get_execution, ("bad", "good")))

        assert bad is not None
        assert fine is not None
        assert bad.state is ExecutionState.PARKED
        assert str(bad.reason).startswith("signature ")
        assert await fine.get_result() == 2


async def test_what_is_added_by_name_alone_is_made_by_the_worker() -> None:
    name = f"written-{uuid.uuid4().hex[:12]}"
    async with (
        Docket(name, "memory://written", config=False) as producer,
        Docket(name, "memory://written", config=False) as docket,
        Worker(docket) as worker,
    ):
        producer.register(StandIn(), ["ship"])
        docket.register(ship)
        execution = await producer.add("ship")(order={"number": 1})
        await worker.run_until_finished()

        assert await execution.get_result() == 2
    await StandIn()(1, two=2)
