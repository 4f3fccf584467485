"""Who gives a command."""

from __future__ import annotations

import getpass
import os
from typing import NoReturn

import pytest

from docket.cli.parameters.author import author


def test_the_user_is_called_by_name() -> None:
    assert author() == getpass.getuser()


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("no user")])
def test_a_user_without_a_name_is_called_by_number(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def nobody() -> NoReturn:
        raise error

    monkeypatch.setattr(getpass, "getuser", nobody)

    assert author() == f"uid {os.getuid()}"
