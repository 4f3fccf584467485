"""Sizes."""

from __future__ import annotations

import pytest

from docket.foundation.sizes import parse_limit, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (7, 7),
        ("7", 7),
        ("10_000", 10_000),
        ("7B", 7),
        ("64 KiB", 65536),
        ("1MiB", 1 << 20),
        ("2GiB", 2 << 30),
    ],
)
def test_a_size_is_read_in_every_unit(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "1MB", "-1", "1.5MiB", "MiB", "0", 0, -5, True, 1.5])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match='expected a size such as "512KiB"'):
        parse_size(text)


def test_a_limit_is_a_size_or_0() -> None:
    assert [parse_limit(text) for text in ("1MiB", 0, "0")] == [1 << 20, 0, 0]
    for text in ("", "much", -1, False):
        with pytest.raises(
            ValueError, match='such as "512KiB" or "1MiB", or 0 for no limit, found'
        ):
            parse_limit(text)
