"""Keys."""

from __future__ import annotations

import time

from docket.uuid7 import new_key, uuid7


def test_a_key_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    after = time.time_ns() // 1_000_000

    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= made.int >> 80 <= after


def test_keys_do_not_repeat() -> None:
    assert len({new_key() for _ in range(1000)}) == 1000
