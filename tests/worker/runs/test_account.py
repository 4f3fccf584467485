"""What a run tells the history: its arguments that may be logged, and the kind of its error."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import pytest

from docket import Docket, Execution, Logged
from docket.storage.claims import Claimed, Settlement
from docket.worker.runs.account import LARGEST, logged_arguments, with_account
from docket.worker.runs.fingerprint import fingerprint_of, fingerprint_of_line, invariant
from docket.worker.runs.outcome import Completed, Delayed, Failed
from docket.worker.runs.slots import Run


class Odd:
    def __repr__(self) -> str:
        return "odd" * 100


async def task(
    first: Annotated[Any, Logged()],
    second: Annotated[Any, Logged(length_only=True)] = (),
    hidden: str = "",
) -> None: ...


def call(*args: Any, **kwargs: Any) -> Execution:
    docket = Docket("account", "memory://account")
    return Execution(docket, task, args, kwargs, "key", datetime.now(timezone.utc), 1)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (5, 5),
        (1.5, 1.5),
        (True, True),
        (None, None),
        ("acme", "acme"),
        ("x" * 100, "x" * 64),
        (LARGEST, str(LARGEST)),
        (Odd(), "odd" * 21 + "o"),
    ],
)
def test_arguments_are_numbers_or_short_texts(value: Any, kept: object) -> None:
    found = logged_arguments(call(value, [1, 2], hidden="secret"))

    assert found == {"first": kept, "second": "[len 2]"}
    assert type(found["first"]) is type(kept)


def settled(outcome: Any, word: str, revision: int = 0, **fields: Any) -> Settlement:
    run = Run(Claimed(b"1-1", "", "key", 1, 1, "task", b"", 1, 0, 0, ""))
    run.seconds = 0.123456
    run.revision = revision
    return with_account(run, outcome, Settlement(b"1-1", "", "key", 1, 1, word, **fields))


def test_a_run_that_could_not_be_written_down_tells_the_error_that_is_written_down() -> None:
    told = settled(Completed(object()), "failed", error="NotSerializable: object 17 has no bytes")

    assert told.seconds == "0.1235"
    assert json.loads(told.about) == {
        "error": "NotSerializable",
        "message": "object # has no bytes",
        "fingerprint": fingerprint_of_line("NotSerializable: object 18 has no bytes").digest,
    }


def test_a_run_that_is_put_off_tells_nothing() -> None:
    assert settled(Delayed("redis", timedelta()), "again", revision=12).about == ""


def test_a_run_tells_the_revision_under_which_it_has_begun() -> None:
    assert settled(Completed(None), "completed").about == ""
    assert settled(Completed(None), "completed", revision=12).about == '{"revision":12}'


def test_a_text_that_no_encoding_takes_is_written_down_all_the_same() -> None:
    told = settled(Failed(ValueError("\ud800")), "failed", error="ValueError: ?")

    assert told.about.encode()
    assert fingerprint_of(ValueError("\ud800")).digest


def raised(act: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
        act()
    return caught.value


def test_the_place_is_the_innermost_that_the_user_has_written() -> None:
    def inner() -> object:
        return json.loads("{")

    found = fingerprint_of(raised(inner))

    assert (found.error, found.place) == ("JSONDecodeError", "runs/test_account.py:inner")


def test_errors_differ_by_class_place_and_message_and_not_by_numbers_and_ids() -> None:
    one, other = ValueError("order-7 of 0x7f3a"), ValueError("order-8 of 0x7f3b")

    assert fingerprint_of(one) == fingerprint_of(other)
    assert fingerprint_of(one).digest != fingerprint_of(KeyError("order-7 of 0x7f3a")).digest
    assert fingerprint_of(one).digest != fingerprint_of(ValueError("an order")).digest
    assert invariant("at 2026-11-28T10:00:00+00:00\nand more") == "at #"
