from __future__ import annotations

import contextlib
import dataclasses
import decimal
import enum
import inspect
import struct
import subprocess
import sys
import threading
import traceback
import zoneinfo
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from datetime import datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple, Optional, TypeVar, cast

import msgpack
import pydantic
import pytest
import tzdata
from hypothesis import example, given
from hypothesis import strategies as st
from typing_extensions import TypeAliasType

from docket.errors import (
    FailedElsewhere,
    InvalidSetting,
    ModelMismatch,
    NotSerializable,
    PayloadTooLarge,
    RemoteTraceback,
    Undecodable,
    UnknownTask,
)
from docket.serialization import Serializer, describe

if TYPE_CHECKING:
    from elsewhere import Nowhere  # pyright: ignore

SAFE = Serializer(codecs=("safe",))
ANY = Serializer()
OLD, NEW = ("2025-11", b"old secret"), ("2026-11", b"new secret")
SIGNING = Serializer(signing_keys=(NEW, OLD))

T = TypeVar("T")

packb: Callable[[Any], bytes] = cast(Any, msgpack).packb


# What the safe codec takes.

zones = st.one_of(
    st.none(),
    st.sampled_from(["UTC", "Europe/Paris", "Australia/Lord_Howe"]).map(zoneinfo.ZoneInfo),
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone),
    st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)), st.text()),
)
characters = st.characters(exclude_categories=())
hashable_atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(characters),
    st.binary(),
    st.datetimes(timezones=zones, allow_imaginary=True),
    st.builds(datetime.replace, st.datetimes(timezones=zones), fold=st.sampled_from([0, 1])),
    st.dates(),
    st.times(timezones=zones),
    st.builds(time.replace, st.times(), fold=st.sampled_from([0, 1])),
    st.timedeltas(),
    st.uuids(),
    st.decimals().filter(lambda number: not number.is_snan()),
)
hashables = st.recursive(
    hashable_atoms,
    lambda inner: st.one_of(st.lists(inner).map(tuple), st.frozensets(inner)),
    max_leaves=3,
)
values = st.recursive(
    st.one_of(hashables, st.decimals()),
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.sets(hashables),
        st.dictionaries(hashables, inner),
    ),
    max_leaves=8,
)


def exactly(value: Any) -> Any:
    """A value and its exact types, comparable even where NaN is about and ``1 == True``."""
    kind = cast(type[Any], type(value))
    if kind is float:
        return kind, struct.pack("d", value)
    if issubclass(kind, (list, tuple)):
        return kind, [exactly(item) for item in value]
    if issubclass(kind, (set, frozenset)):
        return kind, sorted((exactly(item) for item in value), key=repr)
    if issubclass(kind, dict):
        return kind, [(exactly(key), exactly(item)) for key, item in value.items()]
    if issubclass(kind, (datetime, time)):
        return kind, repr(value.replace(tzinfo=None)), value.fold, exactly(value.tzinfo)
    return kind, repr(value)


@pytest.mark.everywhere
@pytest.mark.thorough
@given(values)
@example([b"", "", 0, -0.0, float("nan"), 2**64, -(2**63) - 1, [], (), set(), {}, frozenset()])
@example({(1, frozenset({2})): {1: "int", "1": "str", b"1": "bytes", None: None}})
@example("\ud800")
def test_safe_values_come_back_exactly_as_they_were(value: Any) -> None:
    assert exactly(SAFE.load_result(SAFE.dump_result(value))) == exactly(value)


@pytest.mark.everywhere
@pytest.mark.thorough
@given(
    st.lists(values, max_size=3).map(tuple),
    st.dictionaries(st.text(characters), values, max_size=3),
)
def test_the_arguments_of_a_call_come_back_exactly_as_they_were(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    assert exactly(SAFE.load_call(SAFE.dump_call(args, kwargs))) == exactly((args, kwargs))


def test_a_call_with_plain_arguments_takes_five_bytes() -> None:
    assert len(ANY.dump_call((1,), {})) == 5


class Keyword(str, enum.Enum):
    NAME = "name"


def test_keywords_are_names_whatever_type_spelled_them() -> None:
    _, kwargs = SAFE.load_call(SAFE.dump_call((), {Keyword.NAME: 1}))

    assert exactly(kwargs) == exactly({"name": 1})


# What the safe codec leaves to others.


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


class Fixed(tzinfo):
    def utcoffset(self, dt: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def __repr__(self) -> str:
        return "Fixed()"


class Point(NamedTuple):
    x: int
    y: int


OTHERS: list[Any] = [
    Colour.RED,
    Text("a"),
    Point(1, 2),
    OrderedDict(a=1),
    bytearray(b"a"),
    1j,
    range(3),
    msgpack.ExtType(1, b""),
    msgpack.Timestamp(1),
    datetime(2026, 1, 1, tzinfo=Fixed()),
    time(12, tzinfo=Fixed()),
    Path("a"),
]


@pytest.mark.parametrize("value", OTHERS, ids=repr)
def test_what_only_resembles_a_safe_value_is_pickled_not_flattened(value: Any) -> None:
    found = ANY.load_result(
        ANY.dump_result([value, {value: (value,)}] if _hashes(value) else [value])
    )

    assert exactly(found[0]) == exactly(value)


@pytest.mark.parametrize("value", OTHERS, ids=repr)
def test_without_pickle_it_is_refused_with_advice(value: Any) -> None:
    with pytest.raises(
        NotSerializable, match=r"expected .*; (convert it|name the type).* or set security"
    ):
        SAFE.dump_call((), {"deep": [{"inside": (value,)}]})


def test_a_zone_without_a_name_is_refused() -> None:
    file = Path(tzdata.__file__).parent / "zoneinfo" / "Europe" / "Paris"
    with file.open("rb") as opened:
        zone = zoneinfo.ZoneInfo.from_file(opened)

    with pytest.raises(NotSerializable):
        ANY.dump_result(datetime(2026, 1, 1, tzinfo=zone))


def test_only_the_parts_that_need_it_are_pickled() -> None:
    data = ANY.dump_call((1, Colour.RED), {"name": "Jane"})

    assert str(describe(data)).startswith("1, <")
    assert str(describe(data)).endswith(" pickled bytes>, name='Jane'")


def test_what_contains_itself_is_pickled_as_a_whole() -> None:
    loop: list[Any] = [1]
    loop.append(loop)

    (found,), _ = ANY.load_call(ANY.dump_call((loop,), {}))

    assert found[0] == 1
    assert found[1] is found


@pytest.mark.parametrize("serializer", [SAFE, ANY])
def test_what_is_nested_too_deeply_is_refused(serializer: Serializer) -> None:
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]

    with pytest.raises(NotSerializable):
        serializer.dump_result(deep)


def test_what_can_not_even_be_pickled_is_refused_with_its_reason() -> None:
    with pytest.raises(
        NotSerializable, match=r"expected a value that can be pickled, found .*lock"
    ):
        ANY.dump_result(threading.Lock())


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_a_value_that_can_not_be_shown_is_named_by_its_type() -> None:
    with pytest.raises(NotSerializable, match="found <Unprintable> of type"):
        SAFE.dump_result(Unprintable())


# Models.


@dataclass(frozen=True)
class Item:
    name: str
    price: Decimal = Decimal("1.50")


@dataclass
class Basket:
    items: list[Item]
    tags: set[str] = field(default_factory=lambda: {"new"})
    count: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.count += 1


@dataclass
class Slotted:
    __slots__ = ("x",)
    x: int


@dataclass(frozen=True, slots=True)
class Frozen:
    x: int


@dataclass
class Painted:
    colour: Colour


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Stateful:
    x: int

    def __getstate__(self) -> Any:
        return {"x": self.x, "extra": 1}


@dataclass
class Box(Generic[T]):
    content: T


@dataclass
class Numbers(list[int]):
    name: str = ""


def _numbers() -> Numbers:
    numbers = Numbers("primes")
    numbers.append(2)
    return numbers


@dataclass
class Reduced:
    x: int

    def __reduce__(self) -> Any:
        return Reduced, (self.x + 1,)


@dataclass
class Seeded:
    seed: InitVar[int]
    x: int = 0


@dataclass
class Unresolvable:
    x: Nowhere


class Address(pydantic.BaseModel):
    city: str
    code: str = pydantic.Field(default="", alias="zip")


class Customer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    name: str
    address: Address | None = None
    since: datetime | None = None
    items: list[Item] = []


class Secretive(pydantic.BaseModel):
    name: str
    _token: str = pydantic.PrivateAttr(default="secret")


class Measured(pydantic.BaseModel):
    width: int

    @cached_property
    def area(self) -> int:
        return self.width**2


@dataclass
class Square:
    width: int

    @cached_property
    def area(self) -> int:
        return self.width**2


S = TypeVar("S", Square, Measured)


def _remembering(square: S) -> S:
    assert square.area == square.width**2
    return square


@dataclass
class HalfKnown:
    x: decimal.Money  # type: ignore[name-defined] # of a module that exists, for type checkers alone
    item: Item


class Names(pydantic.RootModel[list[str]]):
    pass


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


Alias = TypeAliasType("Alias", list[Item])

MODELS: list[tuple[Any, Any]] = [
    (Item("shoe"), Item),
    (Item("shoe"), Optional[Item]),  # noqa: UP045
    (Item("shoe"), Item | None),
    (Item("shoe"), Annotated[Item, "sold"]),
    ([Item("shoe")], list[Item]),
    ({"a": Item("shoe")}, dict[str, Item]),
    ({Item("shoe"): {Item("sock")}}, dict[Item, set[Item]]),
    ((Item("shoe"), 1), tuple[Item, int]),
    ([Item("shoe")], Alias),
    (Basket([Item("shoe")], {"old"}), Basket),
    (Slotted(1), Slotted),
    (Frozen(1), Frozen),
    (Colour.RED, Colour),
    ({Colour.RED: [Access.READ]}, dict[Colour, list[Access]]),
    (Painted(Colour.RED), Painted),
    (Box(1), Box[int]),
    (Seeded(3, 4), Seeded),
    (Unresolvable(1), Unresolvable),
    (Address(city="Paris", zip="75001"), Address),
    (Customer(name="Jane", address=Address(city="Paris")), Customer),
    (Customer(name="Jane", items=[Item("shoe")]), Customer | None),
    (Customer.model_validate({"name": "Jane", "hobby": (1, 2)}), Customer),
    (Names(["Jane"]), Names),
    (Page[int](items=[1]), Page[int]),
    (Secretive(name="Jane"), Secretive),
    (_remembering(Measured(width=2)), Measured),
    (_remembering(Square(2)), Square),
    (HalfKnown(1, Item("shoe")), HalfKnown),
]


@pytest.mark.parametrize(("value", "annotation"), MODELS, ids=repr)
def test_a_model_that_the_annotation_names_goes_as_data(value: Any, annotation: Any) -> None:
    data = SAFE.dump_result(value, annotation)
    found = SAFE.load_result(data, annotation)

    assert found == value
    assert type(found) is type(value)
    assert describe(data).codec == "model"


def test_the_fields_that_were_never_set_stay_so() -> None:
    found = SAFE.load_result(SAFE.dump_result(Customer(name="Jane"), Customer), Customer)

    assert found.model_fields_set == {"name"}


def test_a_dataclass_comes_back_without_running_its_code_again() -> None:
    basket = Basket([])

    assert SAFE.load_result(SAFE.dump_result(basket, Basket), Basket).count == basket.count == 1


def test_the_annotations_of_a_task_turn_its_models_back() -> None:
    def order(customer: Customer, /, *items: Item, basket: Basket | None = None) -> None: ...

    signature = inspect.signature(order, eval_str=True)
    args, kwargs = (Customer(name="Jane"), Item("shoe")), {"basket": Basket([])}

    assert SAFE.load_call(SAFE.dump_call(args, kwargs, signature), signature) == (args, kwargs)


NOT_DATA: list[tuple[Any, Any]] = [
    (Item("shoe"), None),
    (Item("shoe"), "Item"),
    (Item("shoe"), Slotted | int),
    (Reduced(1), Reduced),
    (Stateful(1), Stateful),
    (Access.READ | Access.WRITE, Access),
    (_numbers(), Numbers),
]


@pytest.mark.parametrize(("value", "annotation"), NOT_DATA, ids=repr)
def test_a_model_is_pickled_if_its_fields_or_the_annotation_do_not_tell_it_all(
    value: Any, annotation: Any
) -> None:
    data = ANY.dump_result(value, annotation)

    assert describe(data).codec == "pickle"
    assert type(ANY.load_result(data, annotation)) is type(value)
    with pytest.raises(NotSerializable, match="name the type in the annotations"):
        SAFE.dump_result(value, annotation)


def test_without_a_signature_the_models_of_a_call_are_pickled() -> None:
    args, kwargs = (Item("shoe"),), {"basket": Basket([])}

    assert ANY.load_call(ANY.dump_call(args, kwargs)) == (args, kwargs)


def test_a_dataclass_with_more_or_less_than_its_fields_is_pickled() -> None:
    more, less = Basket([]), Basket([])
    more.note = "hidden"  # pyright: ignore[reportAttributeAccessIssue]
    del less.items

    for basket in (more, less):
        data = ANY.dump_result(basket, Basket)
        assert describe(data).codec == "pickle"
        assert vars(ANY.load_result(data, Basket)) == vars(basket)


def _renamed(old: str, new: str, value: Any, annotation: Any) -> bytes:
    data = SAFE.dump_result(value, annotation)
    assert len(old) == len(new)
    return data.replace(old.encode(), new.encode())


def test_a_model_is_found_when_its_module_has_moved() -> None:
    data = _renamed(__name__, "x" * len(__name__), Item("shoe"), Item)

    assert SAFE.load_result(data, Item | Basket) == Item("shoe")


def test_a_model_that_the_annotations_do_not_name_is_undecodable() -> None:
    data = SAFE.dump_result(Item("shoe"), Item)

    with pytest.raises(
        Undecodable, match=r"they name none.* found '.*Item'; annotate the parameter"
    ):
        SAFE.load_result(data)
    with pytest.raises(ModelMismatch, match="Basket"):
        SAFE.load_result(_renamed("Item", "Itim", Item("shoe"), Item), Basket)


def test_a_field_that_a_dataclass_has_gained_gets_its_default() -> None:
    old = dataclasses.make_dataclass("Order", [("number", int)])
    new = dataclasses.make_dataclass(
        "Order",
        [
            ("number", int),
            ("note", str, ""),
            ("items", list[int], field(default_factory=list[int])),
        ],
    )
    old.__module__ = new.__module__ = __name__

    found = SAFE.load_result(SAFE.dump_result(old(1), old), new)

    assert found == new(1, "", [])


def test_fields_that_do_not_fit_are_of_another_release() -> None:
    data = SAFE.dump_result(Item("shoe"), Item)
    for fields, reason in (
        ([("name", str)], "has no field price"),
        ([("name", str), ("price", str), ("size", int)], "needs the field size"),
    ):
        changed = dataclasses.make_dataclass("Item", fields)
        changed.__module__ = __name__
        with pytest.raises(ModelMismatch, match=reason):
            SAFE.load_result(data, changed)


# Signatures.


def test_the_first_key_signs_and_all_keys_verify() -> None:
    by_old = Serializer(signing_keys=(OLD,)).dump_result(1)
    by_new = SIGNING.dump_result(1)

    assert describe(by_new).key_id == "2026-11"
    assert SIGNING.load_result(by_new) == SIGNING.load_result(by_old) == 1


def test_every_flipped_bit_of_a_signed_payload_is_refused() -> None:
    data = SIGNING.dump_call((1, "a"), {"b": 2})

    for position in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(Undecodable):
            SIGNING.load_call(bytes(flipped))


@pytest.mark.everywhere
@pytest.mark.thorough
@given(values, st.data())
def test_a_signed_payload_that_was_cut_off_or_continued_is_refused(value: Any, data: Any) -> None:
    signed = SIGNING.dump_result(value)
    length = data.draw(st.integers(0, len(signed) - 1))

    for altered in (signed[:length], signed + b"\0"):
        with pytest.raises(Undecodable):
            SIGNING.load_result(altered)


@pytest.mark.parametrize(
    ("sender", "receiver", "reason"),
    [
        (ANY, SIGNING, "found an unsigned one; give its sender a signing key"),
        (SIGNING, Serializer(signing_keys=(OLD,)), "found the key '2026-11'; add it to"),
        (SIGNING, ANY, r"one of the keys \(none is configured\)"),
        (SIGNING, Serializer(signing_keys=((NEW[0], b"other"),)), "signed with a different secret"),
    ],
)
def test_a_payload_that_no_known_key_vouches_for_is_refused(
    sender: Serializer, receiver: Serializer, reason: str
) -> None:
    with pytest.raises(Undecodable, match=reason):
        receiver.load_result(sender.dump_result(1))


def test_a_signed_payload_is_verified_before_anything_of_it_is_read(tmp_path: Path) -> None:
    forged = Serializer(signing_keys=((NEW[0], b"guessed"),)).dump_result(Touch(tmp_path / "file"))

    with pytest.raises(Undecodable):
        SIGNING.load_result(forged)
    assert list(tmp_path.iterdir()) == []


class Touch:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_call_that_was_signed_for_one_task_is_refused_by_another() -> None:
    data = SIGNING.dump_call((1,), {}, context=("shop.refund", "k"))

    assert SIGNING.load_call(data, context=("shop.refund", "k")) == ((1,), {})
    with pytest.raises(Undecodable, match="moved from elsewhere"):
        SIGNING.load_call(data, context=("shop.charge", "k"))


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(SIGNING)


@pytest.mark.parametrize("codecs", [(), ("pickle",), ("safe", "yaml")])
def test_codecs_that_are_not_known_are_refused(codecs: tuple[str, ...]) -> None:
    with pytest.raises(InvalidSetting, match=r"correct security\.codecs"):
        Serializer(codecs=codecs)


@pytest.mark.parametrize("key", [("", b"secret"), ("x" * 256, b"secret"), ("id", b"")])
def test_signing_keys_without_id_or_secret_are_refused(key: tuple[str, bytes]) -> None:
    with pytest.raises(InvalidSetting, match=r"correct security\.signing_keys"):
        Serializer(signing_keys=(key,))


# Hostile bytes.

LOADERS: list[Callable[[bytes], Any]] = [
    loader
    for serializer in (ANY, SAFE, SIGNING)
    for loader in (serializer.load_call, serializer.load_result, serializer.load_error)
]
FIRST_BYTES = [bytes([kind | codec]) for kind in (0, 0x10, 0x20) for codec in (1, 2, 3)]
TAGGED: list[bytes] = [packb([msgpack.ExtType(tag, b""), None])[:-1] for tag in range(1, 14)]


@pytest.mark.everywhere
@pytest.mark.thorough
@given(
    st.one_of(
        st.binary(),
        st.builds(bytes.__add__, st.sampled_from(FIRST_BYTES), st.binary()),
        st.tuples(
            st.sampled_from(FIRST_BYTES),
            st.sampled_from(TAGGED),
            st.one_of(st.binary(), values.map(lambda value: SAFE.dump_result(value)[1:])),
        ).map(b"".join),
    )
)
def test_bytes_from_anywhere_are_a_payload_or_undecodable(data: bytes) -> None:
    for load in LOADERS:
        with contextlib.suppress(Undecodable):
            load(data)
    assert isinstance(str(describe(data)), str)


def _words(*words: Any, first: int = 0x13) -> bytes:
    return bytes([first]) + b"".join(packb(word) for word in words)


def _tag(code: int) -> msgpack.ExtType:
    return msgpack.ExtType(code, b"")


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "future version": b"\x1f\x01",
    "unknown kind": b"\x71\x01",
    "truncated": ANY.dump_result(["a", 1])[:-1],
    "trailing": ANY.dump_result(1) + b"\0",
    "another kind": ANY.dump_error(ValueError()),
    "cut off in its signature": SIGNING.dump_result(1)[:12],
    "recursion bomb": b"\x11" + b"\x91" * 500_000 + b"\x01",
    "memory bomb of lists": b"\x11" + b"\xdd\x00\x10\x00\x00" * 1000 + b"\x01" * (1 << 20),
    "memory bomb of dicts": b"\x11" + b"\xdf\x00\x08\x00\x00" * 1000 + b"\x01" * (1 << 20),
    "memory bomb of text": b"\x11\xdb\xff\xff\xff\xff",
    "huge extension": b"\x11\xc9\xff\xff\xff\xff\x01",
    "unknown tag": _words([_tag(99), 1]),
    "tag with content": _words([msgpack.ExtType(1, b"x"), 1]),
    "bare tag": _words(_tag(1)),
    "stray tag": _words([1, _tag(1)]),
    "two tags": _words([_tag(1), _tag(1)]),
    "tag as a key": b"\x11\x81" + packb(_tag(1)) + b"\x01",
    "unhashable key": b"\x11\x81\x90\x01",
    "odd pairs": _words([_tag(4), 1]),
    "unhashable in a set": _words([_tag(2), []]),
    "hostile zone": _words([_tag(6), "2026-01-01T00:00:00", 0, "../../etc/passwd"]),
    "missing zone": _words([_tag(6), "2026-01-01T00:00:00", 0, "Nowhere"]),
    "zone that is a directory": _words([_tag(6), "2026-01-01T00:00:00", 0, "Europe"]),
    "endless timedelta": _words([_tag(9), 10**12, 0, 0]),
    "short UUID": _words([_tag(10), b"1"]),
    "UUID of text": _words([_tag(10), "1234567890123456"]),
    "Decimal of a list": _words([_tag(11), [1]]),
    "model in a safe payload": _words([_tag(12), "a.B", {}], first=0x11),
    "pickle in a safe payload": _words([_tag(13), b"N."], first=0x11),
    "pickle in a model payload": _words([_tag(13), b"N."], first=0x12),
    "damaged pickle": _words([_tag(13), b"\x80"]),
    "pickle that exits": _words([_tag(13), b"csys\nexit\n(tR."]),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bytes_are_undecodable_and_can_be_described(data: bytes) -> None:
    with pytest.raises(Undecodable):
        ANY.load_result(data, Item)
    assert len(str(describe(data))) <= 2_001


@pytest.mark.parametrize(
    "words", [[], [1, {}], [[], []], [[], {1: 2}], [[], {}, 1], {}, [[_tag(1)], {}]], ids=repr
)
def test_what_is_no_call_is_not_called(words: Any) -> None:
    with pytest.raises(Undecodable, match="expected the arguments of a call"):
        ANY.load_call(_words(words, first=0x01))


@pytest.mark.parametrize("kind", ["call", "result"])
def test_without_pickle_pickled_parts_are_refused_unread(kind: str, tmp_path: Path) -> None:
    dump, load = getattr(ANY, f"dump_{kind}"), getattr(SAFE, f"load_{kind}")
    data = (
        dump(([Touch(tmp_path / "file")],), {})
        if kind == "call"
        else dump(Touch(tmp_path / "file"))
    )

    with pytest.raises(Undecodable, match=f"expected a {kind} without pickled parts"):
        load(data)
    assert list(tmp_path.iterdir()) == []


# Limits.


@pytest.mark.parametrize("size", [1 << 20, 64 << 20])
def test_what_exceeds_the_limit_is_refused_when_it_is_sent(size: int) -> None:
    for dump in (lambda: ANY.dump_call((b"x" * size,), {}), lambda: ANY.dump_result(b"x" * size)):
        with pytest.raises(
            PayloadTooLarge, match=r"at most 1048576 bytes, found \d+; store the data"
        ):
            dump()


def test_the_limit_itself_is_allowed() -> None:
    assert len(Serializer(max_payload=4).dump_call((1,), {})) == 5
    with pytest.raises(PayloadTooLarge):
        Serializer(max_payload=3).dump_call((1,), {})


# Errors.


class OutOfStock(Exception):
    def __init__(self, item: str, *, left: int = 0) -> None:
        super().__init__(item, left)
        self.left = left

    def __reduce__(self) -> Any:
        return _out_of_stock, (self.args[0], self.left)


def _out_of_stock(item: str, left: int) -> OutOfStock:
    return OutOfStock(item, left=left)


class Stubborn(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, first: Any, second: Any) -> None:
        super().__init__(f"{first} {second}")
        self.second = second


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def _raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize("serializer", [SAFE, ANY, SIGNING], ids=["safe", "any", "signing"])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("wrong", 1),
        KeyError("x"),
        FileNotFoundError(2, "No such file", "/tmp/x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        UnknownTask("no task 'x'"),
        FailedElsewhere("a.B", "c", "d"),
    ],
    ids=repr,
)
def test_errors_of_python_and_docket_come_back_without_pickle(
    serializer: Serializer, error: Exception
) -> None:
    found = serializer.load_error(serializer.dump_error(_raised(error)))

    assert type(found) is type(error)
    assert (found.args, str(found)) == (error.args, str(error))
    assert describe(serializer.dump_error(error)).codec == "safe"


def test_other_errors_come_back_where_pickle_is_allowed() -> None:
    found = ANY.load_error(ANY.dump_error(_raised(OutOfStock("shoe", left=2))))

    assert isinstance(found, OutOfStock)
    assert (found.args, found.left) == (("shoe", 2), 2)


def test_what_was_added_to_a_known_error_comes_back_where_pickle_is_allowed() -> None:
    error = ValueError("wrong")
    error.hint = "look left"  # pyright: ignore[reportAttributeAccessIssue]

    assert vars(ANY.load_error(ANY.dump_error(error))) == {"hint": "look left"}
    assert repr(SAFE.load_error(SAFE.dump_error(error))) == "ValueError('wrong')"


LOCK = threading.Lock()


@pytest.mark.parametrize(
    ("sender", "receiver", "error", "name", "message"),
    [
        pytest.param(*case, id=reason)
        for reason, *case in (
            (
                "pickle is not allowed to the sender",
                SAFE,
                ANY,
                OutOfStock("a"),
                "OutOfStock",
                "('a', 0)",
            ),
            (
                "pickle is not allowed to the receiver",
                ANY,
                SAFE,
                OutOfStock("a"),
                "OutOfStock",
                "('a', 0)",
            ),
            ("it cannot be pickled", ANY, ANY, Stubborn("a", LOCK), "Stubborn", f"a {LOCK}"),
            ("it cannot be unpickled", ANY, ANY, Stubborn("a", "b"), "Stubborn", "a b"),
            ("its arguments cannot be stored", SAFE, ANY, ValueError(1j), "ValueError", "1j"),
            ("it would end the reader", ANY, ANY, SystemExit(3), "SystemExit", "3"),
            (
                "it is too large",
                Serializer(max_payload=9),
                ANY,
                ValueError("x" * 99),
                "ValueError",
                "x" * 32,
            ),
        )
    ],
)
def test_an_error_leaves_its_name_message_and_traceback_if(
    sender: Serializer, receiver: Serializer, error: BaseException, name: str, message: str
) -> None:
    found = receiver.load_error(sender.dump_error(_raised(error)))

    assert isinstance(found, FailedElsewhere)
    assert found.type_name.endswith(name)
    assert found.message == message
    assert found.traceback.rstrip().endswith(message[-9:])


def test_the_cause_of_an_error_shows_where_it_was_raised() -> None:
    found = ANY.load_error(ANY.dump_error(_raised(ValueError("wrong"))))

    assert isinstance(found.__cause__, RemoteTraceback)
    assert "in _raised" in "".join(traceback.format_exception(found))


def test_a_message_that_can_not_be_told_is_said_to_be_so() -> None:
    found = SAFE.load_error(SAFE.dump_error(Unspeakable()))

    assert str(found).endswith("Unspeakable: <not printable: RuntimeError>")


@pytest.mark.parametrize("size", [1, 10, 1000, 1 << 20])
def test_an_error_is_always_storable_and_short(size: int) -> None:
    data = Serializer(max_payload=size).dump_error(ValueError("x" * (2 << 20)))

    assert len(data) <= max(size, 200)
    assert isinstance(ANY.load_error(data), Exception)


def test_an_error_without_a_traceback_has_no_cause() -> None:
    data = _words(["a.B", "c", "", None, None], first=0x21)

    assert ANY.load_error(data).__cause__ is None


FORGED: list[tuple[list[Any], type[Exception]]] = [
    (["builtins.ValueError", "m", "t", [1, 2], None], ValueError),
    (["builtins.UnicodeDecodeError", "m", "t", [1], None], FailedElsewhere),
    (["builtins.ValueError", "m", "t", 7, None], FailedElsewhere),
    (["builtins.SystemExit", "m", "t", [], None], FailedElsewhere),
    (["builtins.eval", "m", "t", ["1"], None], FailedElsewhere),
    (["a.B", "m", "t", None, b"damaged"], FailedElsewhere),
    (["a.B", "m", "t", None, b"N."], FailedElsewhere),
    (["a.B", "m", "t", None, 7], FailedElsewhere),
]


@pytest.mark.parametrize(("words", "kind"), FORGED)
def test_forged_errors_are_no_more_than_told(words: list[Any], kind: type[Exception]) -> None:
    assert type(ANY.load_error(_words(words, first=0x21))) is kind


def test_what_tells_of_no_error_is_undecodable() -> None:
    with pytest.raises(Undecodable, match="expected the description of an exception"):
        ANY.load_error(_words([1], first=0x21))


# What tools see.


def test_a_description_tells_what_a_payload_is() -> None:
    description = describe(SIGNING.dump_call((1, "a"), {"name": Colour.RED}))

    assert (description.kind, description.codec) == ("call", "pickle")
    assert description.key_id == "2026-11"
    assert description.size > 40
    assert description.text.startswith("1, 'a', name=<")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (ANY.dump_result((1, {2})), "(1, {2})"),
        (ANY.dump_error(ValueError("wrong")), "builtins.ValueError: wrong"),
        (SAFE.dump_result([Item("shoe")], Item), "[Item(name='shoe', price=Decimal('1.50'))]"),
        (_words([1, 2], first=0x01), "[1, 2]"),
        (_words([1, 2], first=0x21), "[1, 2]"),
    ],
)
def test_a_description_shows_safe_values(data: bytes, text: str) -> None:
    assert str(describe(data)) == text


def test_a_description_never_unpickles(tmp_path: Path) -> None:
    describe(ANY.dump_result([Touch(tmp_path / "file")]))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "data",
    [
        ANY.dump_call((), {"\x1b[31m": "\x1b[31m"}),
        ANY.dump_error(ValueError("\x1b[31m\n\u202e")),
        _words([_tag(12), "a.\x1b[31m", {"\x1b": 1}], first=0x12),
    ],
)
def test_a_description_obeys_no_control_character(data: bytes) -> None:
    assert str(describe(data)).isprintable()


def test_a_description_is_cut_where_it_is_told_to() -> None:
    assert str(describe(ANY.dump_result("x" * 100), longest=5)) == "'xxxx…"


def test_what_can_not_be_read_is_described_as_unreadable() -> None:
    description = describe(b"\xff")

    assert (description.kind, description.codec, description.key_id) == ("unreadable", "", None)
    assert "found the first byte 0xff" in description.text


# What it costs.


def test_pydantic_and_cloudpickle_are_not_imported_before_they_are_needed() -> None:
    program = """
import sys
import threading
from dataclasses import dataclass
from docket.serialization import Serializer
@dataclass
class Item: name: str
serializer = Serializer(codecs=("safe",))
assert serializer.load_result(serializer.dump_result([Item("shoe")], Item), Item) == [Item("shoe")]
assert not {"pydantic", "cloudpickle"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def _hashes(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


# The cost of reading is in proportion to the size.

PRIME = (1 << 61) - 1


def _large(number: int) -> list[Any]:
    return [_tag(5), number.to_bytes(12, "big")]


def _colliding(count: int) -> list[Any]:
    return [_large(PRIME * (n + 2**20)) for n in range(count)]


COLLIDING: dict[str, Callable[[int], Any]] = {
    "a set": lambda count: [_tag(2), *_colliding(count)],
    "a frozen set": lambda count: [_tag(3), *_colliding(count)],
    "pairs": lambda count: [_tag(4), *(one for key in _colliding(count) for one in (key, None))],
}


@pytest.mark.parametrize("named", COLLIDING)
def test_members_whose_hashes_were_chosen_to_be_the_same_are_refused(named: str) -> None:
    load = SAFE.load_result
    few, many = (b"\x11" + packb(COLLIDING[named](count)) for count in (64, 65))

    assert len(load(few)) == 64
    with pytest.raises(Undecodable, match="65 with the same one"):
        load(many)


def test_keys_of_a_map_whose_hashes_were_chosen_to_be_the_same_are_refused() -> None:
    body = b"".join(packb(key) + b"\xc0" for key in _colliding(65))

    with pytest.raises(Undecodable, match="65 with the same one"):
        SAFE.load_result(b"\x11\xde\x00\x41" + body)


def test_many_different_members_are_read() -> None:
    value = {"ids": set(range(1000)), **{str(n): n for n in range(1000)}}

    assert SAFE.load_result(SAFE.dump_result(value)) == value


@pytest.mark.parametrize("first", [0x01, 0x11, 0x21])
@pytest.mark.parametrize(
    "words",
    [_large(1 << 80), [_tag(5), b"\x7f" * 2048], [[]] * 3, {"a": [_tag(5), b"\x80" * 4096]}],
)
def test_whatever_can_be_stored_can_be_described(first: int, words: Any) -> None:
    described = describe(bytes([first]) + packb([[words], {}]))

    assert described.text
    assert described.text.isprintable()


def test_a_long_integer_is_described_by_its_length() -> None:
    assert str(describe(SAFE.dump_result(1 << 5000))) == "<an integer of 5001 bits>"
