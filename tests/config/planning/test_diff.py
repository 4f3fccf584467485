from __future__ import annotations

from docket.config.load import parse
from docket.config.model import Configuration
from docket.config.planning.diff import ABSENT, Change, diff


def read(text: str) -> Configuration:
    return parse(text).configuration


def test_a_change_is_a_path_and_two_values() -> None:
    old, new = read('name = "a"'), read('name = "b"')
    assert diff(old, new) == (Change(("name",), "a", "b"),)


def test_what_is_added_has_no_old_value_and_what_is_removed_no_new_one() -> None:
    old, new = read('tasks.a = { function = "m:a" }'), read('tasks.b = { function = "m:b" }')
    added, removed = diff(old, new)
    assert (added.path, added.old, added.is_added, added.is_removed) == (
        ("tasks", "b"),
        ABSENT,
        True,
        False,
    )
    assert (removed.path, removed.new, removed.is_added, removed.is_removed) == (
        ("tasks", "a"),
        ABSENT,
        False,
        True,
    )


def test_a_password_in_a_url_is_masked_on_both_sides() -> None:
    old, new = read('url = "redis://a:x@b"'), read('url = "redis://a:y@b"')
    assert diff(old, new) == (Change(("url",), "redis://***@b", "redis://***@b"),)
