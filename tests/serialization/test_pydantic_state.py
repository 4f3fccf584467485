"""What a pydantic model arrives as: equal, whatever its validators would make of it today."""

from __future__ import annotations

import enum
from datetime import datetime, timedelta, timezone
from typing import Any

import pydantic
import pytest

from docket.errors import ModelMismatch, NotSerializable, Undecodable
from docket.serialization import Serializer, describe

SAFE = Serializer(codecs=("safe",))

made: list[str] = []


class Money(pydantic.BaseModel):
    """Takes units, and holds cents."""

    model_config = pydantic.ConfigDict(validate_assignment=True)

    cents: int
    due: pydantic.FutureDatetime | None = None
    tags: list[str] = []

    @pydantic.field_validator("cents")
    @classmethod
    def in_cents(cls, value: int) -> int:
        made.append("validated")
        return value * 100

    def model_post_init(self, context: Any, /) -> None:
        made.append("initialised")


class Account(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", frozen=True)

    owner: str
    limit: int = 0
    made_for: list[Money] = pydantic.Field(default_factory=list)
    _token: str = "none"
    _seen: list[Money] = pydantic.PrivateAttr(default_factory=list)
    _never: int = pydantic.PrivateAttr()


def arrived(value: Any, annotation: Any = None) -> Any:
    """What comes of a value that is sent and received, without pickle."""
    kind = type(value) if annotation is None else annotation
    return SAFE.load_result(SAFE.dump_result(value, kind), kind)


def renamed(value: Any, kind: Any) -> Any:
    """What comes of a value where its class is this one by now."""
    was: Any = type(value)
    kind.__module__, kind.__qualname__ = was.__module__, was.__qualname__
    return SAFE.load_result(SAFE.dump_result(value, was), kind)


def test_no_validator_and_nothing_else_of_a_model_runs_again() -> None:
    money = Money(cents=1, due=datetime.now(timezone.utc) + timedelta(hours=1))
    # Its time has come while it waited.
    vars(money)["due"] = datetime(2020, 1, 1, tzinfo=timezone.utc)
    made.clear()

    found = arrived(money)

    assert found == money
    assert found.cents == 100
    assert made == []


def test_values_keep_the_types_that_they_have_whatever_the_fields_say() -> None:
    money = Money.model_construct(cents="7", tags=("a", "b"))

    found = arrived(money)

    assert (found.cents, found.tags) == ("7", ("a", "b"))
    assert found.model_fields_set == {"cents", "tags"}


@pytest.mark.parametrize(
    "account",
    [
        Account(owner="Jane"),
        Account(owner="Jane", limit=0),
        Account(owner="Jane", made_for=[Money(cents=1)]),
        Account.model_validate({"owner": "Jane", "nickname": "J", "tags": {"a"}}),
    ],
    ids=repr,
)
def test_what_was_set_what_is_extra_and_what_is_private_arrives(account: Account) -> None:
    account._token = "secret"
    account._seen.append(Money(cents=3))

    found = arrived(account)

    assert found == account
    assert found.model_fields_set == account.model_fields_set
    assert found.model_extra == account.model_extra
    assert (found._token, found._seen) == ("secret", account._seen)
    assert not hasattr(found, "_never")


def test_a_tool_shows_the_fields_alone() -> None:
    account = Account.model_validate({"owner": "Jane", "nickname": "J"})
    account._token = "secret"

    shown = describe(SAFE.dump_result(account, Account))

    assert shown.text == "Account(owner='Jane', limit=0, made_for=[])"


@pytest.mark.parametrize("what", ["less", "more", "hidden"])
def test_one_with_more_or_less_than_its_class_declares_is_no_data(what: str) -> None:
    account = Account(owner="Jane")
    if what == "less":
        account = Account.model_construct()
    elif what == "more":
        vars(account)["note"] = "hidden"
    else:
        assert account.__pydantic_private__ is not None
        account.__pydantic_private__["_odd"] = 1

    with pytest.raises(NotSerializable):
        SAFE.dump_result(account, Account)


def test_one_that_is_restored_in_its_own_way_is_no_data() -> None:
    class Careful(pydantic.BaseModel):
        x: int = 0

        def __setstate__(self, state: dict[Any, Any]) -> None:
            super().__setstate__(state)

    with pytest.raises(NotSerializable):
        SAFE.dump_result(Careful(), Careful)


def test_what_a_class_has_gained_since_then_has_its_default() -> None:
    class Newer(Account):
        since: str = "ever"
        notes: list[str] = pydantic.Field(default_factory=lambda: ["new"])
        greeting: str = pydantic.Field(default_factory=lambda data: f"Dear {data['owner']}")
        _colour: str = "blue"
        _words: list[str] = pydantic.PrivateAttr(default_factory=list)

    found = renamed(Account(owner="Jane"), Newer)

    assert (found.since, found.notes, found.greeting) == ("ever", ["new"], "Dear Jane")
    assert (found._colour, found._words) == ("blue", [])
    assert found.model_fields_set == {"owner"}


class Order(pydantic.BaseModel):
    number: int


class Described(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


class Marked(pydantic.BaseModel):
    _mark: int = 1


class Size(enum.Enum):
    SMALL = 1


class Needy(pydantic.BaseModel):
    number: int
    customer: str


class Emptied(pydantic.BaseModel):
    pass


class Grown(enum.Enum):
    LARGE = 2


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        (Order(number=1), Needy, "Order needs the field customer, which is not stored"),
        (Order(number=1), Emptied, "Order has no field number, which is stored"),
        (Described.model_validate({"hobby": 1}), Emptied, "Described has no field hobby"),
        (Marked(), Emptied, "Marked has no field _mark"),
        (Size.SMALL, Grown, "Size has no member SMALL"),
    ],
    ids=repr,
)
def test_what_can_not_be_restored_is_of_another_release(value: Any, kind: Any, reason: str) -> None:
    with pytest.raises(ModelMismatch, match=reason) as caught:
        renamed(value, kind)

    assert isinstance(caught.value, Undecodable)
    assert isinstance(caught.value, TypeError)


def test_a_root_model_arrives() -> None:
    class Names(pydantic.RootModel[tuple[str, ...]]):
        pass

    assert arrived(Names(("a", "b"))) == Names(("a", "b"))
