from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from docket.config.reading.keypath import KeyPath
from docket.config.reading.locate import Places, Span, locate

TEXT = '''\
a = 1
"b.c".d = [1, {x = 2}, [3]]  # comment
[t.u]
k.l = { m = 1, "n" = """
x""" }
[[s]]
id = 1
[s.w]
z = [
  1, # one
  'two',
]
[[s]]
id = 2
[[s.v]]
[[s.v]]
'''


def at(span: Span | None) -> tuple[int, int] | None:
    return (span.line, span.column) if span else None


def test_keys_stand_where_they_are_named_first() -> None:
    places = locate(TEXT)
    assert at(places.key(("a",))) == (1, 1)
    assert at(places.key(("b.c",))) == (2, 1)
    assert at(places.key(("b.c", "d"))) == (2, 7)
    assert at(places.key(("b.c", "d", 1, "x"))) == (2, 16)
    assert at(places.key(("t",))) == (3, 2)
    assert at(places.key(("t", "u"))) == (3, 4)
    assert at(places.key(("t", "u", "k", "l", "n"))) == (4, 16)
    assert at(places.key(("s", 0, "w"))) == (8, 4)
    assert at(places.key(("s", 1, "id"))) == (14, 1)


def test_values_stand_behind_the_equals_sign() -> None:
    places = locate(TEXT)
    assert at(places.value(("a",))) == (1, 5)
    assert at(places.value(("b.c", "d", 2, 0))) == (2, 25)
    assert at(places.value(("s", 0, "w", "z", 1))) == (11, 3)


def test_a_value_ends_where_it_ends() -> None:
    span = locate(TEXT).value(("t", "u", "k", "l", "n"))
    assert span is not None
    assert TEXT[span.start : span.end] == '"""\nx"""'


def test_tables_begin_at_their_headers() -> None:
    places = locate(TEXT)
    assert at(places.table(("t", "u"))) == (3, 1)
    assert at(places.table(("s", 0))) == (6, 1)
    assert at(places.table(("s", 1))) == (13, 1)
    assert at(places.table(("s", 1, "v", 1))) == (16, 1)


def test_a_table_without_a_header_begins_at_its_key() -> None:
    assert at(locate(TEXT).table(("t", "u", "k", "l"))) == (4, 3)


def test_what_is_not_there_is_at_what_is_nearest_above_it() -> None:
    places = locate(TEXT)
    assert at(places.value(("s", 1, "when", "x"))) == (13, 1)
    assert at(places.key(("a", "b"))) == (1, 1)
    assert places.key(("nothing",)) is None


def test_the_scanner_stops_where_the_text_is_no_toml() -> None:
    for text in (
        "a = 1\nb 2\nc = 3",
        "a = 1\nb = \nc = 3",
        "a = 1\nb = 'x\nc = 3",
        "a = 1\nb = [1 [\nc = 3",
        "a = 1\n[b\nc = 3",
        'a = 1\n"\\q" = 2\nc = 3',
        "a = 1\nb = " + "[" * 500 + "]" * 500 + "\nc = 3",
        "a = 1 [\nc = 3",
        "a = 1\nb = {x = 1, \nc",
        "a = 1\nb = [1, ",
    ):
        places = locate(text)
        assert at(places.key(("a",))) == (1, 1)
        assert places.key(("c",)) is None


def paths_of(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, inner in cast(dict[str, Any], value).items():
            yield from paths_of((*path, key), inner)
    if isinstance(value, list):
        for index, inner in enumerate(cast(list[Any], value)):
            yield from paths_of((*path, index), inner)


bare = st.text("abAB01_-", min_size=1, max_size=4)
content = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="'"), max_size=6
)
gap = st.sampled_from(["", " ", "\t "])
line_gap = st.sampled_from(["", " ", "\n", " # ]}'\"\n", "\n\n  "])


@st.composite
def keys(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["bare", "literal", "basic"]))
    if kind == "bare":
        return draw(bare)
    text = draw(content)
    if kind == "literal":
        return f"'{text}'"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def strings(draw: st.DrawFn) -> str:
    text = draw(content)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return draw(
        st.sampled_from(
            [
                f"'{text}'",
                f'"{escaped}"',
                f'"""{escaped}\n{escaped}"""',
                f'"""{escaped} ""{escaped}x"""""',
                f"'''\n{text}''x'''''",
            ]
        )
    )


scalars = st.one_of(
    strings(),
    st.integers(-99, 99).map(str),
    st.sampled_from(["true", "1.5", "inf", "0x1F", "1979-05-27 07:32:00", "07:32:00"]),
)


def arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.lists(values, max_size=3), line_gap, st.booleans()).map(
        lambda drawn: (
            f"[{drawn[1]}"
            + f"{drawn[1]},{drawn[1]}".join(drawn[0])
            + (drawn[1] + "," if drawn[2] and drawn[0] else "")
            + f"{drawn[1]}]"
        )
    )


def inline_tables(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.dictionaries(keys(), values, max_size=3).map(
        lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
    )


values = st.recursive(scalars, lambda inner: st.one_of(arrays(inner), inline_tables(inner)))


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines: list[str] = []
    for _ in range(draw(st.integers(0, 6))):
        dotted = f"{draw(gap)}.{draw(gap)}".join(draw(st.lists(keys(), min_size=1, max_size=3)))
        line = draw(
            st.one_of(
                st.just(f"[{draw(gap)}{dotted}{draw(gap)}]"),
                st.just(f"[[{dotted}]]"),
                values.map(lambda value, key=dotted: f"{key}{' '}={' '}{value}"),
                st.just("# comment = [1"),
            )
        )
        candidate = "\n".join([*lines, draw(gap) + line])
        if is_toml(candidate):
            lines = candidate.split("\n")
    return "\n".join(lines) + draw(st.sampled_from(["", "\n", " # end"]))


def is_toml(text: str) -> bool:
    try:
        tomli.loads(text)
    except tomli.TOMLDecodeError:
        return False
    return True


def value_at(places: Places, text: str, path: KeyPath) -> Any:
    span = places.values[path]
    return tomli.loads(f"value = {text[span.start : span.end]}")["value"]


@pytest.mark.thorough
@given(documents())
def test_whatever_tomli_reads_is_located(text: str) -> None:
    places = locate(text)
    for path, value in paths_of((), tomli.loads(text)):
        if path in places.values:
            assert value_at(places, text, path) == value
        elif isinstance(path[-1], str):
            assert path in places.keys
        else:
            assert path in places.headers


@pytest.mark.thorough
@given(documents())
def test_keys_are_where_their_spans_say(text: str) -> None:
    for path, span in locate(text).keys.items():
        assert tomli.loads(f"{text[span.start : span.end]} = 1") == {path[-1]: 1}
        before = text[: span.start]
        assert span.line == before.count("\n") + 1
        assert span.column == len(before) - before.rfind("\n")


@pytest.mark.thorough
@given(documents())
def test_nothing_is_located_that_tomli_did_not_read(text: str) -> None:
    places = locate(text)
    paths = {path for path, _ in paths_of((), tomli.loads(text))}
    assert {*places.keys, *places.values, *places.headers} <= paths


@given(st.text(st.sampled_from("ab[]{}=.,'\"\\# \n1"), max_size=60))
def test_no_text_makes_the_scanner_fail(text: str) -> None:
    locate(text)
