from __future__ import annotations

import pickle

import pytest
import redis.exceptions

from docket import errors
from docket.errors import CronError, DocketError, FailedElsewhere, RemoteTraceback, server

ALL: list[type[Exception]] = [getattr(errors, name) for name in errors.__all__]
BRANCHES = (
    errors.ConfigurationError,
    errors.CallerError,
    errors.OperatorError,
    errors.TaskError,
)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_hangs_on_one_branch_that_says_who_must_act(kind: type[Exception]) -> None:
    assert issubclass(kind, DocketError)
    branches = [branch for branch in BRANCHES if issubclass(kind, branch)]
    assert len(branches) == (0 if kind in (DocketError, RemoteTraceback) else 1)


def test_no_error_is_left_out() -> None:
    own = [*vars(errors).values(), *vars(server).values()]
    kinds = {one for one in own if isinstance(one, type) and issubclass(one, DocketError)}

    assert kinds == set(ALL)
    with pytest.raises(AttributeError, match="has no attribute 'Nobody'"):
        errors.Nobody  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_the_overview_names_every_error(kind: type[Exception]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("kind", "standard"),
    [
        (errors.InvalidSetting, ValueError),
        (errors.CronError, ValueError),
        (errors.UnknownZone, ValueError),
        (errors.InvalidKey, ValueError),
        (errors.PayloadTooLarge, ValueError),
        (errors.NotSerializable, TypeError),
        (errors.ServerUnavailable, ConnectionError),
        (errors.ServerUnavailable, redis.exceptions.ConnectionError),
        (errors.ServerRefused, redis.exceptions.RedisError),
        (errors.UnknownTask, LookupError),
        (errors.Undecodable, ValueError),
        (errors.SignatureMismatch, TypeError),
    ],
)
def test_an_error_is_also_the_one_that_others_raise_for_such_a_mistake(
    kind: type[Exception], standard: type[Exception]
) -> None:
    assert issubclass(kind, standard)


def test_a_cron_error_tells_where_it_is_wrong_and_why() -> None:
    error = CronError("expected a cron expression, found 'x'", 0, "expected 5 fields")

    assert str(error) == "expected a cron expression, found 'x'"
    assert (error.position, error.reason) == (0, "expected 5 fields")


def test_the_stand_in_of_an_exception_tells_its_type_and_message() -> None:
    error = FailedElsewhere("shop.OutOfStock", "no more shoes", "Traceback …")

    assert str(error) == "shop.OutOfStock: no more shoes"
    assert (error.type_name, error.message) == ("shop.OutOfStock", "no more shoes")
    assert error.traceback == "Traceback …"


def test_a_remote_traceback_starts_on_a_line_of_its_own() -> None:
    assert str(RemoteTraceback("Traceback …")) == "\n\nTraceback …"


@pytest.mark.parametrize(
    "error",
    [
        CronError("wrong", 3, "why"),
        FailedElsewhere("a.B", "c", "d"),
        RemoteTraceback("t"),
        errors.ServerUnavailable("nothing answers"),
    ],
)
def test_errors_travel_between_processes(error: DocketError) -> None:
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)
