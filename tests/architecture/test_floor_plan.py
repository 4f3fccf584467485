"""The floor plan of the docs shows the house as it is."""

from __future__ import annotations

from .floor_plan import PATH, PUBLIC, draw, rows


def test_the_picture_is_that_of_the_contract() -> None:
    assert PATH.read_text("utf-8") == draw(), "run python -m tests.architecture.floor_plan"


def test_every_part_that_programs_import_is_a_room_of_the_house() -> None:
    assert {name for row in rows() for name in row} >= PUBLIC
