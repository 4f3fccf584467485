"""The text of a script, put together so that a call makes only the functions that it is likely to use.

Each call of a script makes the functions at its top level anew, 0.2 to 0.3 µs each: for a small script that
is more than its work. So the functions that most calls do without are made when they are first used: those of
the files in ``MODULES``, those that are marked ``--! rare``, and those that only such functions use.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from importlib import resources
from typing import NamedTuple

MODULES = (
    "evicting",
    "gates",
    "history",
    "leases",
    "parked",
    "passed",
    "stored",
    "suspects",
    "turns",
)
"""Files whose functions are used as ``gates.leave``, and are made when the first of a file is used."""

_INCLUDE = re.compile(r"^--! include (\w+)$", re.MULTILINE)

_INSERT = re.compile(r"^ *--! insert (\w+)$", re.MULTILINE)
"""Place of a part of a script that has a file of its own, because few calls come there."""

_USES = re.compile(rf"\b({'|'.join(MODULES)})\.(?=\w)")

_NAMES = re.compile(r"^local (?:function )?(\w+(?:, \w+)*)", re.MULTILINE)
"""Names that are defined at the top level of a file."""

_FUNCTION = re.compile(r"^local function (\w+)\(.*?( end)?( *--! rare)?$")
"""The first line of a function at the top level; with its ``end`` it is the only one."""

_WORDS = re.compile(r"([\w.']+)( = )?")
"""Words, of which some are names of functions: no fields, no keys of tables, and no texts."""

_VARIABLES = (
    re.compile(r"local (?!function)([\w, ]+)"),
    re.compile(r"function[ \w.]*\(([^)]*)\)"),
    re.compile(r"for ([\w, ]+)(?: in|=)"),
)

REMEMBERS = "HISTORY"
"""First argument of the scripts that end executions: how much is remembered of what has ended."""

_SENDING = "send_events()\n"
_BOUNDING = "if is_noted then history.bound() end\n"

_ENDING = """
-- What was done before an error is told like the rest: nobody does it again, and somebody may wait for it.
local ok, reply = pcall(script)
send_events()
if ok then return reply end
return error(reply, 0)
"""
"""Ends every script. No script sends its events itself, so that none can forget to."""


@cache
def read(name: str) -> str:
    """Return the text of one Lua file."""
    directory = resources.files("docket.storage") / "scripts"
    return (directory / f"{name}.lua").read_text("utf-8")


def included(name: str) -> str:
    """Return the text of a file that scripts include."""
    return read(f"include/{name}")


def used_modules(texts: Sequence[str]) -> list[str]:
    """Return the modules that these texts use, and those that are used by these in turn."""
    used = set[str]()
    texts = list(texts)
    while texts:
        new = set(_USES.findall(texts.pop())) - used
        used |= new
        texts.extend(map(included, new))
    return sorted(used)


def assemble(name: str, arguments: Sequence[str], *, is_movable: bool) -> str:
    """Return the Lua text of a script.

    Arguments:
        name: the file with its body.
        arguments: the names of the Lua locals that hold its arguments.
        is_movable: whether it sees the time as tests have moved it.
    """
    remembers = REMEMBERS in arguments
    names = ["P", *arguments]
    values = [f"ARGV[{index}]" for index in range(1, len(names) + 1)]
    body = read(name)
    inserted = {part: included(part) for part in _INSERT.findall(body)}
    parts = [included(part) for part in _INCLUDE.findall("\n".join([body, *inserted.values()]))]
    modules = used_modules([*parts, body, *inserted.values()])
    head = [
        f"local {', '.join(names)} = {', '.join(values)}",
        f"local REST = {len(names) + 1}",
        *([] if remembers else [f"local {REMEMBERS} = ''"]),
        "local server = redis",
        *map(included, ["probe", *["moved"] * is_movable, "format", "events"]),
        *(["local use"] if modules else []),
        *parts,
    ]
    making = _making(modules) if modules else ""
    shared, own = [chunk for part in head for chunk in _chunks(part)], _chunks(body)
    rare = _rare(shared, own, [making, *inserted.values()])
    shared_names, shared_text = _set_apart(shared, rare, "rarely")
    own_names, own_text = _set_apart(own, rare, "rarely_here")
    own_text = _INSERT.sub(lambda found: _through(own_names, inserted[found[1]]), own_text)
    text = "\n".join(
        [
            shared_text,
            _through(shared_names, making),
            # A function, so that events are sent also where it ends by an error.
            "local function script()",
            _through(shared_names, own_text),
            "end",
            _ENDING.replace(_SENDING, f"{_BOUNDING}{_SENDING}") if remembers else _ENDING,
        ]
    )
    # A table that makes itself when it is first looked into costs each call more than this.
    for module in modules:
        text = _replaced(text, rf"{module}\.(?=\w)", f"use('{module}').")
    return text


def _making(modules: Sequence[str]) -> str:
    """Return the Lua text of the function that gives modules, and makes each when it is first asked for."""
    branches = "".join(
        f"if name == '{name}' then\n{included(name)}\n{_exports(name)}\nend\n" for name in modules
    )
    return (
        "local modules = {}\nfunction use(name)\nlocal module = modules[name]\n"
        "if module then return module end\nmodule = {}\nmodules[name] = module\n"
        f"{branches}return module\nend"
    )


def _exports(module: str) -> str:
    names = [one for found in _NAMES.findall(included(module)) for one in found.split(", ")]
    return "\n".join(f"module.{one} = {one}" for one in names)


class _Chunk(NamedTuple):
    """A function at the top level of a text, or the lines between two of them."""

    text: str
    function: str = ""
    is_rare: bool = False

    @property
    def code(self) -> str:
        """The text without its comments."""
        return _code(self.text)


# Scripts have most of their files in common: what is found in one is found once.
@cache
def _code(text: str) -> str:
    return re.sub(r"--.*", "", text)


@cache
def _named(code: str) -> frozenset[str]:
    found = (word.partition(".")[0] for word, assigned in _WORDS.findall(code) if not assigned)
    return frozenset(name for name in found if "'" not in name)


@cache
def _declared(text: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the variables and parameters of a text, and its functions."""
    variables = " ".join(name for kind in _VARIABLES for name in kind.findall(text))
    functions = re.findall(r"local function (\w+)", text)
    return frozenset(re.findall(r"\w+", variables)), tuple(functions)


@cache
def _chunks(text: str) -> tuple[_Chunk, ...]:
    chunks: list[_Chunk] = []
    lines: list[str] = []
    begun: re.Match[str] | None = None
    for line in text.split("\n"):
        if begun is None and (begun := _FUNCTION.match(line)) is not None:
            chunks.append(_Chunk("\n".join(lines)))
            lines = []
        lines.append(line)
        if begun is not None and (line == "end" or begun[2]):
            chunks.append(_Chunk("\n".join(lines), begun[1], bool(begun[3])))
            lines, begun = [], None
    return (*chunks, _Chunk("\n".join(lines)))


def _rare(shared: Sequence[_Chunk], own: Sequence[_Chunk], seldom: Sequence[str]) -> set[str]:
    """Return the functions that most calls do without, and those that nothing needs.

    Arguments:
        shared: the part that several scripts have in common.
        own: the body of this one.
        seldom: texts that most calls do not come to.
    """
    chunks = [*shared, *own]
    code = {chunk.function: chunk.code for chunk in chunks if chunk.function}
    always = [_ENDING, *(chunk.code for chunk in chunks if not chunk.function)]
    marked = {chunk.function for chunk in chunks if chunk.is_rare}
    often = _reached(always, {name: text for name, text in code.items() if name not in marked})
    # A function whose name stands for something else as well cannot be called by another name.
    ambiguous = _ambiguous([*(chunk.code for chunk in chunks), *seldom])
    rare = set(code) - often - ambiguous
    for part in (shared, own):
        while early := _reached(_before_the_last(part, rare), code) & rare:
            rare -= early
    return rare


def _reached(texts: Iterable[str], code: Mapping[str, str]) -> set[str]:
    """Return the functions that are named in these texts, and in the functions that are."""
    reached = set[str]()
    waiting = list(texts)
    while waiting:
        new = _named(waiting.pop()) & code.keys() - reached
        reached |= new
        waiting += [code[name] for name in new]
    return reached


def _ambiguous(texts: Sequence[str]) -> set[str]:
    """Return the names of variables, parameters, and functions that there are two of."""
    declared = [_declared(text) for text in texts]
    functions = Counter(name for _, names in declared for name in names)
    return {name for names, _ in declared for name in names} | {
        name for name, count in functions.items() if count > 1
    }


def _before_the_last(chunks: Sequence[_Chunk], rare: AbstractSet[str]) -> list[str]:
    """Return the code that runs before the last of these functions is made."""
    last = max((at for at, chunk in enumerate(chunks) if chunk.function in rare), default=0)
    return [chunk.code for chunk in chunks[:last] if not chunk.function]


def _set_apart(
    chunks: Sequence[_Chunk], rare: AbstractSet[str], maker: str
) -> tuple[dict[str, str], str]:
    """Have rare functions made by another one, which stands where the last of them stood.

    Returns:
        The name by which each of them is called from outside of it, and the text.
    """
    calls = {
        name: f"{maker}().{name}" for name in (chunk.function for chunk in chunks) if name in rare
    }
    if not calls:
        return calls, "\n".join(chunk.text for chunk in chunks)
    last = max(at for at, chunk in enumerate(chunks) if chunk.function in rare)
    before = [chunk.text for chunk in chunks[:last] if chunk.function not in rare]
    after = [chunk.text for chunk in chunks[last + 1 :]]
    making = [
        f"local made_{maker}\nfunction {maker}()\nif made_{maker} then return made_{maker} end",
        *(chunk.text for chunk in chunks if chunk.function in rare),
        f"made_{maker} = {{{', '.join(f'{name} = {name}' for name in calls)}}}",
        f"return made_{maker}\nend",
    ]
    text = [f"local {maker}", _through(calls, "\n".join(before)), *making]
    return calls, "\n".join([*text, _through(calls, "\n".join(after))])


def _through(calls: Mapping[str, str], text: str) -> str:
    """Have functions called by other names."""
    for name, call in calls.items():
        text = _replaced(text, rf"{name}\b(?!'| = )", call)
    return text


def _replaced(text: str, pattern: str, by: str) -> str:
    """Replace words; one that begins a pattern is found far faster than what must not stand before it."""

    def replace(found: re.Match[str]) -> str:
        before = text[found.start() - 1 : found.start()]
        return found[0] if before and (before in "._'" or before.isalnum()) else by

    return re.sub(pattern, replace, text)
