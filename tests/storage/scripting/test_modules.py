"""Modules of the scripts: files whose functions are made when something of them is first used."""

from __future__ import annotations

import importlib
import pkgutil
import re
from importlib import resources

import pytest

import docket.storage
from docket import Docket
from docket.storage.scripting import source
from docket.storage.scripting.script import Script, run
from docket.storage.scripting.source import MODULES

SCRIPTS = sorted(
    {
        found.name: found
        for module in pkgutil.walk_packages(docket.storage.__path__, "docket.storage.")
        for found in vars(importlib.import_module(module.name)).values()
        if isinstance(found, Script)
    }.values(),
    key=lambda script: script.name,
)


def text_of(name: str) -> str:
    return (resources.files("docket.storage") / "scripts" / f"{name}.lua").read_text("utf-8")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_name_that_a_script_takes_from_a_module_is_there(script: Script) -> None:
    for module in MODULES:
        code = re.sub(r"--.*", "", script.source)
        for name in set(re.findall(rf"use\('{module}'\)\.(\w+)", code)):
            assert f"module.{name} = {name}" in script.source, f"{module}.{name}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_no_script_uses_the_name_of_a_module_for_something_else(script: Script) -> None:
    body = re.sub(r"--.*", "", text_of(script.name))
    declared = {
        name.strip()
        for names in re.findall(r"\blocal (?!function)([\w, ]+)", body)
        for name in names.split(",")
    }
    assert declared.isdisjoint(MODULES)


def test_a_script_has_only_the_modules_that_it_needs() -> None:
    beat, settle = (one for one in SCRIPTS if one.name in ("beat", "settle"))
    assert "function use" not in beat.source
    assert {f"if name == '{name}'" in settle.source for name in ("gates", "turns")} == {True}
    assert "if name == 'suspects'" not in settle.source


def made_by_each_call(source: str) -> list[str]:
    """The functions that a script makes before it begins."""
    often = re.sub(
        r"function (\w+)\(\)\nif made_.*?return made_\1\nend", r"", source, flags=re.DOTALL
    )
    often = re.sub(
        r"^function use\(.*?^return module\nend", "", often, flags=re.DOTALL | re.MULTILINE
    )
    return re.findall(r"^local function (\w+)", often, re.MULTILINE)


@pytest.mark.parametrize(("name", "functions"), [("schedule", 20), ("settle", 24), ("claim", 34)])
def test_each_call_of_a_script_makes_few_functions(name: str, functions: int) -> None:
    # Of those of claim.lua some stand in parts to which few calls come.
    (script,) = (one for one in SCRIPTS if one.name == name)
    assert len(made_by_each_call(script.source)) <= functions


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_what_is_marked_as_rare_is_made_when_it_is_used(script: Script) -> None:
    marked = re.findall(r"^local function (\w+)\(.*--! rare$", text_of(script.name), re.MULTILINE)
    assert set(marked).isdisjoint(made_by_each_call(script.source))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
async def test_every_script_is_understood(script: Script) -> None:
    async with Docket("modules", "memory://modules") as docket:
        for one in (script, script.movable):
            (reply,) = await docket.storage.connection.send(("SCRIPT", "LOAD", one.source))
            assert reply.decode() == one.sha


async def test_a_rare_function_that_is_called_too_early_is_made_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = """
local function early(number)   --! rare
  return number + 1
end
local first = early(1)
local function late(number)   --! rare
  return early(number) + 1
end
return {first, late(1)}
"""
    read = source.read

    def also(name: str) -> str:
        return text if name == "of the test" else read(name)

    monkeypatch.setattr(source, "read", also)
    script = Script("of the test")
    async with Docket("modules", "memory://modules") as docket:
        call = script.call(docket.storage.keys)
        assert await run(docket.storage.connection, call) == [[2, 3]]

    assert "late" not in made_by_each_call(script.source)
    assert "early" in made_by_each_call(script.source)
