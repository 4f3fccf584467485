"""Signatures beside texts that scripts must read: schedules and revisions."""

from __future__ import annotations

import enum
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from .words import pack

APART: Final = b"\x70"
"""Mark in place of a payload's kind: no signature of a text is one of a payload."""


class Trust(enum.Enum):
    """The trust in a text; the value says why there is none."""

    GOOD = ""
    UNSIGNED = "it is not signed"
    FOREIGN = "it is signed with a key that is not known here"
    FORGED = "its signature is not that of its key: it was altered, or copied from elsewhere"


def sign(text: str, key_id: str, secret: bytes, context: Sequence[str | int]) -> str:
    """Sign a text.

    Arguments:
        text: the text to sign.
        key_id: the id of the key.
        secret: the key.
        context: covered by the signature as well: the place of the text.
    """
    return f"{_digest(text, secret, context)}:{key_id}"


def trust_in(
    text: str, signature: str, keys: Mapping[str, bytes], context: Sequence[str | int]
) -> Trust:
    """Return how far a text can be trusted.

    Arguments:
        text: the signed text.
        signature: the output of ``sign``; empty if there is none.
        keys: secrets by id; without any, nothing is signed.
        context: the place where the text is found.
    """
    digest, _, key_id = signature.partition(":")
    if not signature:
        return Trust.UNSIGNED if keys else Trust.GOOD
    if key_id not in keys:
        return Trust.FOREIGN
    made = _digest(text, keys[key_id], context)
    is_same = hmac.compare_digest(made.encode(), digest.encode(errors="replace"))
    return Trust.GOOD if is_same else Trust.FORGED


def _digest(text: str, secret: bytes, context: Sequence[str | int]) -> str:
    signed = pack(["", *context]) + APART + text.encode(errors="surrogatepass")
    return hmac.digest(secret, signed, "sha256").hex()
