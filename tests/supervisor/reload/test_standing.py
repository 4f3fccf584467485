"""How a file stands to the configuration in force, and which pools run on a host."""

from __future__ import annotations

import pytest

from docket.config.load import parse
from docket.storage.configurations import Revision, RevisionEntry
from docket.supervisor.reload.standing import FLAP_WINDOW, FLAPS, Standing, here, standing


def entry(digest: str, declared: int | None = None, host: str = "a") -> RevisionEntry:
    return RevisionEntry(digest, "", declared, host, "applied")


def history(*entries: RevisionEntry, apart: int = 1000) -> list[Revision]:
    """These, the newest first."""
    count = len(entries)
    return [Revision(count - at, (count - at) * apart, one) for at, one in enumerate(entries)]


def test_the_first_file_is_put_in_force() -> None:
    assert standing(entry("x"), []) is Standing.NEWER


def test_the_same_file_joins_whoever_has_put_it_in_force() -> None:
    assert standing(entry("x", 7, "b"), history(entry("x", 3))) is Standing.SAME


@pytest.mark.parametrize(
    ("ours", "theirs", "host", "expected"),
    [
        (8, 7, "b", Standing.NEWER),
        (6, 7, "b", Standing.OLDER),
        (6, 7, "a", Standing.OLDER),
        (7, 7, "b", Standing.CONFLICT),
        (7, 7, "a", Standing.NEWER),
        (None, 7, "b", Standing.NEWER),
        (7, None, "b", Standing.NEWER),
        (None, None, "b", Standing.NEWER),
    ],
)
def test_a_higher_revision_goes_before(
    ours: int | None, theirs: int | None, host: str, expected: Standing
) -> None:
    assert standing(entry("x", ours, host), history(entry("y", theirs))) is expected


def test_two_hosts_that_take_turns_are_found_out() -> None:
    turns = [entry("xy"[at % 2], host="ab"[at % 2]) for at in range(FLAPS)]

    assert standing(entry("y", host="b"), history(*turns)) is Standing.FLAPPING
    assert standing(entry("z", host="b"), history(*turns)) is Standing.NEWER
    assert standing(entry("y", host="b"), history(*turns[1:])) is Standing.SAME
    assert standing(entry("y", host="b"), history(*turns[:-1])) is Standing.NEWER
    slowly = history(*turns, apart=FLAP_WINDOW)
    assert standing(entry("y", host="b"), slowly) is Standing.NEWER


def test_one_host_may_go_back_and_forth() -> None:
    turns = [entry("xy"[at % 2]) for at in range(FLAPS)]

    assert standing(entry("y"), history(*turns)) is Standing.NEWER


def test_a_pool_runs_where_a_pattern_fits_the_name_of_the_host() -> None:
    configuration = parse(
        '[tasks.t]\nfunction = "m:t"\n[workers.all]\nconcurrency = 1\n'
        '[workers.some]\nhosts = ["batch-*", "web-1"]\n'
    ).configuration

    assert set(here(configuration, "web-1").workers) == {"all", "some"}
    assert set(here(configuration, "batch-7").workers) == {"all", "some"}
    assert set(here(configuration, "web-2").workers) == {"all"}
