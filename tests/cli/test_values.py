"""Values as they are typed on the command line."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from docket.cli.parameters.typed_values import (
    parse_argument,
    parse_compared,
    parse_range,
    parse_value,
)
from docket.cli.terminal.exit_codes import Misused

ID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
NOON = datetime(2026, 7, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("acme", "acme"),
        ("", ""),
        ("12:30", "12:30"),
        (":x", ":x"),
        ("str:int:5", "int:5"),
        ("int:5", 5),
        ("int:-5", -5),
        ("builtins.int:5", 5),
        ("float:2.5", 2.5),
        ("bool:true", True),
        ("bool:No", False),
        ("decimal:1.10", Decimal("1.10")),
        ("decimal.Decimal:1.10", Decimal("1.10")),
        ("datetime:2026-07-01T12:00:00Z", NOON),
        ("datetime.datetime:2026-07-01T14:00:00+02:00", NOON),
        ("datetime:2026-07-01", datetime(2026, 7, 1)),
        ("timedelta:90s", timedelta(seconds=90)),
        ("datetime.timedelta:60", timedelta(seconds=60)),
        (f"uuid:{ID}", UUID(ID)),
        (f"uuid.UUID:{ID}", UUID(ID)),
        ("str:two\nlines", "two\nlines"),
    ],
)
def test_a_value_is_read_by_its_type(text: str, value: Any) -> None:
    found = parse_value(text)

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("int:five", "expected a whole number after int:, found 'five'"),
        ("float:x", "expected a number after float:, found 'x'"),
        ("bool:maybe", "expected true or false after bool:, found 'maybe'"),
        ("decimal:x", "expected a decimal number after decimal:, found 'x'"),
        ("datetime:noon", "expected a moment such as 2026-07-01T12:00:00+02:00 after datetime:"),
        ("timedelta:soon", "expected seconds, or a duration such as 90s after timedelta:"),
        ("uuid:1", "expected a UUID after uuid:, found '1'"),
        ("itn:5", "unknown type 'itn'; did you mean int:? expected one of str, int, "),
        ("http://x", "write str:http://x for the text itself"),
    ],
)
def test_what_is_no_value_is_refused(text: str, said: str) -> None:
    with pytest.raises(Misused) as refused:
        parse_value(text)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "os.system:touch {}",
        "subprocess.run:touch {}",
        "pathlib.Path.touch:{}",
        "builtins.eval:open('{}', 'w')",
        "eval:open('{}', 'w')",
        "__import__:os",
    ],
)
def test_no_name_that_is_typed_is_imported_or_called(text: str, tmp_path: Path) -> None:
    file = tmp_path / "called"

    with pytest.raises(Misused, match="unknown type"):
        parse_value(text.format(file))

    assert not file.exists()


def test_a_range_has_two_ends_and_the_type_of_the_first_holds_for_both() -> None:
    assert parse_range("int:1,10") == (1, 10)
    assert parse_range("int:1,float:2.5") == (1, 2.5)
    assert parse_range("a,b") == ("a", "b")
    with pytest.raises(Misused, match="expected two values such as int:1,10 after between"):
        parse_range("int:1")


def test_what_is_compared_is_a_range_only_for_between() -> None:
    assert parse_compared(None, "==") is None
    assert parse_compared("int:5", "==") == 5
    assert parse_compared("int:1,10", "between") == (1, 10)


def test_an_argument_may_be_json() -> None:
    assert parse_argument('json:{"a": [1, null]}') == {"a": [1, None]}
    assert parse_argument("int:5") == 5
    assert parse_argument("json") == "json"
    with pytest.raises(Misused, match=r"expected JSON after json:, found '\{'"):
        parse_argument("json:{")
