"""What foreign errors mean, and in which words they are told on."""

from __future__ import annotations

import ssl

import pytest
from redis import exceptions as foreign
from redis.exceptions import ResponseError

from docket.connection.base import errors_of, is_error
from docket.connection.errors import (
    Severity,
    Trouble,
    needs_login,
    refused_unread,
    severity,
    translate,
    trouble_of,
    unreachable,
)
from docket.errors import (
    CallerError,
    LoginRefused,
    Misconfigured,
    ServerFull,
    ServerRefused,
    ServerUnavailable,
)


@pytest.mark.parametrize(
    "error",
    [
        foreign.ConnectionError("Connection refused"),
        foreign.TimeoutError("Timeout reading from socket"),
        ConnectionResetError("reset"),
        foreign.BusyLoadingError("Redis is loading the dataset in memory"),
        foreign.ReadOnlyError("You can't write against a read only replica."),
        foreign.MasterDownError("Link with MASTER is down"),
        foreign.ClusterDownError("The cluster is down"),
        foreign.MovedError("3999 127.0.0.1:6381"),
        foreign.AskError("3999 127.0.0.1:6381"),
        foreign.InvalidResponse('Protocol error, got "?" as reply type byte'),
        foreign.TryAgainError("Multiple keys request during rehashing of slot"),
        foreign.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        ResponseError("MISCONF Redis is configured to save RDB snapshots"),
        ResponseError("UNBLOCKED force unblock from blocking operation"),
        ResponseError("BUSY Redis is busy running a script"),
        ResponseError("NOREPLICAS Not enough good replicas to write."),
        ResponseError(
            "Error running script (call to f_1): @user_script:2: @user_script: 2: -OOM command not allowed"
        ),
        ResponseError("Script attempted to access a non local key in a cluster node"),
    ],
)
def test_time_heals_what_is_transient(error: Exception) -> None:
    assert severity(error) is Severity.TRANSIENT
    assert isinstance(translate(error, "redis://db"), ServerUnavailable)


@pytest.mark.parametrize(
    "error",
    [
        foreign.AuthenticationError("Authentication required."),
        foreign.AuthorizationError("no"),
        foreign.NoPermissionError("User app has no permissions to run the 'info' command"),
        ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
        ResponseError("Error running script: @user_script: 1: WRONGTYPE Operation against a key"),
        ResponseError("ERR ACL failure in script: User app has no permissions to run 'xadd'"),
        ResponseError("DENIED Redis is running in protected mode"),
        PermissionError("denied"),
        ssl.SSLCertVerificationError("certificate verify failed"),
    ],
)
def test_somebody_must_act_on_what_is_permanent(error: Exception) -> None:
    assert severity(error) is Severity.PERMANENT
    assert isinstance(translate(error), ServerRefused)


def test_a_lost_script_and_a_lost_group_heal_when_the_call_is_repeated() -> None:
    script = foreign.NoScriptError("No matching script. Please use EVAL.")
    group = ResponseError("NOGROUP No such key 'a' or consumer group 'b' in XREADGROUP")

    assert severity(script) is Severity.SCRIPT_MISSING
    assert severity(group) is Severity.GROUP_MISSING
    for error in (script, group):
        assert isinstance(translate(error), ServerUnavailable)


def test_whatever_nobody_expects_is_a_bug() -> None:
    error = ResponseError("wrong number of arguments for 'get' command")

    assert severity(error) is Severity.BUG
    assert str(translate(error, "redis://db")).startswith(
        "the server at redis://db did not understand"
    )


def test_our_own_errors_are_told_on_as_they_are() -> None:
    error = CallerError("ours")

    assert translate(error) is error


def test_a_cause_tells_a_locked_door_from_an_absent_server() -> None:
    error = foreign.ConnectionError("Error 13 connecting to unix socket")
    error.__context__ = PermissionError(13, "Permission denied")

    assert severity(error) is Severity.PERMANENT
    assert isinstance(unreachable("unix:///run/redis.sock", error), ServerRefused)


def test_an_absent_server_is_told_with_three_remedies() -> None:
    message = str(unreachable("redis://db:6379/0", foreign.ConnectionError("refused")))

    assert message.startswith("nothing answers at redis://db:6379/0: refused")
    for remedy in ("start a Redis or Valkey server", "DOCKET_URL", "docket-platform[local]"):
        assert remedy in message


@pytest.mark.parametrize(
    "error",
    [
        foreign.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        ResponseError("Error running script: @user_script: 2: -OOM command not allowed"),
    ],
)
def test_a_full_server_is_called_full(error: Exception) -> None:
    found = translate(error, "redis://db")

    assert isinstance(found, ServerFull)
    assert "is full and refuses to write" in str(found)
    assert trouble_of(found) is Trouble.FULL


@pytest.mark.parametrize(
    "error",
    [
        foreign.AuthenticationError("Authentication required."),
        foreign.AuthenticationError("invalid username-password pair or user is disabled."),
        ResponseError("NOAUTH Authentication required."),
        ResponseError("WRONGPASS invalid username-password pair or user is disabled."),
    ],
)
def test_a_refused_login_is_told_from_other_refusals(error: Exception) -> None:
    assert isinstance(translate(error), LoginRefused)
    assert needs_login([b"OK", error])
    assert trouble_of(translate(error)) is Trouble.REFUSED
    denied = foreign.NoPermissionError("this user has no permissions to run the 'auth' command")
    assert not needs_login([b"OK", denied])


@pytest.mark.parametrize(
    ("where", "error", "meaning"),
    [
        ("redis://db/99", ResponseError("DB index is out of range"), "no database of this number"),
        ("rediss://db", ssl.SSLError("[SSL: WRONG_VERSION_NUMBER] x"), "does not speak TLS there"),
        ("rediss://db", FileNotFoundError(2, "No such file"), "a file that an ssl_ option names"),
        ("rediss://db", foreign.RedisError("Invalid SSL Certificate Requirements Flag: X"), "ssl_"),
    ],
)
def test_a_url_that_does_not_fit_is_not_told_as_an_absent_server(
    where: str, error: Exception, meaning: str
) -> None:
    wrapped = foreign.ConnectionError("Error 1 connecting")
    wrapped.__cause__ = error
    found = unreachable(where, wrapped)

    assert isinstance(found, Misconfigured)
    assert meaning in str(found)
    assert trouble_of(found) is Trouble.WRONG
    # Once it has worked it is a hiccup.
    assert not isinstance(unreachable(where, wrapped, has_worked=True), Misconfigured)


def test_a_socket_that_is_not_there_is_an_absent_server() -> None:
    found = unreachable("unix:///run/redis.sock", FileNotFoundError(2, "No such file"))

    assert trouble_of(found) is Trouble.AWAY


def test_a_server_with_too_many_clients_is_not_absent() -> None:
    found = unreachable("redis://db", foreign.ConnectionError("max number of clients reached"))

    assert trouble_of(found) is Trouble.AWAY
    assert "takes no more clients" in str(found)
    assert "raise maxclients" in str(found)


def test_the_remedies_are_for_a_first_start() -> None:
    error = foreign.ConnectionError("refused")

    assert str(unreachable("redis://db", error, has_worked=True)) == (
        "nothing answers at redis://db: refused"
    )


def test_only_what_was_not_run_may_be_sent_again() -> None:
    replies = [
        b"OK",
        foreign.MovedError("1 a:1"),
        ResponseError("WRONGTYPE Operation"),
        foreign.OutOfMemoryError("full"),
        ResponseError("Error running script: @user_script: 1: -READONLY You can't write"),
        foreign.TryAgainError("moving"),
    ]

    assert refused_unread(replies) == [1, 4, 5]
    assert len(errors_of(replies)) == 5
    assert [is_error(reply) for reply in replies] == [False, *[True] * 5]
