"""Where a docket is."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from docket import Docket
from docket.assembly import audit_limits, history_limits, serializer_for
from docket.config.load import load
from docket.connection.url import _ENVIRONMENTS
from docket.discovery.address import Address, find, read_secret
from docket.discovery.layering import SCHEMES, embedded_url
from docket.errors import ConfigurationError, InvalidSetting, NotSerializable
from docket.serialization import Serializer
from docket.storage.stored import ResultLimits


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(directory: Path, text: str, name: str = "docket.toml") -> Path:
    file = directory / name
    file.write_text(text)
    return file


def test_nothing_said_means_the_default(directory: Path) -> None:
    assert find(environ={}) == Address("docket", "redis://localhost:6379/0")


def test_arguments_come_before_the_environment_and_that_before_the_file(directory: Path) -> None:
    write(directory, 'name = "file"\nurl = "redis://file/0"\n')
    environ = {"DOCKET_NAME": "environment", "DOCKET_URL": "redis://environment/0"}

    assert find(environ={}) == Address("file", "redis://file/0", codecs=("safe",))
    assert find(environ=environ) == Address(
        "environment", "redis://environment/0", codecs=("safe",)
    )
    assert find("argument", "redis://argument/0", environ=environ) == Address(
        "argument", "redis://argument/0"
    )
    assert find("file", "redis://argument/0", environ={}).codecs == ("safe",)


def test_a_file_without_a_url_means_the_embedded_server_beside_it(directory: Path) -> None:
    file = write(directory, 'name = "orders"\n')

    assert find(environ={}) == Address(
        "orders", f"embedded://{directory}/.docket", codecs=("safe",)
    )
    assert find(environ={}).url == embedded_url(file)


def test_the_environment_may_name_the_file_and_hold_the_url_in_one(directory: Path) -> None:
    file = write(directory, 'name = "elsewhere"\n', "other.toml")
    secret = write(directory, "redis://:secret@host/0\n", "url")

    found = find(environ={"DOCKET_CONFIG": str(file), "DOCKET_URL_FILE": str(secret)})

    assert found == Address("elsewhere", "redis://:secret@host/0", codecs=("safe",))


def test_the_file_says_what_all_who_use_the_docket_must_share(directory: Path) -> None:
    write(directory, "first\n", "key")
    file = write(
        directory,
        'url = "memory://shared"\nexecution_ttl = "5m"\n[security]\ncodecs = ["safe"]\n'
        'max_payload = "2KiB"\nsigning_keys = { a = "file:key", b = "env:SECOND", c = "third" }\n',
    )

    found = find(config=file, environ={"SECOND": "second"})

    assert found == Address(
        "docket",
        "memory://shared",
        timedelta(minutes=5),
        ("safe",),
        (("a", b"first"), ("b", b"second"), ("c", b"third")),
        2048,
    )


def test_a_docket_from_a_configuration_follows_it(directory: Path) -> None:
    file = write(directory, 'name = "n"\nurl = "memory://m"\n[security]\ncodecs = ["safe"]\n')

    docket = Docket.from_config(file, heartbeat_interval=timedelta(seconds=1))

    assert (docket.name, docket.url) == ("n", "memory://m")
    assert docket.serializer.codecs == ("safe",)
    assert docket.silence == timedelta(seconds=5)
    assert docket.execution_ttl == timedelta(minutes=15)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = \n", "docket.toml"),
        ("name = 5\n", "name: expected a string in quotes, found 5"),
        ("security = 5\n", "security: expected a table, found 5"),
        ('execution_ttl = "soon"\n', "execution_ttl: expected a duration"),
        ('history.enabled = "no"\n', "history.enabled: expected true or false, found 'no'"),
        ("history = 5\n", "history: expected a table, found 5"),
        ('security.max_payload = "much"\n', "security.max_payload: expected a size"),
        ("security.max_payload = [1]\n", "security.max_payload: "),
        ('security.codecs = "safe"\n', r'codecs: expected \["safe"\] or .*, found \'safe\''),
        ('[security]\nsigning_keys = { a = "env:NOBODY" }\n', "NOBODY is not set"),
        (
            '[security]\nsigning_keys = { a = "file:nowhere" }\n',
            "cannot read the secret file nowhere",
        ),
    ],
)
def test_a_file_that_can_not_be_used_is_told_of(directory: Path, text: str, message: str) -> None:
    write(directory, text)

    with pytest.raises(ConfigurationError, match=message):
        find(environ={})


def test_a_file_that_is_named_must_be_there(directory: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"expected a docket\.toml there"):
        find(config="nowhere.toml", environ={})


def test_a_secret_that_names_no_kind_is_itself(directory: Path) -> None:
    assert read_secret("a:b", {}, directory) == "a:b"


def test_included_files_overlays_and_the_profile_count(directory: Path) -> None:
    file, part, over = (directory / name for name in ("docket.toml", "a.part", "over.toml"))
    file.write_text(
        'include = ["*.part"]\nname = "file"\nsecurity.max_payload = 7\n[profiles.dev]\nname = "dev"\n'
    )
    part.write_text('execution_ttl = "1m"\n')
    over.write_text('url = "redis://over/0"\n[security]\ncodecs = ["safe"]\n')
    config = {"DOCKET_CONFIG": f"{file}{os.pathsep}{over}"}

    found = find(environ=config)
    chosen = find(environ={**config, "DOCKET_PROFILE": "dev"})

    assert (found.name, found.url) == ("file", "redis://over/0")
    assert (found.execution_ttl, found.codecs) == (timedelta(minutes=1), ("safe",))
    assert found.max_payload == 7
    assert chosen.name == "dev"


KEY = "0123456789abcdef0123456789abcdef"
FILE = """name = "house"
url = "redis://localhost:1/0"
execution_ttl = "15m"
[security]
max_payload = "1MiB"
codecs = ["safe", "pickle"]
signing_keys = { "key-1" = "first", other = "second" }
[tasks.t]
function = "os:getcwd"
"""
VARIABLES: dict[str, dict[str, str]] = {
    "none": {},
    "a name": {"DOCKET_NAME": "other"},
    "a name that looks like a number": {"DOCKET_NAME": "5"},
    "a url": {"DOCKET_URL": "redis://other:1/0"},
    "how long records are kept": {"DOCKET_EXECUTION_TTL": "2h"},
    "how large arguments may be": {"DOCKET_SECURITY__MAX_PAYLOAD": "64KiB"},
    "the same as a number": {"DOCKET_SECURITY__MAX_PAYLOAD": "65536"},
    "what is remembered": {"DOCKET_HISTORY__KEEP": "5h", "DOCKET_HISTORY__MAX_MEMORY": "5MiB"},
    "the memory of results": {"DOCKET_RESULTS__MAX_MEMORY": "0"},
    "what is kept of deeds": {"DOCKET_AUDIT__KEEP": "5d", "DOCKET_AUDIT__MAX_MEMORY": "5MiB"},
    "that nothing is": {"DOCKET_HISTORY__ENABLED": "false"},
    "the codecs": {"DOCKET_SECURITY__CODECS": '["safe"]'},
    "one key": {"DOCKET_SECURITY__SIGNING_KEYS__KEY_1": KEY},
    "all keys": {"DOCKET_SECURITY__SIGNING_KEYS": f'{{ third = "{KEY}" }}'},
    "an empty one": {"DOCKET_SECURITY__CODECS": ""},
    "a profile": {
        "DOCKET_SECURITY__PROFILE": "strict",
        "DOCKET_SECURITY__CODECS": '["safe"]',
        "DOCKET_SECURITY__SIGNING_KEYS__KEY_1": KEY,
        "DOCKET_SECURITY__SIGNING_KEYS__OTHER": KEY,
    },
}


@pytest.mark.parametrize("named", VARIABLES)
def test_a_program_and_a_supervisor_read_the_same(
    directory: Path, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(directory, FILE)
    for variable, value in VARIABLES[named].items():
        monkeypatch.setenv(variable, value)
    configuration = load(file).configuration

    docket = Docket.from_config(file)

    assert (docket.name, docket.url) == (configuration.name, configuration.url)
    assert docket.execution_ttl == configuration.execution_ttl
    assert docket.storage.history.limits == history_limits(configuration)
    assert docket.storage.stored.limits == ResultLimits(configuration.results.max_memory)
    assert docket.storage.audit.limits == audit_limits(configuration)
    assert docket.serializer == serializer_for(configuration, file)


SIZE = 'expected a size such as "512KiB", "1MiB" or a number of bytes'
DURATION = 'expected a duration such as "500ms", "90s" or "1h30m"'


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        *(("DOCKET_SECURITY__MAX_PAYLOAD", value, SIZE) for value in ("-5", "0", "true", "much")),
        *(("DOCKET_EXECUTION_TTL", value, DURATION) for value in ("-5s", "-5", "1.0001s", "soon")),
        ("DOCKET_AUDIT__KEEP", "0s", "expected a duration longer than zero"),
        ("DOCKET_SECURITY__SIGNING_KEYS", "{ a = 5 }", "security.signing_keys.a: expected "),
        ("DOCKET_SECURITY__SIGNING_KEYS", '{ a = "" }', "security.signing_keys.a: expected "),
    ],
)
def test_a_program_and_a_supervisor_refuse_the_same(
    directory: Path, variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(directory, FILE)
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigurationError, match=re.escape(message)) as refused:
        load(file)
    assert variable in str(refused.value)
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Docket.from_config(file)


def test_what_a_variable_says_is_refused_by_its_name(directory: Path) -> None:
    write(directory, "-5\n", "size")
    for environ in (
        {"DOCKET_SECURITY__MAX_PAYLOAD": "-5"},
        {"DOCKET_SECURITY__MAX_PAYLOAD_FILE": "size"},
    ):
        with pytest.raises(
            ConfigurationError,
            match=f"^DOCKET_SECURITY__MAX_PAYLOAD: security.max_payload: {SIZE}, found -5",
        ):
            find(environ=environ)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"max_payload": 0}, "expected a limit of at least 1 byte, found 0"),
        ({"execution_ttl": timedelta(seconds=-1)}, "expected an execution_ttl of zero or more, found -1s"),
        ({"heartbeat_interval": timedelta()}, "expected a heartbeat_interval longer than zero, found 0s"),
        ({"missed_heartbeats": 0}, "expected missed_heartbeats of 1 or more, found 0"),
    ],
)  # fmt: skip
def test_arguments_that_can_not_be_are_refused(argument: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        Docket("n", "memory://m", config=False, **argument)


def test_a_variable_may_name_a_file_that_holds_its_value(directory: Path) -> None:
    size = write(directory, "2KiB\n", "size")

    assert find(environ={"DOCKET_SECURITY__MAX_PAYLOAD_FILE": str(size)}).max_payload == 2048
    with pytest.raises(ConfigurationError, match="DOCKET_NAME_FILE: cannot read nowhere"):
        find(environ={"DOCKET_NAME_FILE": "nowhere"})


def test_without_a_file_values_are_pickled_as_a_last_resort_and_with_one_only_if_it_says_so(
    directory: Path,
) -> None:
    assert find(environ={}).codecs is None
    assert "pickle" in Docket("n", "memory://m").serializer.codecs

    write(directory, 'name = "n"\n')

    assert Docket().serializer.codecs == ("safe",)


def test_what_needs_pickle_is_refused_by_an_error_that_names_the_key_to_set() -> None:
    serializer = Serializer(codecs=("safe",))

    with pytest.raises(NotSerializable, match=r'set security\.codecs = \["safe", "pickle"\]'):
        serializer.dump_call((object(),), {})


STRICT = 'name = "n"\nurl = "memory://m"\n[security]\nprofile = "strict"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"there are no security\.signing_keys"),
        (
            'signing_keys = { a = "short" }\n',
            "the signing key 'a' has 5 bytes: expected 32 or more",
        ),
        (
            f'codecs = ["safe", "pickle"]\nsigning_keys = {{ a = "{KEY}" }}\n',
            r'security\.codecs allow "pickle"',
        ),
    ],
)
def test_a_strict_profile_asks_for_long_keys_and_refuses_pickle(
    directory: Path, text: str, message: str
) -> None:
    file = write(directory, STRICT + text)

    with pytest.raises(ConfigurationError, match=message):
        find(environ={})
    with pytest.raises(ConfigurationError, match=message):
        serializer_for(load(file).configuration, file)


@pytest.mark.parametrize("written", ['"Strict"', "1", "true", '""'])
def test_a_profile_that_is_none_is_not_taken_for_the_default(directory: Path, written: str) -> None:
    file = write(directory, f'name = "n"\n[security]\nprofile = {written}\n')

    with pytest.raises(ConfigurationError, match=r"security\.profile"):
        find(environ={})
    with pytest.raises(ConfigurationError, match=r"security\.profile"):
        load(file)
    file.write_text('name = "n"\n')
    with pytest.raises(
        ConfigurationError, match='expected "default" or "strict", found \'STRICT\''
    ):
        find(environ={"DOCKET_SECURITY__PROFILE": "STRICT"})


def test_a_strict_file_holds_for_what_a_program_asks_for(directory: Path) -> None:
    write(directory, f'{STRICT}signing_keys = {{ a = "{KEY}" }}\n')

    assert Docket().serializer.codecs == ("safe",)
    with pytest.raises(ConfigurationError, match=r'security\.codecs allow "pickle"'):
        Docket(codecs=("safe", "pickle"))


def test_there_is_one_list_of_schemes() -> None:
    assert tuple(_ENVIRONMENTS) == SCHEMES
