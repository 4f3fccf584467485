"""An HTTP call as a task."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import urljoin, urlsplit, urlunsplit

from ..errors import CallRefused, InvalidSetting
from .networks import is_public, is_special
from .quoting import body_of, header_of, url_of
from .template import as_text, signature_of
from .unpacking import ACCEPTED, Unpacking

if TYPE_CHECKING:
    import httpx

BODY = 64 * 1024
"""Bytes of an answer, the first ones, that are kept as the result."""

HOPS = 5
"""Redirects that are followed, all of them on the same host."""

TIMEOUT = 30.0
"""Seconds for which one answer is waited for; the timeout of the task bounds the whole call."""

LONGEST_PAUSE = 365 * 24 * 3600.0
"""Seconds that an answer may ask to be left alone for; ``max_delay`` of the task bounds it further."""

_ASK_AGAIN = (429, 503)


class CallResult(TypedDict):
    """The answer to a call."""

    status: int
    body: str


@dataclass(frozen=True)
class HttpCall:
    """An HTTP call.

    Arguments:
        url: with ``{name}`` for arguments, which are quoted; none may be a ``.`` or ``..`` of the path.
        method: GET, POST, …
        headers: with ``{name}``, too.
        body: a string with ``{name}``, quoted as JSON, a form or XML is; None sends the arguments as a JSON
            object, except with GET, HEAD and DELETE.
        expect: the statuses that are a success: ``2xx``, or a number.
        allow_private: whether addresses that are not public may be called.
    """

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: str | None = None
    expect: str = "2xx"
    allow_private: bool = False

    @property
    def sends_arguments(self) -> bool:
        """True if the arguments are the body."""
        return self.body is None and self.method.upper() not in ("GET", "HEAD", "DELETE")

    def is_expected(self, status: int) -> bool:
        """Return True if an answer with this status is a success."""
        return str(status) == self.expect or self.expect == f"{status // 100}xx"


@dataclass(frozen=True)
class _Request:
    """One call, filled in."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None = None

    def redirected(self, status: int, target: str) -> _Request:
        """Return the call that a redirect asks for, as browsers understand it."""
        try:
            target = urljoin(self.url, target)
            _ = urlsplit(target).port
        except ValueError:
            raise CallRefused(
                f"{_shown(self.url)} redirects to what is no URL; correct what answers there"
            ) from None
        target = _followed(self.url, target)
        if status in (301, 302, 303) and self.method != "HEAD":
            return _Request("GET", target, self.headers)
        return replace(self, url=target)


def http_task(name: str, call: HttpCall) -> Callable[..., Any]:
    """Return a task that makes an HTTP call.

    The arguments of the task fill in url, headers and body. Redirects are followed on the same host
    only, and addresses that are not public are refused, also those that a name stands for. An answer
    of 429 or 503 fails the task with the pause that its ``Retry-After`` asks for.

    Arguments:
        name: the task.
        call: what is asked for.

    Raises:
        InvalidSetting: a brace stands alone, or httpx is not installed.

    Example:
        >>> ping = http_task("ping", HttpCall("https://partner.example/hook/{order}"))
    """
    if importlib.util.find_spec("httpx") is None:
        raise InvalidSetting(
            f'the task "{name}" is an HTTP call, which needs httpx; install docket-platform[http]'
        )
    texts = [call.url, *call.headers.values(), call.body or ""]
    signature = signature_of(texts, optional=call.sends_arguments)
    logger = logging.getLogger(f"docket.task.{name}")

    async def run(**arguments: Any) -> CallResult:
        signature.bind(**arguments)
        result = await _called(call, _request(call, arguments))
        logger.info("%s %s: %s", call.method, _shown(call.url), result["status"])
        return result

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"Call {_shown(call.url)}."
    run.__signature__ = signature  # type: ignore[attr-defined]
    return run


def _request(call: HttpCall, arguments: dict[str, Any]) -> _Request:
    url = url_of(call.url, arguments)
    headers = {name: header_of(name, value, arguments) for name, value in call.headers.items()}
    if call.sends_arguments:
        content = json.dumps(arguments, default=as_text).encode()
        return _Request(
            call.method.upper(), url, {"Content-Type": "application/json", **headers}, content
        )
    content = None
    if call.body is not None:
        kinds = [value for name, value in headers.items() if name.lower() == "content-type"]
        content = body_of(call.body, arguments, "".join(kinds).lower())
    return _Request(call.method.upper(), url, headers, content)


async def _called(call: HttpCall, request: _Request) -> CallResult:
    import httpx  # noqa: PLC0415 - an extra, and costly to import

    async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
        for _ in range(HOPS + 1):
            address = await _address(request.url, call.allow_private)
            try:
                answer, body = await _ask(client, request, address)
            except httpx.HTTPError as error:
                reason = str(error) or type(error).__name__
                raise CallRefused(f"{_shown(request.url)} cannot be reached: {reason}") from error
            target = answer.headers.get("location")
            if target is None or not answer.is_redirect or call.is_expected(answer.status_code):
                return _judged(call, request.url, answer, body)
            request = request.redirected(answer.status_code, target)
    raise CallRefused(f"{_shown(call.url)} redirects more than {HOPS} times")


async def _ask(
    client: httpx.AsyncClient, request: _Request, address: str
) -> tuple[httpx.Response, bytes]:
    """Ask at an address that has been checked: the name is not looked up a second time."""
    parts = urlsplit(request.url)
    host = f"[{address}]" if ":" in address else address
    port = f":{parts.port}" if parts.port else ""
    pinned = urlunsplit(parts._replace(netloc=f"{host}{port}"))
    async with client.stream(
        request.method,
        pinned,
        headers={
            "Host": parts.netloc.rpartition("@")[2],
            "Accept-Encoding": ACCEPTED,
            **request.headers,
        },
        content=request.content,
        extensions={"sni_hostname": parts.hostname},
    ) as answer:
        unpacking = Unpacking(answer.headers.get("content-encoding", ""), BODY)
        async for piece in answer.aiter_raw():
            unpacking.feed(piece)
            if unpacking.is_full:
                break
    return answer, unpacking.body


async def _address(url: str, allow_private: bool) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # What is wrong may be a password that stands where a port should: it is not shown.
        raise CallRefused(
            "expected an http or https URL, found one whose host or port cannot be read; correct it, or the "
            "argument that stands there"
        ) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CallRefused(f"expected an http or https URL, found {_shown(url)}")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            parts.hostname, port or parts.scheme, type=socket.SOCK_STREAM
        )
    except (OSError, UnicodeError) as error:
        raise CallRefused(f"{_shown(url)} cannot be reached: {error}") from error
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    for address in addresses:
        if is_special(address):
            raise CallRefused(f"{_shown(url)} is at {address}, which is not the address of a host")
        if not allow_private and not is_public(address):
            raise CallRefused(
                f"{_shown(url)} is at {address}, which is not a public address; say allow_private = true if "
                "that is meant"
            )
    return addresses[0]


def _followed(url: str, target: str) -> str:
    here, there = urlsplit(url), urlsplit(target)
    if (here.hostname, here.port) != (there.hostname, there.port) or here.scheme > there.scheme:
        raise CallRefused(
            f"{_shown(url)} redirects to {_shown(target)}, which is another host; call that one instead"
        )
    return target


def _judged(call: HttpCall, url: str, answer: httpx.Response, body: bytes) -> CallResult:
    status = answer.status_code
    if call.is_expected(status):
        return CallResult(status=status, body=_text(body, answer.charset_encoding or "utf-8"))
    wish = _pause(answer.headers.get("retry-after", "")) if status in _ASK_AGAIN else None
    raise CallRefused(f"expected {call.expect} from {_shown(url)}, found {status}", status, wish)


def _pause(text: str) -> float | None:
    """Return the pause or the moment of a ``Retry-After`` header; None if it has neither."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:20]), LONGEST_PAUSE)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    pause = (moment - datetime.now(timezone.utc)).total_seconds()
    return min(max(0.0, pause), LONGEST_PAUSE)


def _text(body: bytes, charset: str) -> str:
    try:
        return body.decode(charset, "replace")
    except (LookupError, ValueError):
        return body.decode("utf-8", "replace")


def _shown(url: str) -> str:
    """Return a URL without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
