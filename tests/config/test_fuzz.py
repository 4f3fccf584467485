"""No file, however broken, gives anything but a configuration or the list of what is wrong."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from docket.config.load import parse
from docket.config.problems import ConfigurationInvalid

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
@settings(max_examples=150, deadline=None)
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
@settings(max_examples=150, deadline=None)
def test_no_mutation_shows_the_password(position: int, piece: bytes) -> None:
    assert "app:hunter2" not in outcome(WHOLE[:position] + piece + WHOLE[position:])
