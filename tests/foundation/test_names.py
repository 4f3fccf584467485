"""Names are printable, and the keys of a docket are nobody else's."""

from __future__ import annotations

import re
import uuid

import pytest

from docket import Docket, Worker
from docket.config.checking.problems import ConfigurationInvalid
from docket.config.load import parse
from docket.errors import InvalidName
from docket.foundation.names import KEYS
from docket.storage import keys


async def job() -> None: ...


UNFIT = {
    "": "printable characters",
    " ": "without a space at its ends",
    "a ": "without a space at its ends",
    "a\nb": "printable characters",
    "a\x1b]0;x\x07": "printable characters",
    "a\u202eb": "printable characters",
    "é" * 101: "at most 200 bytes",
}
UNFIT_DOCKETS = {
    **UNFIT,
    "a}b": "without braces",
    "own:runs": "found 'runs' after a colon: 'own' has such keys",
    "own:orders:stream": "found 'stream' after a colon",
}


@pytest.mark.parametrize("name", [name for name in UNFIT_DOCKETS if name])
def test_a_docket_that_can_not_be_called_so_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match=re.escape(UNFIT_DOCKETS[name])):
        Docket(name, "memory://names", config=False)


@pytest.mark.parametrize("name", ["a", "shop/orders", "own:orders", "élan vital", "a.b-c_d"])
def test_other_names_of_dockets_are_taken(name: str) -> None:
    assert Docket(name, "memory://names", config=False).name == name


@pytest.mark.parametrize("name", UNFIT)
async def test_a_task_and_a_queue_that_can_not_be_called_so_are_refused(name: str) -> None:
    async with Docket(uuid.uuid4().hex, "memory://names", config=False) as docket:
        with pytest.raises(InvalidName, match=f"^task .*{UNFIT[name]}"):
            docket.register(job, [name])
        with pytest.raises(InvalidName, match=f"^queue .*{UNFIT[name]}"):
            Worker(docket, queues=[name])


@pytest.mark.parametrize("name", ["a}b", "own:runs"])
def test_a_file_is_told_what_its_docket_can_not_be_called(name: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="name: expected a name "):
        parse(f'name = "{name}"\n')


def test_an_owner_has_no_slash_which_stands_between_it_and_its_schedules() -> None:
    with pytest.raises(ConfigurationInvalid, match="owner: expected a name without /"):
        parse('owner = "a/b"\n')
    assert parse('name = "a/b"\n').configuration.owned_by == "a-b"


def test_every_key_of_a_docket_is_among_those_that_no_other_may_have() -> None:
    documented = set(re.findall(r"``P:([a-z0-9-]+)", keys.__doc__ or ""))

    assert documented - KEYS == set()
