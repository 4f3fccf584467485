"""Signatures of texts that stand beside them, for what scripts must read: schedules and revisions."""

from __future__ import annotations

import enum
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from .words import pack

APART: Final = b"\x70"
"""Stands where the kind of a payload would: no signature of a text is one of a payload."""


class Trust(enum.Enum):
    """How far a text can be trusted; the value says why not."""

    GOOD = ""
    UNSIGNED = "it is not signed"
    FOREIGN = "it is signed with a key that is not known here"
    FORGED = "its signature is not that of its key: it was altered, or copied from elsewhere"


def sign(text: str, key_id: str, secret: bytes, context: Sequence[str | int]) -> str:
    """The signature of a text.

    Arguments:
        text: what is signed.
        key_id: the id of the key.
        secret: the key.
        context: what it covers besides: where the text belongs.
    """
    return f"{_digest(text, secret, context)}:{key_id}"


def trust_in(
    text: str, signature: str, keys: Mapping[str, bytes], context: Sequence[str | int]
) -> Trust:
    """How far a text can be trusted.

    Arguments:
        text: what is signed.
        signature: what ``sign`` has made; empty if there is none.
        keys: secrets by id; without any, nothing is signed.
        context: where the text is found.
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
