"""Keys."""

from __future__ import annotations

import time
from uuid import UUID

from docket.foundation.uuid7 import new_key


def test_a_key_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    before = time.time_ns() // 1_000_000
    key = new_key()
    made = UUID(key)
    after = time.time_ns() // 1_000_000

    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert str(made) == key
    assert before <= made.int >> 80 <= after


def test_keys_do_not_repeat() -> None:
    assert len({new_key() for _ in range(1000)}) == 1000
