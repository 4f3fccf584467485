"""The secrets of a configuration, which are never shown: where they are, and what is shown instead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, cast

HIDDEN: Final = "(secret)"
_QUERY: Final = re.compile(r"([^?=&#]*(?:password|secret|token)[^=&#]*)=[^&#]*", re.IGNORECASE)


def is_secret(path: Sequence[str | int]) -> bool:
    """Return True if the value at a path is secret, or holds secrets."""
    match tuple(path):
        case ("profiles", _, *inner):
            return is_secret(inner)
        case (
            ("url",)
            | ("workers", _, "url")
            | ("security", "signing_keys", *_)
            | ("workers", _, "env" | "secrets", *_)
        ):
            return True
        case ("tasks", _, "http", "headers", *_):
            return True
        case _:
            return False


def masked(path: Sequence[str | int], value: Any) -> Any:
    """Return the value at a path as it may be shown: a url keeps its host, other secrets nothing."""
    if value not in (None, {}) and is_secret(path):
        return masked_url(value) if path[-1] == "url" and isinstance(value, str) else HIDDEN
    if isinstance(value, dict):
        table = cast(dict[str, Any], value)
        return {key: masked((*path, key), item) for key, item in table.items()}
    return value


def masked_url(url: str) -> str:
    """Return a url without its credentials.

    Example:
        >>> masked_url("redis://app:hunter2@db:6379/0")
        'redis://***@db:6379/0'
    """
    scheme, separator, rest = url.partition("://")
    # A password may hold any character, so all that stands before the last @ is hidden.
    _, at, address = rest.rpartition("@")
    address = _QUERY.sub(r"\1=***", address)
    return f"{scheme}{separator}***@{address}" if at else f"{scheme}{separator}{address}"
