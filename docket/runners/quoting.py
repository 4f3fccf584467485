"""Arguments of tasks put into other languages: each stays what it is, and cannot become syntax."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit
from xml.sax.saxutils import escape

from ..errors import CallRefused
from .template import as_text, fill_in

_HEADER = re.compile(r"[\t\x20-\x7e]*")
_XML_QUOTES = {'"': "&quot;", "'": "&apos;"}


def url_of(template: str, arguments: Mapping[str, Any]) -> str:
    """Return a URL with arguments in it; none of them changes which path is meant.

    Raises:
        CallRefused: one would.
    """
    url = fill_in(template, arguments, lambda value: quote(value, safe="", errors="surrogatepass"))
    asked, meant = _segments(url), _segments(template)
    for segment, written in zip(asked, meant, strict=False):
        if segment != written and segment in ("", ".", ".."):
            raise CallRefused(
                f"expected arguments that stand for a part of the path {_path(template)}, found {segment!r} "
                f"for {written}"
            )
    return url


def header_of(name: str, template: str, arguments: Mapping[str, Any]) -> str:
    """Return a header with the arguments filled in.

    Raises:
        CallRefused: it has characters that no header has; the value is not shown, as it may be secret.
    """
    value = fill_in(template, arguments)
    if not _HEADER.fullmatch(value):
        raise CallRefused(
            f"expected ASCII letters, digits and signs in the header {name}, found another character or a "
            "line break; encode the argument, or correct what the header is read from"
        )
    return value


def body_of(template: str, arguments: Mapping[str, Any], content_type: str) -> bytes:
    """Return a body with the arguments filled in, quoted as its language requires: JSON, a form, XML.

    Arguments:
        template: with ``{name}`` in it.
        arguments: by name.
        content_type: of the body; what can be read as JSON is JSON without it, too.

    Raises:
        CallRefused: an argument is not a string that can be sent.
    """
    if "json" in content_type or (not content_type and _is_json(template)):
        text = _json(template, arguments)
    elif "form-urlencoded" in content_type:
        text = fill_in(template, arguments, quote_plus)
    elif "xml" in content_type or "html" in content_type:
        text = fill_in(template, arguments, lambda value: escape(value, _XML_QUOTES))
    else:
        text = fill_in(template, arguments)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise CallRefused(
            "expected arguments that can be sent as UTF-8, found a lone surrogate in the body"
        ) from error


def _segments(url: str) -> list[str]:
    return _path(url).split("/")


def _path(url: str) -> str:
    # A template may be no URL: what a brace means there is known to the template alone.
    return urlsplit(url.replace("{{", "%7B").replace("}}", "%7D")).path


def _is_json(template: str) -> bool:
    """Return True if a template is JSON, with any arguments."""
    try:
        json.loads(re.sub(r"\{\{|\}\}|\{\w+\}", _sample, template))
    except ValueError:
        return False
    return True


def _sample(part: re.Match[str]) -> str:
    return part[0][0] if part[0] in ("{{", "}}") else "0"


def _json(template: str, arguments: Mapping[str, Any]) -> str:
    """Fill in JSON: inside quotes an argument is text; elsewhere it is a value of its own."""
    is_inside = False

    def part(found: re.Match[str]) -> str:
        nonlocal is_inside
        text = found[0]
        if text == '"':
            is_inside = not is_inside
        if found["name"] is None:
            return text[0] if text in ("{{", "}}") else text
        value = arguments[found["name"]]
        return json.dumps(as_text(value))[1:-1] if is_inside else json.dumps(value, default=as_text)

    return re.sub(r'\\.|"|\{\{|\}\}|\{(?P<name>\w+)\}', part, template, flags=re.DOTALL)
