"""The first bytes of a payload: what it is, what reading it takes, and who vouches for it.

Unsigned: ``kind | codec``, content. Signed: ``SIGNED``, length of the key's id, the id, length of a nonce,
the nonce, an HMAC-SHA256, then the unsigned form. The HMAC covers the nonce, the unsigned form, and a
context that is not stored, so that a payload taken from one place is refused in another.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..errors import Undecodable
from .words import Codec, Kind, pack

SIGNED: Final = 0x80
SIGNED_BYTE: Final = bytes((SIGNED,))
DIGEST_SIZE: Final = 32
LONGEST_KEY_ID: Final = 255
LONGEST_NONCE: Final = 255
FIRST_BYTES: Final = {kind | codec: (kind, codec) for kind in Kind for codec in Codec}


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, taken apart but not decoded and not verified.

    Arguments:
        key_id: the id of the signing key, empty if the payload is not signed.
        nonce: the value that sets it apart from others of its place; empty if there is none.
        digest: the signature, empty if there is none.
        body: the signed part: first byte and content.
    """

    key_id: str
    nonce: str
    digest: bytes
    body: bytes

    @property
    def is_signed(self) -> bool:
        """True if there is a signature, right or wrong."""
        return bool(self.digest)


def parse(data: bytes) -> Envelope:
    """Take a payload apart.

    Raises:
        Undecodable: it is cut off within its header.
    """
    if not data.startswith(SIGNED_BYTE):
        return Envelope("", "", b"", data)
    key_id, start = _sized(data, 1)
    nonce, start = _sized(data, start)
    digest, body = data[start : start + DIGEST_SIZE], data[start + DIGEST_SIZE :]
    if len(digest) < DIGEST_SIZE:
        raise Undecodable(
            f"expected a signed payload, found {len(data)} bytes, cut off in its signature"
        )
    return Envelope(key_id, nonce, digest, body)


def first_byte(data: bytes) -> int:
    """Return the first byte of what may be signed; -1 if there is none."""
    body = parse(data).body if data.startswith(SIGNED_BYTE) else data
    return body[0] if body else -1


def is_pickled(data: bytes) -> bool:
    """Return True if reading a payload takes the pickle codec."""
    known = FIRST_BYTES.get(first_byte(data))
    return known is not None and known[1] is Codec.PICKLE


def kind_and_codec(body: bytes) -> tuple[Kind, Codec]:
    """Return the kind and the codec from the first byte.

    Raises:
        Undecodable: the byte is unknown here.
    """
    if not body:
        raise Undecodable("expected a payload, found no bytes at all")
    known = FIRST_BYTES.get(body[0])
    if known is None:
        raise Undecodable(
            f"expected a payload of a known codec, found the first byte 0x{body[0]:02x}; it is not a "
            "payload, or a newer version of docket has written it: upgrade this worker"
        )
    return known


def sign(
    body: bytes, key_id: str, secret: bytes, context: Sequence[str | int], nonce: str
) -> bytes:
    """Return a body with its signature before it."""
    name, mark = key_id.encode(), nonce.encode()
    head = bytes((SIGNED, len(name))) + name + bytes((len(mark),)) + mark
    return head + _digest(body, secret, context, nonce) + body


def verify(data: bytes, keys: Mapping[str, bytes], context: Sequence[str | int]) -> bytes:
    """Return the body of a payload that is signed by one of the keys.

    Arguments:
        data: the payload.
        keys: secrets by id; without any, the payload must not be signed.
        context: what it was signed for.

    Raises:
        Undecodable: it is not, or not for this context.
    """
    if not data.startswith(SIGNED_BYTE):
        if keys:
            raise Undecodable(
                f"expected a payload signed with one of the keys {_listed(keys)}, found an unsigned one; "
                "give its sender a signing key"
            )
        return data
    envelope = parse(data)
    if envelope.key_id not in keys:
        raise Undecodable(
            f"expected a payload signed with one of the keys {_listed(keys)}, found the key "
            f"{envelope.key_id!r}; add it to security.signing_keys if its sender is to be trusted"
        )
    if not hmac.compare_digest(
        envelope.digest, _digest(envelope.body, keys[envelope.key_id], context, envelope.nonce)
    ):
        raise Undecodable(
            f"expected the signature of the key {envelope.key_id!r}, found another: the payload was altered, "
            "moved from elsewhere, or signed with a different secret of this id"
        )
    return envelope.body


def _digest(body: bytes, secret: bytes, context: Sequence[str | int], nonce: str) -> bytes:
    # Packed, no part of the context passes for another one, nor its end for the beginning of the body.
    return hmac.digest(secret, pack([nonce, *context]) + body, "sha256")


def _sized(data: bytes, at: int) -> tuple[str, int]:
    """Read a string that begins with its length, and return where it ends."""
    start = at + 1
    end = start + int.from_bytes(data[at:start], "big")
    return data[start:end].decode(errors="backslashreplace"), end


def _listed(keys: Mapping[str, bytes]) -> str:
    return ", ".join(map(repr, keys)) or "(none is configured)"
