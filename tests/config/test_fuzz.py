"""No file, however broken, gives anything but a configuration or the list of what is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from docket.config.checking.problems import ConfigurationInvalid
from docket.config.load import Chosen, load, parse

pytestmark = pytest.mark.thorough

WHOLE = (Path(__file__).parent / "cases" / "good" / "everything.toml").read_bytes()
MARKS = b'[ ] { } = . " \' # , \\ nan 999999999 true -1 "" \xff \xef\xbb\xbf'.split()
PIECES = [*MARKS, b"\n", b"\x00", b"[[strikes]]\n", b"tasks = 1\n"]


def outcome(content: bytes) -> str:
    try:
        return " ".join(warning.render() for warning in parse(content).warnings)
    except ConfigurationInvalid as error:
        return "\n".join(problem.render() for problem in error.problems)


def test_every_truncation_is_read_or_refused() -> None:
    for length in range(0, len(WHOLE), 7):
        outcome(WHOLE[:length])


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(WHOLE)),
            st.integers(0, 12),
            st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)),
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=90, deadline=None)
def test_every_mutation_is_read_or_refused(edits: list[tuple[int, int, bytes]]) -> None:
    content = WHOLE
    for start, removed, inserted in edits:
        content = content[:start] + inserted + content[start + removed :]
    outcome(content)


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    outcome(content)


def test_no_truncation_shows_the_password() -> None:
    secret = WHOLE.replace(b"file:/run/secrets/docket", b"hunter2").replace(
        b'"1" }', b'"hunter2" }'
    )
    for length in range(0, len(secret), 3):
        assert "hunter2" not in outcome(secret[:length])


@given(st.integers(0, len(WHOLE)), st.sampled_from(PIECES))
@settings(max_examples=90, deadline=None)
def test_no_mutation_shows_the_password(position: int, piece: bytes) -> None:
    assert "app:hunter2" not in outcome(WHOLE[:position] + piece + WHOLE[position:])


LINES = WHOLE.decode().split("\n")
OF_KNOWN_KEYS = [
    number
    for number, line in enumerate(LINES)
    if re.match(r"[a-z_.]+ = ", line) and "when." not in line
]


@pytest.mark.parametrize("number", OF_KNOWN_KEYS)
def test_a_typo_is_found_on_its_line_wherever_it_is(number: int) -> None:
    lines = list(LINES)
    lines[number] = lines[number].replace(" = ", "x = ", 1)
    with pytest.raises(ConfigurationInvalid) as caught:
        parse("\n".join(lines))
    (unknown,) = [problem for problem in caught.value.problems if "unknown" in problem.message]
    assert (unknown.line, unknown.column) == (number + 1, 1)
    assert "did you mean" in unknown.suggestion


@given(st.integers(0, len(LINES)), st.text(alphabet="# \t\n", max_size=20))
@settings(deadline=None)
def test_lines_between_move_what_is_told_by_as_many_lines(number: int, between: str) -> None:
    lines = [*LINES[:number], *(f"#{line}" for line in between.split("\n")), *LINES[number:]]
    lines.append("[zzz]")
    with pytest.raises(ConfigurationInvalid) as caught:
        parse("\n".join(lines))
    (problem,) = caught.value.problems
    assert problem.line == len(lines)


def is_safe(text: str) -> bool:
    """Whether a terminal shows a text as it is."""
    return all(character.isprintable() or character == "\n" for character in text)


@given(st.text(max_size=30), st.sampled_from(["tasks", "schedules", "workers", "profiles", "zzz"]))
@settings(deadline=None)
def test_no_name_breaks_a_message_or_a_terminal(name: str, table: str) -> None:
    key = json.dumps(name, ensure_ascii=True)
    text = f"[{table}.{key}]\nzzz = 1\n[[strikes]]\ntask = {key}\nreason = {key}\n"
    try:
        content = text.encode()
    except UnicodeEncodeError:
        return
    told = outcome(content)
    assert is_safe(told)
    assert all(re.match(r"    |docket\.toml:\d+:\d+: ", line) for line in told.split("\n") if told)


@given(
    st.sampled_from(["tasks.hello.timeout", "name", "profiles.dev.name", "strikes", "include"]),
    st.sampled_from(["5", '"x"', "[]", "{}", "[{}]", "true", "[1, {a = 2}]"]),
    st.sampled_from(["docket", "part", "overlay"]),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_any_layer_says_it_is_read_or_refused(
    tmp_path: Path, key: str, value: str, layer: str
) -> None:
    texts = {
        "docket": '[tasks.hello]\nfunction = "a:b"\n',
        "part": '[profiles.prod]\nname = "x"\n',
        "overlay": '[tasks.hello]\nqueue = "y"\n',
    }
    texts[layer] = f"{key} = {value}\n{texts[layer]}"
    if key != "include":
        texts["docket"] = f'include = ["part.toml"]\n{texts["docket"]}'
    for name, text in texts.items():
        (tmp_path / f"{name}.toml").write_text(text)
    for profile in (None, "dev", "prod"):
        chosen = Chosen((tmp_path / "overlay.toml",), profile, (f"{key}={value}",))
        environ = {f"DOCKET_{key.upper().replace('.', '__')}": value}
        for variables in ({}, environ):
            try:
                load(tmp_path / "docket.toml", variables, chosen)
            except ConfigurationInvalid as error:
                assert all(problem.place for problem in error.problems)


@given(st.integers(0, len(WHOLE)), st.integers(0, 3), st.sampled_from(PIECES))
@settings(max_examples=60, deadline=None)
def test_the_secrets_of_a_profile_are_in_no_message(position: int, cut: int, piece: bytes) -> None:
    content = WHOLE.replace(b"url = ", b"[profiles.dev]\nurl = ", 1)
    content = content.replace(b'timezone = "E', b'[profiles]\ntimezone = "E', 1)
    mutated = content[:position] + piece + content[position + cut :]
    assert "app:hunter2" not in outcome(mutated)
