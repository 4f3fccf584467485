"""The API reference: every public name is in it, and every one of them is explained."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import get_origin

import pytest

from .reference import MODULES, build

NAMES = [
    (module, name)
    for module in MODULES
    for name in getattr(importlib.import_module(module), "__all__", ())
    if not name.startswith("_") and f"{module}.{name}" not in MODULES
]
"""What has a page of its own, as a module, is not a name on the page above it."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("reference")
    build(directory)
    return directory


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_public_name_is_in_the_reference(pages: Path) -> None:
    missing = [
        f"{module}.{name}"
        for module, name in NAMES
        if f'id="{name}"' not in (pages / f"{module.replace('.', '/')}.html").read_text("utf-8")
    ]

    assert missing == []


def test_every_public_class_and_function_says_what_it_does() -> None:
    bare = [
        f"{module}.{name}"
        for module, name in NAMES
        if (
            (inspect.isclass(found := getattr(importlib.import_module(module), name)))
            or inspect.isfunction(found)
        )
        # Before Python 3.11 the alias of a callable passes for a class.
        and get_origin(found) is None
        and not re.match(r"\S.*", inspect.getdoc(found) or "")
    ]

    assert bare == []
