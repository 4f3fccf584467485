"""The kinds of value that a docket.toml holds and TOML has no word for: durations, sizes, shares, names.

A validator says only what it expected; what was found is added where the problem is reported, because only
there it is known whether the value is a secret.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, TypeAlias, cast

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import LiteralString

from ..discovery.layering import SCHEMES, is_beside
from ..errors import UnknownZone
from ..foundation import durations, sizes
from ..foundation.cron import exact_zone, zone_names
from ..foundation.durations import format_duration, read_duration
from ..foundation.names import trouble_with, trouble_with_docket
from ..foundation.sizes import parse_limit, parse_size
from .checking.findings import did_you_mean

_PART: Final = r"[^\W\d]\w*"
_MODULE: Final = re.compile(rf"{_PART}(\.{_PART})*")
_REFERENCE: Final = re.compile(rf"{_PART}(\.{_PART})*:{_PART}(\.{_PART})*")
_HOST: Final = r"\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+"
_LISTEN: Final = re.compile(rf"(?P<host>{_HOST}):(?P<port>\d{{1,5}})")
_HOST_PATTERN: Final = re.compile(r"[A-Za-z0-9._*?\[\]!-]+")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHARE: Final = re.compile(r"(\d{1,3}(?:\.\d+)?)%")


class Ratio(float):
    """A part of a whole, from 0 to 1, that is written in percent."""


def expected(what: LiteralString) -> PydanticCustomError:
    """Return the error of a value that is not what was expected."""
    return PydanticCustomError("expected", what)


def at(key: str, value: Any, message: str) -> PydanticCustomError:
    """Return the error of a table that is caused by the value of one of its keys."""
    return PydanticCustomError("at", "{message}", {"key": key, "value": value, "message": message})


def _read_duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    try:
        return read_duration(value)
    except ValueError:
        raise expected(durations.EXPECTED) from None


def _positive(value: timedelta) -> timedelta:
    if not value:
        raise expected('expected a duration longer than zero, such as "30s"')
    return value


def _read_size(value: Any) -> Any:
    try:
        return parse_size(value)
    except ValueError:
        raise expected(sizes.EXPECTED) from None


def _read_limit(value: Any) -> Any:
    try:
        return parse_limit(value)
    except ValueError:
        raise expected(sizes.EXPECTED_LIMIT) from None


def _read_share(value: Any) -> Any:
    if isinstance(value, Ratio):
        return value
    if isinstance(value, str) and (found := _SHARE.fullmatch(value)) and float(found[1]) <= 100:
        return Ratio(float(found[1]) / 100)
    raise expected('expected a share between "0%" and "100%"')


def format_share(share: float) -> str:
    """Write a share from 0 to 1 in percent."""
    return f"{share * 100:.10g}%"


def _check_name(value: str) -> str:
    if trouble := trouble_with(value):
        raise expected(cast(LiteralString, trouble))
    return value


def _check_docket_name(value: str) -> str:
    if trouble := trouble_with_docket(value):
        raise expected(cast(LiteralString, trouble))
    return value


def _check_owner(value: str) -> str:
    if "/" in value:
        raise expected("expected a name without /, which stands between an owner and its schedules")
    return _check_name(value)


def _check_module(value: str) -> str:
    if not _MODULE.fullmatch(value):
        raise expected('expected the name of a module such as "shop.tasks"')
    return value


def _check_reference(value: str) -> str:
    if not _REFERENCE.fullmatch(value):
        raise expected('expected "package.module:attribute"')
    return value


def _check_listen(value: str) -> str:
    found = _LISTEN.fullmatch(value)
    if not found or int(found["port"]) > 65535:
        raise expected('expected an address such as "127.0.0.1:9464" or "[::1]:9464"')
    return value


def _check_url(value: str) -> str:
    scheme, separator, _ = value.partition("://")
    if not separator or scheme not in SCHEMES:
        raise expected(
            f"expected a url such as redis://localhost:6379/0; schemes: {', '.join(SCHEMES)}"
        )
    return value


def _check_parameter(value: str) -> str:
    if not value.isidentifier():
        raise expected("expected the name of a parameter")
    return value


def _check_variable_pattern(value: str) -> str:
    _check_variable(value.removesuffix("*"))
    return value


def _check_variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise expected("expected the name of an environment variable")
    return value


def _check_variable_value(value: str) -> str:
    if "\0" in value:
        raise expected("expected a string without NUL characters")
    return value


def _check_moment(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise expected("expected a moment with an offset, such as 2026-12-01T00:00:00Z")
    return value


def _check_timezone(value: str) -> str:
    try:
        exact_zone(value)
    except UnknownZone:
        raise PydanticCustomError(
            "expected",
            'expected the exact name of a time zone such as "Europe/Paris" or "UTC"',
            {"advice": did_you_mean(value, zone_names())},
        ) from None
    return value


def _check_pattern(value: str) -> str:
    if not is_beside(value):
        raise expected('expected a pattern of files beside this one, such as "docket.d/*.toml"')
    return value


def _check_host_pattern(value: str) -> str:
    if not _HOST_PATTERN.fullmatch(value):
        raise expected('expected the name of a host, or a pattern such as "batch-*"')
    return value


def unique(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse an array that says something twice."""
    if len(set(values)) < len(values):
        raise expected("expected every entry only once")
    return values


_TIME: Final = r"^\s*(\d+(\.\d+)?|(\d+:)?\d+:\d{2}|(\d+(\.\d+)?(ms|[smhdw]))+)\s*$"


def _as_text(kind: str, example: str, pattern: str = "") -> WithJsonSchema:
    """Return the schema of a string for editors; its kind is the name that the reference uses."""
    rule = {"pattern": pattern} if pattern else {}
    return WithJsonSchema({"type": "string", **rule, "examples": [example], "$comment": kind})


Duration: TypeAlias = Annotated[
    timedelta,
    BeforeValidator(_read_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    _as_text("duration", "1h30m", _TIME),
]
"""A length of time, written as ``docket.durations`` reads it."""

PositiveDuration: TypeAlias = Annotated[
    timedelta,
    AfterValidator(_positive),
    BeforeValidator(_read_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    _as_text("duration", "30s", _TIME),
]
"""A length of time that is not zero."""


def _as_bytes(least: int) -> WithJsonSchema:
    """Return the schema of a size for editors."""
    return WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\s*\d[\d_]*\s*([KMG]iB|B)?\s*$"},
                {"type": "integer", "minimum": least},
            ],
            "examples": ["512KiB", "1MiB"],
            "$comment": "size",
        }
    )


Size: TypeAlias = Annotated[int, BeforeValidator(_read_size), _as_bytes(1)]
"""Bytes, written as ``docket.sizes`` reads them."""

Limit: TypeAlias = Annotated[int, BeforeValidator(_read_limit), _as_bytes(0)]
"""Bytes likewise, or 0 for no limit."""

Share: TypeAlias = Annotated[
    float,
    BeforeValidator(_read_share),
    # Validation makes it a plain number again.
    AfterValidator(Ratio),
    PlainSerializer(format_share, return_type=str, when_used="json"),
    _as_text("share", "50%", r"^(100(\.0+)?|\d{1,2}(\.\d+)?|0\d{2}(\.\d+)?)%$"),
]
"""A part of a whole, from 0 to 1, written in percent."""

Name: TypeAlias = Annotated[str, AfterValidator(_check_name), Field(min_length=1)]
"""The name of a task, queue, pool, schedule, strike or key: printable, at most 200 bytes."""

DocketName: TypeAlias = Annotated[str, AfterValidator(_check_docket_name), Field(min_length=1)]
"""The name of a docket: one whose keys belong to no other docket."""

OwnerName: TypeAlias = Annotated[str, AfterValidator(_check_owner), Field(min_length=1)]
"""The name of an owner."""

Reference: TypeAlias = Annotated[
    str,
    AfterValidator(_check_reference),
    _as_text(
        "reference",
        "shop.tasks:send_email",
        rf"^{_REFERENCE.pattern}$",
    ),
]
"""The place of a function or a class: ``package.module:attribute``."""

ModuleName: TypeAlias = Annotated[
    str, AfterValidator(_check_module), _as_text("module", "shop.tasks", rf"^{_PART}(\.{_PART})*$")
]
"""A module as an import statement names it."""

Listen: TypeAlias = Annotated[
    str,
    AfterValidator(_check_listen),
    _as_text("address", "127.0.0.1:9464", rf"^({_HOST}):\d{{1,5}}$"),
]
"""A host and a port to listen on."""

Url: TypeAlias = Annotated[
    str,
    AfterValidator(_check_url),
    _as_text("url", "redis://localhost:6379/0", rf"^({'|'.join(map(re.escape, SCHEMES))})://"),
]
"""The address of a server."""

Moment: TypeAlias = Annotated[
    datetime,
    AfterValidator(_check_moment),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "examples": ["2026-12-01T00:00:00Z"],
            "$comment": "moment",
        }
    ),
]
"""A date and a time with an offset, as TOML writes it."""

Timezone: TypeAlias = Annotated[
    str, AfterValidator(_check_timezone), _as_text("time zone", "Europe/Paris", "^[A-Z]")
]
"""The exact name of a time zone."""

Parameter: TypeAlias = Annotated[str, AfterValidator(_check_parameter)]
"""The name of a parameter of a function."""

Variable: TypeAlias = Annotated[
    str,
    AfterValidator(_check_variable),
    _as_text("variable", "STRIPE_KEY", "^[A-Za-z_][A-Za-z0-9_]*$"),
]
"""The name of an environment variable."""

VariablePattern: TypeAlias = Annotated[
    str,
    AfterValidator(_check_variable_pattern),
    _as_text("variable or the beginning of some", "PG*", r"^[A-Za-z_][A-Za-z0-9_]*\*?$"),
]
"""The name of an environment variable, or the beginning of several and an asterisk."""

VariableValue: TypeAlias = Annotated[str, AfterValidator(_check_variable_value)]
"""The value of an environment variable."""

Queues: TypeAlias = Annotated[
    tuple[Name, ...],
    Field(min_length=1, strict=False, json_schema_extra={"uniqueItems": True}),
    AfterValidator(unique),
]
"""Queues in the order in which they are served."""

FilePattern: TypeAlias = Annotated[
    str, AfterValidator(_check_pattern), _as_text("file pattern", "docket.d/*.toml", "^[^/]")
]
"""Files beside the configuration, as a path or a pattern."""

HostPattern: TypeAlias = Annotated[
    str,
    AfterValidator(_check_host_pattern),
    _as_text("host pattern", "batch-*", rf"^{_HOST_PATTERN.pattern}$"),
]
"""The name of a host, or a pattern of names."""

Profile: TypeAlias = dict[str, Any]
"""Any part of a configuration."""
