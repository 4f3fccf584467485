"""What ``import docket`` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import docket


def test_every_public_name_is_there() -> None:
    assert dir(docket) == docket.__all__
    for name in docket.__all__:
        assert getattr(docket, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'docket' has no attribute 'nobody'"):
        docket.nobody  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.thorough
def test_adding_work_needs_none_of_the_configuration_tower() -> None:
    heavy = (
        "pydantic",
        "pydantic_settings",
        "croniter",
        "watchfiles",
        "typer",
        "rich",
        "starlette",
    )
    program = (
        "import sys, docket; docket.Docket; docket.Worker; "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )

    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == "[]"
